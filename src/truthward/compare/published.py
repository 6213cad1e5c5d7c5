"""A publication, as comparisons read it: events, families, and the bins of its tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from truthward.errors import InputError, nearest
from truthward.events.families import Histogram
from truthward.events.unfolded import Unfolded
from truthward.run.artefact import read_json, sha256

EVERYTHING = np.array([-np.inf, np.inf])
"""The one bin that holds all events."""


@dataclass(frozen=True)
class Published:
    """A publication that has been verified.

    edges: observable -> edges (B + 1,) of the bins of its table in `hepdata/`; observables without a table are left
    out. inner: observable -> inner edges of the bins of a method that unfolds in bins.
    """

    folder: Path
    metadata: dict[str, Any]
    sample: Unfolded
    edges: dict[str, np.ndarray]
    inner: dict[str, list[float]]

    @classmethod
    def open(cls, folder: str | Path) -> Published:
        """Open a folder; `publish.stage.verify` has been called."""
        folder = Path(folder)
        sample = Unfolded(folder / "events.parquet")
        inner = sample.metadata.get("inner_edges", {})
        return cls(folder, read_json(folder / "metadata.json"), sample, _edges(folder, sample.observables), inner)

    @property
    def observables(self) -> list[str]:
        """The unfolded observables."""
        return self.sample.observables

    @property
    def sha256(self) -> str:
        """Digest of the list of checksums: it stands for the whole publication."""
        return sha256(self.folder / "SHA256SUMS")

    def shown(self, name: str) -> tuple[str, str]:
        """Label and unit of an observable."""
        column: dict[str, Any] = next((c for c in self.metadata["columns"] if c["name"] == f"truth_{name}"), {})
        return column.get("label") or name, column.get("unit", "")

    def chosen(self, names: list[str] | None) -> list[str]:
        """The named observables, or all.

        Raises:
            InputError: one of them was not unfolded.
        """
        for name in names or ():
            if name not in self.observables:
                raise InputError(
                    f"{self.folder}: {name} was not unfolded; {nearest(name, self.observables)}; choose among these"
                )
        return [n for n in self.observables if names is None or n in names]

    def histogram(self, name: str, edges: np.ndarray, *, weights_of: str | None = None) -> Histogram:
        """Histogram of an observable with all its replicas, in any bins that the method can state.

        Raises:
            InputError: the method unfolds in bins of its own, and one of the edges is not among them.
        """
        if name in self.inner and not np.isinf(edges).all():
            own = np.unique([*self.inner[name], *self.edges.get(name, ())])
            if foreign := [e for e in edges if not np.isclose(own, e, rtol=1e-6, atol=1e-9).any()]:
                raise InputError(
                    f"{self.folder}: {name} was unfolded in bins, and {foreign[0]:g} is not an edge of them; valid "
                    f"edges: {', '.join(f'{e:g}' for e in own)}; bin the prediction in some of these"
                )
        return self.sample.histogram(name, edges, weights_of=weights_of)

    def total(self) -> Histogram:
        """All events in one bin; of a method with weights for each observable, those of the first."""
        first = self.observables[0]
        return self.sample.histogram(first, EVERYTHING, weights_of=first)


def _edges(folder: Path, observables: list[str]) -> dict[str, np.ndarray]:
    """Edges of the tables that have the names of observables."""
    listing = folder / "hepdata" / "submission.yaml"
    if not listing.is_file():
        return {}
    found: dict[str, np.ndarray] = {}
    for entry in yaml.safe_load_all(listing.read_text(encoding="utf-8")):
        if entry and entry.get("name") in observables:
            table = yaml.safe_load((listing.parent / entry["data_file"]).read_text(encoding="utf-8"))
            rows = table["independent_variables"][0]["values"]
            found[entry["name"]] = np.array([rows[0]["low"], *(row["high"] for row in rows)], dtype=float)
    return {name: found[name] for name in observables if name in found}
