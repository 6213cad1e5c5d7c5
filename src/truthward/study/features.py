"""Features: columns that networks see but do not unfold, `unfold.methods.<name>.features` of a config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from truthward.errors import ConfigError
from truthward.study import plugins

if TYPE_CHECKING:
    from truthward.study.config import Config, Sample


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
        takes = levels_of(kind)
        if not takes:
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
        for sample, source in config.samples.items():
            known = provided(config, source, level) if level in source.levels else None
            if known is not None and name not in known:
                bare = name.removeprefix(f"{level}_")
                hint = f" (did you mean {bare!r}?)" if bare in known else plugins.nearest(name, known)
                raise ConfigError(
                    f"{where}: samples.{sample} does not provide {level}_{name}; it provides "
                    f"{', '.join(sorted(known))}{hint}"
                )


def provided(config: Config, sample: Sample, level: str, *, calibrated: bool = True) -> set[str] | None:
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
