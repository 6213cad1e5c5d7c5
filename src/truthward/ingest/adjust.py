"""What is done to the events of a sample before its acceptance: certified ones alone, their process, their weight."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from truthward.events.contract import SIGNAL, Batch
from truthward.events.generator_weights import sum_of_weights
from truthward.ingest.certified import Certified
from truthward.run.files import File

log = logging.getLogger("truthward.ingest.stage")


class Adjustment:
    """A function of batches.

    Args:
        paths: files of the sample.
        process: process of the events that have none of their own, or the process "signal"; None: they are signal.
        normalisation: "cross_section" (pb), "k_factor", "luminosity" (inverse pb) and "generator_weights" (fields of
            `study.normalisation.GeneratorWeights`). Each weight, also of variations, is multiplied with cross section x
            k-factor x luminosity / sum of generator weights.
        certified: JSON file of luminosity sections; events of others are left out.

    Raises:
        InputError: what `sum_of_weights` and `Certified` refuse.
    """

    def __init__(
        self,
        paths: Sequence[File],
        *,
        process: str | None,
        normalisation: Mapping[str, Any] | None,
        certified: str | Path | None,
    ) -> None:
        self._process, self._factor = process, 1.0
        self._facts: dict[str, Any] = {}
        self._certified = None if certified is None else Certified(certified)
        if normalisation is not None:
            n, total = normalisation, sum_of_weights(paths, normalisation["generator_weights"])
            self._factor = n["cross_section"] * n["k_factor"] * n["luminosity"] / total
            self._facts["normalisation"] = {**n, "sum_of_generator_weights": total}
            log.info("weights x %g: the generator weights of all events sum to %g", self._factor, total)

    def __call__(self, batch: Batch) -> Batch:
        """The events that are kept, with their process and weight."""
        if self._certified is not None:
            batch = self._certified.take(batch)
        columns = dict(batch)
        if self._process is not None:
            columns["process"] = np.where(columns["process"] == SIGNAL, self._process, columns["process"])
        if self._factor != 1.0:
            for name in columns:
                if name.partition(":")[0] == "weight":
                    columns[name] = columns[name] * np.float64(self._factor)
        return batch.like(columns)

    def finish(self, read: int) -> dict[str, Any]:
        """Facts for the metadata, after `read` events.

        Raises:
            InputError: none of them is certified.
        """
        if self._certified is not None:
            self._facts["certified"] = self._certified.finish(read)
        return self._facts
