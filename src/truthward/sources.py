"""Sources of uncertainty: what an entry of `systematics` may say, and what it needs of the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from truthward import plugins
from truthward.errors import ConfigError
from truthward.strict import Strict
from truthward.variations import missing, seen_and_tilted, tilt_of

if TYPE_CHECKING:
    from truthward.config import Config, Sample


class Systematic(Strict):
    """One source of uncertainty; its family of every method is `systematic:<name>`.

    Columns of the simulation, `<what>:<name>:<0 ... replicas - 1>`, where `replicas` 2 is a pair, up and down:
    "shifted" for reco columns and acceptance, "weight" for weights. What the simulation may have wrong, found from the
    data or from another sample: "alternative", "closure", "hidden", "regularisation"; see `MODEL_KINDS`.

    columns: of kind hidden. A bare name has both levels, `truth_<name>` and `reco_<name>`: together, all such columns
    are re-weighted until the simulation agrees with the data. `truth_<name>` has no counterpart at reco level: it is
    tilted up and down, each in a family of its own, by `size` (in standard deviations of its normal score at fixed
    truth), or by what another `sample` has.
    """

    kind: Literal["shifted", "weight", "alternative", "closure", "hidden", "regularisation"]
    replicas: int = Field(2, ge=1, le=1000)
    sample: str | None = None
    columns: tuple[str, ...] = ()
    size: float = Field(0.3, gt=0, le=3)

    @field_validator("columns", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _one_kind(self) -> Systematic:
        options = {"shifted": {"replicas"}, "weight": {"replicas"}, "alternative": {"sample"},
                   "hidden": {"columns", "size", "sample"}}.get(self.kind, set())  # fmt: skip
        if odd := sorted(self.model_fields_set - options - {"kind"}):
            valid = ", ".join(f"`{o}`" for o in sorted(options)) or "nothing else"
            raise ValueError(f"kind {self.kind} has no `{odd[0]}`; it takes {valid}")
        if self.kind == "alternative" and self.sample is None:
            raise ValueError("kind alternative needs a `sample`")
        if self.kind == "hidden":
            self._check_columns()
        return self

    def _check_columns(self) -> None:
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise ValueError("kind hidden needs `columns`, each once: names such as jet_pt, or truth_<name>")
        if odd := [c for c in self.columns if c.startswith("reco_")]:
            raise ValueError(
                f"columns: {odd[0]} is of the reco level alone, where kind closure follows the data; give "
                f"{odd[0].removeprefix('reco_')} if there is a truth column as well"
            )
        if not self.tilted and {"size", "sample"} & self.model_fields_set:
            raise ValueError("`size` and `sample` are for truth_<name> columns; others are sized by the data")
        if {"size", "sample"} <= self.model_fields_set:
            raise ValueError("give `size`, or a `sample` that it comes from, not both")

    @property
    def seen(self) -> list[str]:
        """Columns of kind hidden that have both levels."""
        return seen_and_tilted(self.columns)[0]

    @property
    def tilted(self) -> list[str]:
        """Columns of kind hidden that have the truth level alone, `truth_<name>`."""
        return seen_and_tilted(self.columns)[1]

    def used(self) -> dict[str, Any]:
        """The entry in plain form, with the options that its result depends on."""
        found = {"kind": self.kind, "columns": list(self.columns), "sample": self.sample}
        given = {name: value for name, value in found.items() if value}
        return given | ({"size": self.size} if self.tilted and self.sample is None else {})

    def sources(self, name: str) -> dict[str, int]:
        """The independent sources that it stands for, each a family, and their replicas."""
        if self.kind != "hidden":
            return {name: {"alternative": 1, "closure": 1, "regularisation": 2}.get(self.kind, self.replicas)}
        return ({name: 1} if self.seen else {}) | {tilt_of(name, column): 2 for column in self.tilted}


MODEL_KINDS = ("alternative", "closure", "hidden", "regularisation")
"""Systematics that cover what the simulation has wrong.

