"""File of the stage `publish`."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from truthward.records.shared import Provenance
from truthward.records.validate.method import Verdict


class Column(TypedDict):
    """A column, or all replicas of a family. indices: first and last replica. observable: the only one it is for."""

    name: str
    role: str
    type: str
    label: NotRequired[str]
    unit: NotRequired[str]
    unfolded: NotRequired[bool]
    family: NotRequired[str]
    indices: NotRequired[list[int]]
    observable: NotRequired[str]


class Normalisation(TypedDict):
    """rule: in words. sum_of_weights: nominal weight -> events. luminosity_per_fb: None where it is not given."""

    rule: str
    sum_of_weights: dict[str, float]
    luminosity_per_fb: float | None


class DescribedFamily(TypedDict):
    """A family of replicas, see `events.families.Family`, with its meaning in words."""

    name: str
    count: int
    statement: str
    ddof: int
    centre: str
    meaning: str


class Made(TypedDict):
    """unfolding: as it is in the metadata of the unfolded sample."""

    publication: Provenance
    unfolding: dict[str, Any]


class PublishedFile(TypedDict):
    """Digest and size of a file."""

    sha256: str
    bytes: int


class Publication(TypedDict):
    """publication/metadata.json. method: from the metadata of the unfolded sample. events: rows. families: by name.
    files: name -> its digest, without this file and SHA256SUMS. uncertainty, coverage: in words; format 1.0 has no
    coverage."""

    format: str
    format_version: str
    study: str
    licence: str
    fiducial: str
    particle_level: str | None
    method: dict[str, Any]
    verdict: Verdict
    uncertainty: str
    coverage: str
    unfolded_observables: list[str]
    columns: list[Column]
    events: int
    normalisation: Normalisation
    families: dict[str, DescribedFamily]
    combination: dict[str, str]
    caveats: list[str]
    provenance: Made
    files: dict[str, PublishedFile]
