"""Notes before a run: they are no errors, but otherwise they would appear only at the end."""

from __future__ import annotations

from truthward.study.config import Config
from truthward.study.observable import PER_BIN

BOOTSTRAPS = ("data_bootstrap", "mc_bootstrap")


def notes(config: Config) -> list[str]:
    """Notes on too few replicas for the published bins, and on bands without a model uncertainty; one text for each.

    Systematics and initialisations set no limit: they add directions to a covariance that the bootstraps made regular.
    """
    found = []
    for name, o in config.observables.items() if config.unfold.methods else ():
        bins = len(o.published_edges) - 1
        asked = config.unfold.replicas.model_dump()
        if few := {f: asked[f] for f in BOOTSTRAPS if asked[f] < PER_BIN * bins}:
            given = " and ".join(f"{f}: {n}" for f, n in few.items())
            found.append(
                f"observables.{name}: {bins} published bins need {PER_BIN * bins} replicas of each bootstrap for a "
                f"covariance that may be inverted; unfold.replicas has {given}. Raise them, or give `published` edges "
                f"of at most {max(1, min(few.values()) // PER_BIN)} bins; the program merges no bins by itself"
            )
    if config.unfold.methods and not config.model_families():
        found.append(
            "systematics: no entry has the kind closure, hidden, regularisation or alternative; without a model "
            "uncertainty all bands are statistical only, and the verdict says so"
        )
    return found
