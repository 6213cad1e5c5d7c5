"""What `config.yaml` may say. Unknown keys are refused, with the valid ones; no heavy import happens here."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from truthward import plugins
from truthward.blocks import BLOCK
from truthward.observable import SHOWN, Observable
from truthward.sources import MODEL_KINDS, Systematic
from truthward.strict import Strict
from truthward.surrogate_options import Plugin, Surrogate


class Sample(Strict):
    """One sample: made by a generator or read from files, which a list of `checksums` may guard."""

    role: Literal["simulation", "data", "alternative"]
    generate: Plugin | None = None
    read: Plugin | None = None
    events: int = Field(20_000, ge=1)
    chunks: int = Field(1, ge=1, le=10_000)
    closure: bool = False
    closure_read: Plugin | None = None
    checksums: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_source(self) -> Sample:
        if (self.generate is None) == (self.read is None):
            raise ValueError("give exactly one of `generate` and `read`")
        if self.role != "data" and (self.closure or self.closure_read):
            raise ValueError("`closure` is for a data sample whose truth is set apart; simulation carries its truth")
        if self.generate is None and {"events", "chunks"} & self.model_fields_set:
            raise ValueError("`events` and `chunks` are for generated samples")
        if self.generate is not None and self.checksums is not None:
            raise ValueError("`checksums` is for samples that are read; generated ones are recorded by themselves")
        if self.chunks > (most := math.ceil(self.events / BLOCK)):
            raise ValueError(
                f"{self.chunks} chunks for {self.events} events; events are made in blocks of {BLOCK}: at most {most}"
            )
        return self


class Selection(Strict):
    """Expressions over columns; an event that fails is no longer accepted at that level."""

    truth: str | None = None
    reco: str | None = None


class Ingest(Strict):
    """What the samples may be. yield_difference: the largest one between the weights of a simulation and of the data at
    reco level, relative to the data; None where the simulation has no meaningful yield."""

    yield_difference: float | None = Field(0.2, gt=0)


class Amplify(Strict):
    """How far beyond its training statistics a surrogate is sampled, and the known-target study that certifies it."""

    factor: float = Field(10.0, gt=0)
    chunks: int = Field(2, ge=1, le=1000)
    training_sets: int = Field(6, ge=2)
    training_events: int = Field(500, ge=100)
    members: int = Field(4, ge=2)
    steps: int = Field(1200, ge=1)


class Replicas(Strict):
    """Number of replicas in each family; those of `systematic:calibration` are the members of the calibrator.

    `combined` ones vary data, simulation and initialisation at once: a check of the sum, of which they are no part.
    """

    data_bootstrap: int = Field(30, ge=0)
    mc_bootstrap: int = Field(30, ge=0)
    initialisation: int = Field(5, ge=0)
    combined: int = Field(0, ge=0)


class Unfold(Strict):
    """The methods, each a name and a kind, and what they share."""

    methods: dict[str, Plugin]
    replicas: Replicas = Replicas()
    jobs: int = Field(2, ge=1, le=1000)


class StressReplicas(Strict):
    """Replicas of each unfolding of the stress suite: as few as still bear a verdict."""

    data_bootstrap: int = Field(15, ge=5)
    mc_bootstrap: int = Field(15, ge=5)
    initialisation: int = Field(2, ge=0)


class Stress(Strict):
    """The stress scenarios, see `validate.scenarios`."""

    replicas: StressReplicas = StressReplicas()
    events: int = Field(40_000, ge=1)
    strength: float = Field(1.0, gt=0)
    hidden: str | None = None
    scaled: str | None = None
    scale: float = Field(1.05, gt=0)
    share: float = Field(0.1, gt=0, lt=1)


class Fit(Strict):
    """A parameter of which the simulation has several values, fitted to an unfolded observable of each method.

    parameter: the column truth_<parameter> of the simulation; edges: of the fitted bins, in the observable's unit;
    degree: of the polynomial in the parameter that the content of a bin is.
    """

    parameter: str
    observable: str
    edges: tuple[float, ...]
    degree: int = Field(2, ge=1, le=4)

    @field_validator("edges", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("edges")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) < 4 or any(a >= b for a, b in pairwise(value)):
            raise ValueError(f"{list(value)} given; at least three bins are needed, with edges that rise")
        return value


class Validate(Strict):
    """Two-sample tests: seeds, and epochs of each classifier; events that an unbinned figure takes of a sample at most;
    held-out events that a generative method's posteriors are checked with, 0 for no check; the stress suite, None for
    by request alone; and a parameter that is fitted to the results, None for none."""

    seeds: int = Field(3, ge=2)
    epochs: int = Field(10, ge=1)
    events: int = Field(500_000, ge=1000)
    posteriors: int = Field(5000, ge=0)
    stress: Stress | None = None
    fit: Fit | None = None

    def two_sample(self) -> dict[str, int]:
        """What the classifiers of the validation need to know."""
        return {"seeds": self.seeds, "epochs": self.epochs}

    def unbinned(self) -> dict[str, int]:
        """What the validation of a result needs to know."""
        return self.two_sample() | {"events": self.events}


class Publish(Strict):
    """What is published, under which licence, and which unused observable or expression the example shows; None for the
    first that was unfolded.

    require: the verdict that the method needs at least; what does not reach it ends the run.
    luminosity: of the data, per fb: the tables then hold cross sections in fb, and yields without it.
    particle_level: which particles are stable at truth level, in words; generated samples know it themselves.
    """

    method: str
    licence: str
    fiducial: str
    example: str | None = Field(None, min_length=1)
    luminosity: float | None = Field(None, gt=0)
    particle_level: str | None = None
    require: Literal["good", "warnings", "none"] = "warnings"


class Report(Strict):
    """What stands above every figure, in words: the experiment, centre-of-mass energy and luminosity of the data."""

    experiment: str = ""
    energy: str = ""
    luminosity: str = ""


class Config(Strict):
    """The whole study."""

    study: str
    seed: int = Field(1, ge=0)
    samples: dict[str, Sample]
    ingest: Ingest = Ingest()
    selection: Selection = Selection()
    observables: dict[str, Observable]
    calibrate: Plugin | None = None
    systematics: dict[str, Systematic] = Field({})
    surrogate: Surrogate = Surrogate()
    amplify: Amplify | None = None
    unfold: Unfold
    validate_: Validate = Field(Validate(), alias="validate")
    publish: Publish
    report: Report = Report()

    def sample(self, role: str) -> str:
        """Name of the one sample of that role."""
        return next(name for name, sample in self.samples.items() if sample.role == role)

    @property
    def has_closure(self) -> bool:
        """Whether the truth behind the data is known, and set apart for `validate`."""
        data = self.samples[self.sample("data")]
        return data.closure or data.closure_read is not None

    def particle_level(self) -> str | None:
        """Which particles are stable at truth level: as the config says, or the generator of the simulation."""
        entry = self.samples[self.sample("simulation")].generate
        known = plugins.schema("physics.generators", entry["kind"]).particle_level if entry else ""
        return self.publish.particle_level or known or None

    def alternatives(self) -> dict[str, str]:
        """Systematics that are another simulation, name -> sample."""
        return {name: s.sample for name, s in self.systematics.items() if s.kind == "alternative"}

    def variations(self) -> dict[str, dict[str, Any]]:
        """Systematics that are columns of the simulation's own files, name -> {"kind", "replicas"}."""
        columns = {name: s for name, s in self.systematics.items() if s.kind not in MODEL_KINDS}
        return {name: {"kind": s.kind, "replicas": s.replicas} for name, s in columns.items()}

    def learned(self) -> dict[str, dict[str, Any]]:
        """Systematics whose weights are found from the samples, name -> entry with the options that it uses."""
        return {n: s.used() for n, s in self.systematics.items() if s.kind in ("alternative", "closure", "hidden")}

    def features(self) -> dict[str, list[str]]:
        """Level -> what the networks of any method see there beside the observables of the study."""
        given = [method.get("features", {}) for method in self.unfold.methods.values()]
        return {
            lv: sorted({n for f in given for n in f.get(lv, ())} - set(self.observables)) for lv in ("truth", "reco")
        }

    @property
    def looks_at_data(self) -> bool:
        """Whether a systematic is found from the data."""
        return any(s.kind == "closure" or s.seen for s in self.systematics.values())

    def sources(self) -> dict[str, Systematic]:
        """Source of uncertainty -> its systematic; `systematic:<source>` is its family."""
        return {source: s for name, s in self.systematics.items() for source in s.sources(name)}

    def model_families(self) -> list[str]:
        """Families that cover what the simulation may have wrong; none: all bands are statistical."""
        return [f"systematic:{source}" for source, s in self.sources().items() if s.kind in MODEL_KINDS]

    def families(self) -> dict[str, int]:
        """Replica families of the study with the number of replicas of each, empty ones left out."""
        counts = dict(self.unfold.replicas.model_dump())
        if self.calibrate is not None:
            schema = plugins.schema("calibrate", self.calibrate["kind"])
            counts["systematic:calibration"] = self.calibrate.get("members", schema.options["members"][1])
        for name, systematic in self.systematics.items():
            counts |= {f"systematic:{source}": n for source, n in systematic.sources(name).items()}
        return {name: n for name, n in counts.items() if n}

    def kinds(self) -> dict[str, str]:
        """Sources that methods treat in a way of their own, with their kind: pseudo-data, and other iterations."""
        return {n: s.kind for n, s in self.sources().items() if s.kind in ("closure", "regularisation")}

    def observable_list(self) -> list[dict[str, Any]]:
        """The observables as plain dictionaries with their name, as the stages take them."""
        return [{**o.model_dump(mode="json"), "name": n} for n, o in self.observables.items()]

    def unfolded_list(self) -> list[dict[str, Any]]:
        """The same without what figures and tables alone go by: to change that unfolds nothing anew."""
        return [{k: v for k, v in o.items() if k not in SHOWN} for o in self.observable_list()]
