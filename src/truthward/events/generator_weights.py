"""The sum of generator weights of all events that were generated, from the files of a sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from truthward.errors import InputError, nearest
from truthward.events.root import opened, opened_file
from truthward.events.tree import reading
from truthward.run.files import File


def sum_of_weights(paths: Sequence[File], source: Mapping[str, Any]) -> float:
    """The sum over all files.

    Args:
        source: fields of `study.normalisation.GeneratorWeights`.

    Raises:
        InputError: no such tree, branch, histogram or bin, several trees and none named, values that are no numbers, or
            a sum that is not positive.
    """
    if source["sum"] is not None:
        return float(source["sum"])
    # A file is counted once, also where two of its trees are read.
    paths = list({path.address: path for path in paths}.values())
    try:
        if source["branch"] is not None:
            parts = [_of_branch(path, source["tree"], source["branch"]) for path in paths]
        else:
            parts = [_of_histogram(path, source["histogram"], source["bin"]) for path in paths]
    except InputError as error:
        raise InputError(f"generator_weights: {error}") from error
    total = math.fsum(parts)
    if not 0 < total < math.inf:
        what = source["branch"] or source["histogram"]
        raise InputError(
            f"{paths[0]}: generator_weights: {what} sums to {total:g} in {len(paths)} files, but a sum of generator "
            "weights is positive; name another branch, histogram or bin"
        )
    return total


def _of_branch(path: File, tree: str | None, branch: str) -> float:
    with opened(path, tree) as found:
        found.require([branch], "the sum of generator weights")
        total = 0.0
        for _, arrays in found.chunks([branch]):
            values = arrays[branch]
            if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "fiu":
                raise InputError(f"{path}: {branch} has not one number per entry of {found.name}; name another branch")
            total += float(values.sum(dtype=np.float64))
        return total


def _of_histogram(path: File, name: str, number: int | None) -> float:
    with opened_file(path) as (file, kinds):
        known = [key for key, kind in kinds.items() if kind.startswith("TH1")]
        if name not in known:
            raise InputError(f"{path}: no histogram {name} with one axis; {nearest(name, known)}")
        with reading(path):
            below, *bins, above = file[name].values(flow=True).astype(np.float64).tolist()
    if number is None and (below or above):
        raise InputError(
            f"{path}: {name} has {below:g} below and {above:g} above its range, so the sum of its bins is not that of "
            "all events; name the `bin` that holds it"
        )
    if number is not None and number > len(bins):
        raise InputError(f"{path}: {name} has no bin {number}; its bins are 1 to {len(bins)}")
    return math.fsum(bins) if number is None else bins[number - 1]
