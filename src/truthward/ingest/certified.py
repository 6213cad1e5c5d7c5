"""Certified luminosity sections of real data, from a JSON file as CMS publishes it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from truthward.errors import InputError
from truthward.events.contract import Batch, identities
from truthward.study.columns import LUMINOSITY_SECTION

log = logging.getLogger("truthward.ingest.stage")

_LARGEST = 2**31
"""Runs and sections below it fit into one integer, which is looked up in the ranges."""


class Certified:
    """The luminosity sections of a file, and the number of events that are in them.

    Args:
        path: JSON, run -> [[first, last], ...], such as {"273158": [[1, 1279]]}.

    Raises:
        InputError: no such file, or another content.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.kept = Path(path), 0
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            spans = [(int(run), *span) for run, listed in content.items() for span in listed]
            for span in spans:
                if len(span) != 3 or not all(type(n) is int and 0 <= n < _LARGEST for n in span) or span[1] > span[2]:
                    raise ValueError(f"run {span[0]} has {list(span[1:])!r:.40}, which is no range")
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"{self.path}: cannot be read as a list of certified luminosity sections ({error}); valid: JSON, "
                'run -> [[first, last], ...], such as {"273158": [[1, 1279]]}'
            ) from error
        if not spans:
            raise InputError(f"{self.path}: the list of certified luminosity sections is empty; name another file")
        run, first, last = np.array(sorted(spans), dtype=np.uint64).T
        self._runs, self._seen = np.unique(run), np.empty(0, dtype=np.uint64)
        self._first = run * _LARGEST + first
        # Ranges may overlap: the last section up to each of them decides.
        self._last = np.maximum.accumulate(run * _LARGEST + last)

    def take(self, batch: Batch) -> Batch:
        """The certified events of a batch.

        Raises:
            InputError: events without run or luminosity section.
        """
        if lack := [name for name in LUMINOSITY_SECTION if name not in batch]:
            raise InputError(
                f"{batch.source}: `certified` needs run and lumi of each event, but there is no {lack[0]}; map it "
                "under `branches`"
            )
        run, lumi = (identities(batch[name], batch, name) for name in LUMINOSITY_SECTION)
        key = run * _LARGEST + lumi
        at = np.searchsorted(self._first, key, side="right")
        good = (run < _LARGEST) & (lumi < _LARGEST) & (at > 0) & (key <= self._last[at - 1])
        self.kept += int(good.sum())
        self._seen = np.union1d(self._seen, run[good])
        return batch.take(good)

    def finish(self, read: int) -> dict[str, Any]:
        """The counts, after `read` events; InputError if none is certified."""
        log.info("%d of %d events are in luminosity sections of %s", self.kept, read, self.path.name)
        if not self.kept:
            raise InputError(
                f"{self.path}: none of {read} events is in a certified luminosity section; check that the list is of "
                "these data, and that `run` and `lumi` are mapped to the right branches"
            )
        if empty := self._runs.size - self._seen.size:
            log.warning(
                "%d of %d certified runs have no event in the files; if files are missing, the luminosity is too large",
                empty,
                self._runs.size,
            )
        return {"file": self.path.name, "events": self.kept, "runs": self._runs.size, "runs_without_events": empty}
