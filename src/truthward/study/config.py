"""The schema of `config.yaml`: the sections of all stages. Unknown keys are refused, with the valid ones."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from truthward.amplify.section import Amplify
from truthward.ingest.section import Ingest, Selection
from truthward.publish.section import Publish
from truthward.report.section import Report
from truthward.simulate.section import Sample
from truthward.study import plugins
from truthward.study.observable import SHOWN, Observable
from truthward.study.strict import Plugin, Strict
from truthward.surrogate.section import Surrogate
from truthward.systematics.section import MODEL_KINDS, Systematic
from truthward.unfold.section import Unfold
from truthward.validate.section import Validate


class Config(Strict):
    """The whole study: any set of sections. Each section that is given is a stage that runs, see `stages`.

    Attributes:
        study: name of the study; its results are in `results/<study>/`.
        seed: the one seed from which all others derive; the same seed gives the same result on a CPU.
        samples: name -> sample; exactly one has the role simulation, and exactly one the role data.
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
        report: words above every figure.
    """

    study: str
    seed: int = Field(1, ge=0)
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
            "report": methods,
        }
        shared = {"study", "seed", "samples", "selection", "observables"}
        fields = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        others = [name for name in fields if name not in chain.keys() | shared and fields[name] is not None]
        return [name for name, there in chain.items() if there] + others

    def sample(self, role: str) -> str:
        """Name of the sample with this role; empty in a study without samples."""
        return next((name for name, sample in self.samples.items() if sample.role == role), "")

    @property
    def has_closure(self) -> bool:
        """Whether the data are pseudo-data with a known truth, which only `validate` reads."""
        data = self.samples.get(self.sample("data"))
        return data is not None and (data.closure or data.closure_read is not None)

    def particle_level(self) -> str | None:
        """Which particles are stable at truth level: as the config says, or the generator of the simulation."""
        entry = self.samples[self.sample("simulation")].generate
        known = plugins.schema("physics.generators", entry["kind"]).particle_level if entry else ""
        said = self.publish.particle_level if self.publish else None
        return said or known or None

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