alternative: another simulation, whose density the simulation is given by weights that are learned. closure: pseudo-data
of known truth that agree with the data at reco level, unfolded with the simulation; what is amiss is the uncertainty.
hidden: what is not unfolded, as the data have it or tilted. regularisation: half and twice the iterations. What no
column measures is seen by none but an alternative or a tilt.
"""


def check_sources(config: Config) -> None:
    """Check what one entry of `systematics` by itself does not show.

    Raises:
        ConfigError: as `checks.check`.
    """
    others = {n for n, s in config.samples.items() if s.role == "alternative"}
    used = {name: s.sample for name, s in config.systematics.items() if s.sample is not None}
    for name, sample in used.items():
        if sample not in others:
            raise ConfigError(
                f"systematics.{name}.sample: {sample!r} is not a sample with role alternative: "
                f"{', '.join(sorted(others)) or 'there is none'}{plugins.nearest(sample, others)}"
            )
    if unused := sorted(others - set(used.values())):
        raise ConfigError(
            f"samples.{unused[0]}: role alternative, but no systematic uses it; add "
            f"systematics.<name>: {{kind: alternative, sample: {unused[0]}}}"
        )
    sources = [source for name, s in config.systematics.items() for source in s.sources(name)]
    if "calibration" in sources:
        raise ConfigError("systematics.calibration: this name is that of the calibrator's members; take another")
    if twice := sorted({s for s in sources if sources.count(s) > 1}):
        raise ConfigError(f"systematics.{twice[0]}: a tilted column of a hidden one has this name too; take another")
    for kind in ("closure", "regularisation"):
        same = [n for n, s in config.systematics.items() if s.kind == kind]
        if len(same) > 1:
            raise ConfigError(f"systematics.{same[1]}: {same[0]} is of kind {kind} already; keep one")
    _check_hidden(config)
    name = config.sample("simulation")
    entry, where = config.samples[name].generate, f"samples.{name}.generate"
    if entry is not None:
        made = entry.get("systematics", {})
        if absent := [n for n in config.variations() if n not in made]:
            makes = "systematics" in plugins.schema("physics.generators", entry["kind"]).options
            way = f"add it to {where}.systematics" if makes else f"{entry['kind']} makes none"
            raise ConfigError(f"systematics.{absent[0]}: {where} does not make this variation; {way}")
        if large := [n for n, s in config.variations().items() if s["replicas"] > 2]:
            raise ConfigError(f"systematics.{large[0]}.replicas: {where} makes two variations, up and down")
        return
    read = config.samples[name].read
    mapped = None if read.get("same_names") else read.get("branches")
    if mapped and (lack := missing(config.variations(), mapped)):
        raise ConfigError(f"samples.{name}.read.branches: {lack}; map it, or ask for fewer replicas")


def _check_hidden(config: Config) -> None:
    """Columns that are not unfolded, and that the maps of the samples provide."""
    for name, systematic in config.systematics.items():
        for column in systematic.columns:
            bare = column.removeprefix("truth_")
            if bare in config.observables:
                raise ConfigError(f"systematics.{name}.columns: {column!r} is unfolded; a hidden quantity is not")
            levels = ("truth",) if column != bare else ("truth", "reco")
            for sample, entry in config.samples.items():
                asked = [lv for lv in levels if entry.role != "data" or lv == "reco"]
                if entry.role == "alternative" and sample != systematic.sample:
                    continue
                provided = _provided(entry)
                lacking = [lv for lv in asked if provided is not None and bare not in provided[lv]]
                if lacking:
                    other = f"; write truth_{bare} if it has the truth level alone" if lacking == ["reco"] else ""
                    raise ConfigError(
                        f"systematics.{name}.columns: samples.{sample} does not provide {lacking[0]}_{bare}{other}; it "
                        f"provides {', '.join(sorted(provided[lacking[0]]))}"
                    )


def _provided(sample: Sample) -> dict[str, set[str]] | None:
    """Level -> names of the columns that a map names; None where only the file, or the generator, knows."""
    if sample.read is None:
        made = plugins.schema("physics.generators", sample.generate["kind"])
        return {"truth": {*made.provides, *made.provides_truth}, "reco": set(made.provides)} if made.provides else None
    schema = plugins.schema("events.readers", sample.read["kind"])
    mapped = sample.read.get(schema.provides_from) if schema.provides_from else None
    if not mapped or sample.read.get("same_names"):
        return None
    return {lv: {c.removeprefix(f"{lv}_") for c in mapped if c.startswith(f"{lv}_")} for lv in ("truth", "reco")}
