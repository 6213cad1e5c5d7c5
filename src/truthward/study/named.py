"""Columns that a config names outside of `observables`: a dry run refuses those that no sample provides.

They are the features, columns that networks see but do not unfold (`unfold.methods.<name>.features`), and what
calibration, stress tests and the fit of a parameter name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from truthward.errors import ConfigError
from truthward.study import plugins

if TYPE_CHECKING:
    from truthward.study.config import Config, Sample

ROLES = {"truth": ("simulation", "alternative"), "reco": ("simulation", "background", "alternative", "data")}
"""Level -> roles of the samples that have it. Only the validation reads the truth behind data."""


def check_named(config: Config) -> None:
    """Check what calibration, stress tests and the fit of a parameter name.

    Raises:
        ConfigError: a column that a sample does not provide, as far as the config shows it, or one that is not of the
            kind that is needed.
    """
    if config.calibrate is not None:
        _check_calibrate(config, _options(config.calibrate))
    _check_stress(config)
    if (fit := config.validate_.fit) is not None:
        need(config, "validate.fit.parameter", "truth", [fit.parameter], ("simulation",))


def _options(entry: dict[str, Any]) -> dict[str, Any]:
    """Options of a calibrator with their defaults."""
    return {name: default for name, (_, default) in plugins.schema("calibrate", entry["kind"]).options.items()} | entry


def _check_calibrate(config: Config, options: dict[str, Any]) -> None:
    features, logs, scales = (options[name] for name in ("features", "log_features", "scales"))
    if not features or len(set(features)) != len(features):
        raise ConfigError(f"calibrate.features: {features} given; name each feature once, and at least one")
    if odd := [name for name in logs if name not in features]:
        raise ConfigError(f"calibrate.log_features: {odd[0]!r} is not among the features: {', '.join(features)}")
    if options["target"] not in scales:
        raise ConfigError(f"calibrate.scales: {scales} given; the target {options['target']!r} must be among them")
    need(config, "calibrate.features", "reco", features, ROLES["reco"])
    need(config, "calibrate.scales", "reco", scales, ROLES["reco"])
    need(config, "calibrate.target", "truth", [options["target"]], ("simulation",))


def _check_stress(config: Config) -> None:
    if (stress := config.validate_.stress) is None:
        return
    smooth = [name for name, o in config.observables.items() if not (o.integer or o.atoms)]
    if stress.scaled is not None and stress.scaled not in smooth:
        raise ConfigError(
            f"validate.stress.scaled: {stress.scaled!r} given; an observable that is continuous and has no atoms is "
            f"expected; valid: {', '.join(smooth) or 'none'}"
        )
    if stress.hidden in config.observables:
        raise ConfigError(
            f"validate.stress.hidden: {stress.hidden!r} is unfolded, but a hidden variable must not be; name a truth "
            "column that is not in `observables`"
        )
    if stress.hidden is not None:
        need(config, "validate.stress.hidden", "truth", [stress.hidden], ("simulation",))


def check_features(config: Config) -> None:
    """Check the features of all methods, as far as the config shows what is there.

    Raises:
        ConfigError: a method, or a level, that takes none; a feature that is named twice, unfolded, a list of particles
            or not among the columns of a sample.
    """
    for method, entry in config.unfold.methods.items():
        kind = str(entry.get("kind")) if isinstance(entry, dict) else ""
        given = entry.get("features") if kind in plugins.kinds("unfold") else None
        where = f"unfold.methods.{method}.features"
        if given is None:
            continue
        if not levels_of(kind):
            others = ", ".join(k for k in plugins.kinds("unfold") if levels_of(k))
            raise ConfigError(
                f"{where}: the method {kind} takes no features, it sees only the unfolded observables; remove this "
                f"key, or use a method that takes features: {others}"
            )
        if isinstance(given, dict):
            for level, names in given.items():
                _check_level(config, f"{where}.{level}", kind, level, names, entry)


def levels_of(kind: str) -> Sequence[str]:
    """Levels at which a method takes features: the keys of the default of its option `features`."""
    return list(plugins.schema("unfold", kind).options.get("features", ("", {}))[1])


def reco_features(config: Config) -> set[str]:
    """Features at reco level of any method."""
    given = [m.get("features") for m in config.unfold.methods.values() if isinstance(m, dict)]
    return {n for f in given if isinstance(f, dict) for n in f.get("reco") or () if isinstance(n, str)}


def _check_level(config: Config, where: str, kind: str, level: str, names: Any, entry: Mapping[str, Any]) -> None:
    takes = levels_of(kind)
    if level not in takes:
        way = "; to use a truth quantity, unfold it: add it to `observables`" if level == "truth" else ""
        raise ConfigError(f"{where}: the method {kind} takes features at level {', '.join(takes)} only{way}")
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ConfigError(
            f"{where}: {plugins.shown(names)} given; a list of names without the prefix {level}_ is expected"
        )
    unfolded = entry.get("observables") or list(config.observables)
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: {name!r} is named twice; name each feature once")
        if name in unfolded:
            raise ConfigError(f"{where}: {name!r} is unfolded, so the networks see it already; remove it here")
        if name.startswith("constituents_") or ":" in name:
            raise ConfigError(
                f"{where}: {name!r} given; a feature has one number per event: name no list of particles and no "
                "variation"
            )
        need(config, where, level, [name], ROLES[level], calibrated=True)


def provided(config: Config, sample: Sample, level: str, *, calibrated: bool) -> set[str] | None:
    """Names of a level that a generator or a map provides, and with `calibrated` those that the calibration adds; None
    if only the files show them."""
    package, entry = sample.source
    schema = plugins.check(package, entry, package)
    found = set(schema.provides) | (set(schema.provides_truth) if level == "truth" else set())
    if schema.provides_from:
        mapped = entry.get(schema.provides_from) or {}
        if entry.get("same_names"):
            return None
        found = {c.removeprefix(f"{level}_") for c in mapped if c.startswith(f"{level}_")}
    if calibrated and config.calibrate is not None and level == "reco":
        scales, target = (plugins.option("calibrate", config.calibrate, name) for name in ("scales", "target"))
        found |= {f"{n}_raw" for n in scales}
        found |= {f"{target}_sigma_{part}" for part in ("systematic", "statistical")}
    return found


def need(
    config: Config, where: str, level: str, names: Iterable[str], roles: Iterable[str], *, calibrated: bool = False
) -> None:
    """Refuse a column that a sample of these roles does not provide; see `provided`."""
    for name in names:
        for sample, source in config.samples.items():
            known = provided(config, source, level, calibrated=calibrated) if source.role in roles else None
            if known is not None and name not in known:
                bare = name.removeprefix(f"{level}_")
                hint = f" (did you mean {bare!r}?)" if bare in known else plugins.nearest(name, known)
                raise ConfigError(
                    f"{where}: samples.{sample} does not provide {level}_{name}; it provides "
                    f"{', '.join(sorted(known))}{hint}"
                )
