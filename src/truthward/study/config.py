"""The schema of `config.yaml`: the sections of all stages. Unknown keys are refused, with the valid ones."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from truthward.amplify.section import Amplify
from truthward.compare.section import Compare
from truthward.ingest.section import Ingest, Selection
from truthward.publish.section import Publish
from truthward.report.section import Report
from truthward.simulate.section import Sample
from truthward.study import plugins
from truthward.study.normalisation import Luminosity
from truthward.study.observable import SHOWN, Observable
from truthward.study.strict import Plugin, Strict
from truthward.surrogate.section import Surrogate
from truthward.systematics.section import MODEL_KINDS, Systematic
from truthward.unfold.section import Unfold
from truthward.validate.section import Validate

MERGED = "prediction"
"""Name of the table into which several simulated samples are merged."""


class Config(Strict):
    """The whole study: any set of sections. Each section that is given is a stage that runs, see `stages`.

    Attributes:
        study: name of the study; its results are in `results/<study>/`.
        seed: the one seed from which all others derive; the same seed gives the same result on a CPU.
        luminosity: of the data; needed where a sample has a cross section, and for published cross sections.
        samples: name -> sample; at least one has the role simulation, and exactly one the role data.
        ingest: what the samples may be.
        selection: cuts at each level.
        observables: name -> observable; what is unfolded.
        calibrate: the calibrator of the jets, a kind and its options; None for none.
        systematics: name -> source of uncertainty.
        surrogate: generative models of the simulation.
        amplify: samples of a surrogate beyond its training statistics; None for none.
        unfold: the methods, and the replicas of each.
        validate: how the results are judged.
        publish: what is published; None for nothing.
        compare: predictions that the published result is compared with; None for none.
        report: words above every figure.
    """

    study: str
    seed: int = Field(1, ge=0)
    luminosity: Luminosity | None = None
    samples: dict[str, Sample] = Field({})
    ingest: Ingest = Ingest()
    selection: Selection = Selection()
    observables: dict[str, Observable] = Field({})
    calibrate: Plugin | None = None
    systematics: dict[str, Systematic] = Field({})
    surrogate: Surrogate = Surrogate()
    amplify: Amplify | None = None
    unfold: Unfold = Unfold()
    validate_: Validate = Field(Validate(), alias="validate")
    publish: Publish | None = None
    compare: Compare | None = None
    report: Report = Report()

    def stages(self) -> list[str]:
        """The stages of the study in the order of the chain: each is a folder of the package and a file in `rules/`."""
        methods = bool(self.unfold.methods)
        chain = {
            "simulate": any(sample.generate for sample in self.samples.values()),
            "ingest": bool(self.samples),
            "calibrate": self.calibrate is not None,
            "systematics": bool(self.learned()),
            "surrogate": bool(self.surrogate.models),
            "amplify": self.amplify is not None,
            "unfold": methods,
            "validate": methods or bool(self.surrogate.models),
            "publish": self.publish is not None,
            "compare": self.compare is not None,
            "report": methods,
        }
        shared = {"study", "seed", "luminosity", "samples", "selection", "observables"}
        fields = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        others = [name for name in fields if name not in chain.keys() | shared and fields[name] is not None]
        return [name for name, there in chain.items() if there] + others

    def sample(self, role: str) -> str:
        """Name of the first sample with this role; empty in a study without samples."""
        return next((name for name, sample in self.samples.items() if sample.role == role), "")

    def merged(self) -> list[str]:
        """Samples that are merged into one simulation: all of it, then backgrounds; none where there is just one."""
        found = [n for role in ("simulation", "background") for n, s in self.samples.items() if s.role == role]
        return found if len(found) > 1 else []

    @property
    def simulation(self) -> str:
        """Name of the table that all stages after `ingest` take as the simulation."""
        return MERGED if self.merged() else self.sample("simulation")

    def normalisation(self, name: str) -> dict[str, Any] | None:
        """What the weights of a sample are multiplied with: cross section in pb, luminosity in inverse pb."""
        sample = self.samples[name]
        if sample.cross_section is None or sample.generator_weights is None or self.luminosity is None:
            return None
        return {
            "cross_section": sample.cross_section,
            "k_factor": sample.k_factor,
            "luminosity": self.luminosity.per_pb,
            "generator_weights": sample.generator_weights.model_dump(),
        }

    def published_luminosity(self) -> float | None:
        """Luminosity of the published cross sections, per fb; None where yields are published."""
        said = self.publish.luminosity if self.publish else None
        return self.luminosity.per_fb if self.luminosity else said

    @property
    def has_closure(self) -> bool:
        """Whether the data are pseudo-data with a known truth, which only `validate` reads."""
        data = self.samples.get(self.sample("data"))
        return data is not None and (data.closure or data.closure_read is not None)

    def published_observables(self) -> list[str]:
        """The observables that the published method unfolds; none without one."""
        method = self.unfold.methods.get(self.publish.method, {}) if self.publish else {}
        return list(method.get("observables") or self.observables)

    def particle_level(self) -> str | None:
        """Which particles are stable at truth level: as the config says, or the generator of the simulation."""
        said = self.publish.particle_level if self.publish else None
        return said or next(iter(self.particle_levels()), None)

    def particle_levels(self) -> dict[str, str]:
        """Particle level, as generators of the simulation state it -> a sample that does."""
        made = {n: s.generate for n, s in self.samples.items() if s.role == "simulation" and s.generate}
        known = {n: plugins.schema("physics.generators", e["kind"]).particle_level for n, e in made.items()}
        return {level: name for name, level in known.items() if level}

    def alternatives(self) -> dict[str, str]:
        """Systematics that are another simulation, name -> sample."""
        return {name: s.sample for name, s in self.systematics.items() if s.kind == "alternative" and s.sample}

    def variations(self) -> dict[str, dict[str, Any]]:
        """Systematics that are columns of the simulation's own files, name -> {"kind", "replicas"}."""
        columns = {name: s for name, s in self.systematics.items() if s.kind not in MODEL_KINDS}
        return {name: {"kind": s.kind, "replicas": s.replicas} for name, s in columns.items()}

    def learned(self) -> dict[str, dict[str, Any]]:
        """Systematics whose weights are computed from the samples, name -> entry with its options."""
        return {n: s.used() for n, s in self.systematics.items() if s.kind in ("alternative", "closure", "hidden")}

    def features(self) -> dict[str, list[str]]:
        """Level -> features of all methods: columns that networks see in addition to the observables."""
        given = [method.get("features", {}) for method in self.unfold.methods.values()]
        return {
            lv: sorted({n for f in given for n in f.get(lv, ())} - set(self.observables)) for lv in ("truth", "reco")
        }

    @property
    def looks_at_data(self) -> bool:
        """Whether the weights of a systematic are computed from the data."""
        return any(s.kind == "closure" or s.seen for s in self.systematics.values())

    def sources(self) -> dict[str, Systematic]:
        """Source of uncertainty -> its systematic; `systematic:<source>` is its family."""
        return {source: s for name, s in self.systematics.items() for source in s.sources(name)}

    def model_families(self) -> list[str]:
        """Families of the model uncertainty, for mistakes of the simulation; without them all bands are statistical."""
        return [f"systematic:{source}" for source, s in self.sources().items() if s.kind in MODEL_KINDS]

    def families(self) -> dict[str, int]:
        """Replica families of the study with the number of replicas of each, empty ones left out."""
        counts = dict(self.unfold.replicas.model_dump())
        if self.calibrate is not None:
            counts["systematic:calibration"] = plugins.option("calibrate", self.calibrate, "members")
        for name, systematic in self.systematics.items():
            counts |= {f"systematic:{source}": n for source, n in systematic.sources(name).items()}
        return {name: n for name, n in counts.items() if n}

    def kinds(self) -> dict[str, str]:
        """Sources that a method treats specially, with their kind: pseudo-data, and other numbers of iterations."""
        return {n: s.kind for n, s in self.sources().items() if s.kind in ("closure", "regularisation")}

    def observable_list(self) -> list[dict[str, Any]]:
        """The observables as plain dictionaries with their name, as the stages take them."""
        return [{**o.model_dump(mode="json"), "name": n} for n, o in self.observables.items()]

    def unfolded_list(self) -> list[dict[str, Any]]:
        """The same without what only figures and tables use: a change of that reruns no unfolding."""
        return [{k: v for k, v in o.items() if k not in SHOWN} for o in self.observable_list()]
