"""Predictions of a study: checks between them, the published method, and the readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from truthward.errors import ConfigError
from truthward.study import plugins
from truthward.study.columns import check_map

if TYPE_CHECKING:
    from truthward.study.config import Config


def check_predictions(config: Config) -> None:
    """Check the section `compare`.

    Raises:
        ConfigError: nothing is published, two labels are equal, or a reader does not give an observable.
    """
    if config.compare is None:
        return
    if config.publish is None:
        raise ConfigError("compare: predictions are compared with what is published; add the section `publish`")
    labels = [p.label or name for name, p in config.compare.predictions.items()]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise ConfigError(f"compare.predictions: two of them have the label {twice[0]!r}; give each its own")
    for name, prediction in config.compare.predictions.items():
        where = f"compare.predictions.{name}.read"
        found = plugins.check("events.readers", prediction.read, where)
        if found.provides_from is None or prediction.read.get("same_names"):
            continue
        mapped = prediction.read.get(found.provides_from) or {}
        check_map(mapped, f"{where}.{found.provides_from}")
        if lack := [o for o in config.published_observables() if f"truth_{o}" not in mapped]:
            raise ConfigError(
                f"{where}.{found.provides_from}: truth_{lack[0]} is not there, but {config.publish.method} unfolds "
                f"{lack[0]}; map it{plugins.nearest(f'truth_{lack[0]}', mapped)}"
            )
