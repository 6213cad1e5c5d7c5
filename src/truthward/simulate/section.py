"""The section `samples` of a config: where the events of each sample come from."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from truthward.errors import ConfigError
from truthward.study.normalisation import GeneratorWeights
from truthward.study.presets import expanded
from truthward.study.strict import Number, Plugin, Strict

BLOCK = 1000
"""Events of a generated sample that share a seed; a chunk is one block at least."""


class Sample(Strict):
    """One sample: made by a generator or read from files.

    Attributes:
        role: simulation has both levels, data are unfolded, background is a simulated process that is not unfolded,
            alternative is another simulation for a systematic.
        generate: the generator, a kind and its options; or `read` in its place.
        read: the reader, a kind and its options.
        events: number of accepted events that are generated.
        chunks: jobs that generate them; changes no event.
        closure: whether the data have a known truth, which is kept apart for validation only.
        closure_read: reader of this truth if it is in separate files, for validation only.
        checksums: file with a list of SHA-256 or adler32 checksums of the files that are read; each file is verified
            before use.
        cross_section: of the simulated process, pb; it needs `generator_weights`, and the `luminosity` of the study.
            None: the weights of the events are expected yields.
        k_factor: factor on the cross section.
        generator_weights: sum of the generator weights of all generated events: a number, a branch or a histogram.
        certified: JSON file with the certified luminosity sections of real data, run -> [[first, last], ...]. Events of
            others are left out. The map needs `run` and `lumi`.
    """

    role: Literal["simulation", "background", "data", "alternative"]
    generate: Plugin | None = None
    read: Plugin | None = None
    events: int = Field(20_000, ge=1)
    chunks: int = Field(1, ge=1, le=10_000)
    closure: bool = False
    closure_read: Plugin | None = None
    checksums: str | None = Field(None, min_length=1)
    cross_section: Number | None = Field(None, gt=0)
    k_factor: Number = Field(1.0, gt=0)
    generator_weights: GeneratorWeights | None = None
    certified: str | None = Field(None, min_length=1)

    @property
    def levels(self) -> tuple[str, ...]:
        """Levels at which the events of the sample are used."""
        return ("truth", "reco") if self.role in ("simulation", "alternative") else ("reco",)

    @property
    def source(self) -> tuple[str, dict[str, Any]]:
        """Folder of the plug-in that the events come from, and its entry."""
        if self.read is not None:
            return "events.readers", self.read
        assert self.generate is not None, "a sample has one of both"
        return "physics.generators", self.generate

    @model_validator(mode="before")
    @classmethod
    def _expand_presets(cls, content: Any) -> Any:
        """Put the keys of presets into the readers' entries: what follows sees no preset, and its edit is an edit."""
        if not isinstance(content, dict):
            return content
        found = dict(content)
        for key, truth in (
            ("read", content.get("role") != "data" or bool(content.get("closure"))),
            ("closure_read", True),
        ):
            if isinstance(found.get(key), dict):
                try:
                    found[key] = expanded(found[key], truth=truth)
                except ConfigError as error:
                    raise ValueError(f"{key}.{error}") from None
        return found

    @model_validator(mode="after")
    def _one_source(self) -> Sample:
        if (self.generate is None) == (self.read is None):
            raise ValueError("give exactly one of `generate` and `read`")
        if self.role != "data" and (self.closure or self.closure_read):
            raise ValueError("`closure` and `closure_read` are for a sample with role data only; remove them")
        if self.generate is None and {"events", "chunks"} & self.model_fields_set:
            raise ValueError("`events` and `chunks` are for generated samples only; remove them")
        if self.generate is not None and self.checksums is not None:
            raise ValueError("`checksums` is for samples that are read, not for generated ones; remove it")
        if self.chunks > (most := math.ceil(self.events / BLOCK)):
            raise ValueError(
                f"{self.chunks} chunks given for {self.events} events; a chunk needs a block of {BLOCK} events: set "
                f"`chunks` to at most {most}"
            )
        return self

    @model_validator(mode="after")
    def _normalised(self) -> Sample:
        given = {"cross_section", "k_factor", "generator_weights"} & self.model_fields_set
        if given and (self.role == "data" or self.generate is not None):
            raise ValueError(
                f"`{min(given)}` is for simulation that is read; data and generated events have their weights already: "
                "remove it"
            )
        if self.cross_section is None and (extra := given - {"cross_section"}):
            raise ValueError(f"`{min(extra)}` is given without `cross_section`; add it (pb), or remove `{min(extra)}`")
        if self.cross_section is not None and self.generator_weights is None:
            raise ValueError(
                "`cross_section` needs `generator_weights`, the sum over all events before any skim; add it, such as "
                "{tree: Runs, branch: genEventSumw}, {histogram: <name>, bin: 1} or a number"
            )
        known = self.closure or self.closure_read is not None
        if self.certified is not None and (self.role != "data" or self.read is None or known):
            raise ValueError("`certified` is for real data that are read, without `closure`; remove it")
        return self
