"""The share of the noise of drawing in the statistical variance of a drawn result."""

from __future__ import annotations

import numpy as np

from truthward.events.unfolded import Unfolded
from truthward.records.validate.method import Sampling


def sampling(unfolded: Unfolded) -> Sampling | None:
    """The variance from the finite number of draws over the statistical variance. None for a result without draws.

    The statistical variance comes from the bootstraps of the data, in the coarse bins that the method watched. If there
    are fewer than two bootstraps, it is the variance of counting.

    Returns:
        The share is the ratio of the sums over all bins of all observables. Each observable has its own ratio.
    """
    found = [h for h in unfolded.metadata["history"] if h["replica"] == "nominal:0" and "sampling_variance" in h]
    if not found:
        return None
    inner: dict[str, list[float]] = unfolded.metadata["watched"]
    drawn, data = (
        np.reshape(found[0][f"{name}_variance"], (len(inner), -1)).sum(axis=1) for name in ("sampling", "counting")
    )
    family = unfolded.families.get("data_bootstrap")
    if family and family.count > 1:
        whole = [unfolded.histogram(name, np.array([-np.inf, *edges, np.inf])) for name, edges in inner.items()]
        data = np.array([h.breakdown()["data_bootstrap"].sum() for h in whole])
    return {
        "statistical": "data_bootstrap" if family and family.count > 1 else "counting",
        "share": float(drawn.sum() / data.sum()),
        "observables": {name: float(s / d) for name, s, d in zip(inner, drawn, data, strict=True)},
    }
