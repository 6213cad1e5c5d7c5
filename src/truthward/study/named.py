"""Columns that a config names outside of `observables`: a dry run refuses those that no sample provides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from truthward.errors import ConfigError
from truthward.study import plugins
from truthward.study.features import provided

if TYPE_CHECKING:
    from truthward.study.config import Config


def check_named(config: Config) -> None:
    """Check what calibration, stress tests and the fit of a parameter name.

    Raises:
        ConfigError: a column that a sample does not provide, as far as the config shows it, or one that is not of the
            kind that is needed.
    """
    if config.calibrate is not None:
        _check_calibrate(config, _options(config.calibrate))
    _check_stress(config)
    fit = config.validate_.fit
    if fit is not None:
        _need(config, "validate.fit.parameter", "truth", [fit.parameter], ("simulation",))


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
    every = ("simulation", "background", "data", "alternative")
    _need(config, "calibrate.features", "reco", features, every)
    _need(config, "calibrate.scales", "reco", scales, every)
    _need(config, "calibrate.target", "truth", [options["target"]], ("simulation",))


def _check_stress(config: Config) -> None:
    stress = config.validate_.stress
    if stress is None:
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
        _need(config, "validate.stress.hidden", "truth", [stress.hidden], ("simulation",))


def _need(config: Config, where: str, level: str, names: Iterable[str], roles: Iterable[str]) -> None:
    """Refuse a column that a sample of these roles does not provide."""
    for name in names:
        for sample, source in config.samples.items():
            found = provided(config, source, level, calibrated=False) if source.role in roles else None
            if found is not None and name not in found:
                raise ConfigError(
                    f"{where}: samples.{sample} does not provide {level}_{name}; it provides "
                    f"{', '.join(sorted(found))}{plugins.nearest(name, found)}"
                )
