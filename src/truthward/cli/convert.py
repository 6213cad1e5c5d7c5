"""`truthward convert SOURCE TARGET`: a publication as a flat table, and a flat table as a publication."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from truthward.errors import ConfigError
from truthward.events.unfolded import Unfolded
from truthward.publish import flat
from truthward.publish.stage import publish
from truthward.publish.verify import SUMS, verify
from truthward.run.provenance import Record

REASON = "imported from a flat table: nothing is known of its validation"


def run(
    source: Path,
    target: Path,
    *,
    observables: Sequence[str] | None = None,
    licence: str = "",
    fiducial: str = "",
    study: str = "imported",
) -> int:
    """Write `target`, a folder.

    Raises:
        ConfigError: licence or fiducial region of a flat table is not known.
        InputError: the source cannot be read, or `target` is there.
        CorruptError: the publication has changed since it was written.
    """
    if target.exists():
        raise ConfigError(f"{target}: it is there already; name a new folder")
    if (source / SUMS).is_file():
        verify(source)
        flat.write_flat(source, target)
        print(f"{target}: {flat.EVENTS} and {flat.METADATA}, with a column for each weight")
        return 0
    said = flat.words_of(source)
    licence, fiducial = licence or said.get("licence", ""), fiducial or said.get("fiducial", "")
    if not licence or not fiducial:
        raise ConfigError("--licence, --fiducial: a publication states both; take them from the source of the table")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "unfolded.parquet"
        notes = flat.read_flat(source, path, observables=observables)
        names = Unfolded(path).observables
        publish(
            path,
            directory=target,
            study=said.get("study", study),
            licence=licence,
            fiducial=fiducial,
            observables=[],
            example=None,
            record=Record("convert", {"source": source.name}, "", 0),
            verdict={"verdict": "warnings", "reasons": [REASON], "without_truth": True},
            particle_level=said.get("particle_level"),
            luminosity=(said.get("normalisation") or {}).get("luminosity_per_fb"),
        )
    print(f"{target}: a publication of {', '.join(names)}", *notes, sep="\n")
    return 0
