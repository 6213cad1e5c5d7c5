"""Checks between sections of a config, before the first job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from truthward.errors import ConfigError
from truthward.study import plugins
from truthward.study.formula import formula, refuse_unfolded
from truthward.study.named import provided

if TYPE_CHECKING:
    from truthward.study.config import Config


def check_agreement(config: Config) -> None:
    """Check the number of replicas and jobs, the observable of the fit, and the example of the publication.

    Raises:
        ConfigError: as `checks.check`.
    """
    replicas = sum(config.families().values())
    if 0 < replicas < config.unfold.jobs:
        raise ConfigError(
            f"unfold.jobs: {config.unfold.jobs} given, but the study has {replicas} replicas and no job may have none; "
            f"set it to {replicas} at most, or raise unfold.replicas"
        )
    _fit(config)
    _example(config)


def unfolded_by(config: Config, method: str) -> list[str]:
    """Names of the observables that a method unfolds."""
    return list(config.unfold.methods[method].get("observables") or config.observables)


def _fit(config: Config) -> None:
    fit = config.validate_.fit
    if fit is not None and not any(fit.observable in unfolded_by(config, method) for method in config.unfold.methods):
        raise ConfigError(
            f"validate.fit.observable: no method unfolds {fit.observable!r}; add it to `observables` of a method in "
            "unfold.methods"
        )


def _example(config: Config) -> None:
    if config.publish is None:
        return
    text, method = config.publish.example, config.publish.method
    kind = config.unfold.methods[method]["kind"]
    if text is None or not plugins.attribute("unfold", kind, "joint"):
        return
    known = provided(config, config.samples[config.sample("simulation")], "truth", calibrated=False)
    names = unfolded_by(config, method)
    if "model" in plugins.schema("unfold", kind).options:
        # Drawn events have only the unfolded observables.
        known = set(names)
    refuse_unfolded(text, names, sorted((known or set()) - set(names)))
    if known is not None:
        formula(text, sorted(known))
