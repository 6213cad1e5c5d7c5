"""The section `systematics` of a config: sources of uncertainty."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from truthward.study.strict import Strict
from truthward.study.variations import seen_and_tilted, tilt_of


class Systematic(Strict):
    """One source of uncertainty; its family is `systematic:<name>` in every method.

    Two kinds are columns of the simulation, `<what>:<name>:<0 ... replicas - 1>`: "shifted" for reco columns and
    acceptance, "weight" for weights. The other kinds are model uncertainties, from the data or from another sample, see
    `MODEL_KINDS`.

    Attributes:
        kind: what varies.
        replicas: for kinds shifted and weight: number of variations; 2 is a pair, up and down.
        sample: for kind alternative: the sample with role alternative. For kind hidden: a sample that sets the size of
            the tilts of `truth_<name>` columns, instead of `size`.
        columns: for kind hidden: quantities that are not unfolded. A bare name has both levels, `truth_<name>` and
            `reco_<name>`: all such columns together are re-weighted until the simulation agrees with the data. A name
            `truth_<name>` has no counterpart at reco level: it is tilted up and down, in its own family.
        classifier: for kinds closure and alternative: of the density ratio; other classifiers test the result.
        size: for kind hidden: size of the tilts, in standard deviations of the column's normal score at fixed truth.
    """

    kind: Literal["shifted", "weight", "alternative", "closure", "hidden", "regularisation"]
    replicas: int = Field(2, ge=1, le=1000)
    sample: str | None = None
    columns: tuple[str, ...] = ()
    classifier: Literal["dense", "boosted_trees"] = "dense"
    size: float = Field(0.3, gt=0, le=3)

    @field_validator("columns", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _one_kind(self) -> Systematic:
        options = {
            "shifted": {"replicas"},
            "weight": {"replicas"},
            "alternative": {"sample", "classifier"},
            "closure": {"classifier"},
            "hidden": {"columns", "size", "sample"},
        }.get(self.kind, set())
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
                f"columns: {odd[0]} exists at reco level only, and kind closure takes that from the data; give "
                f"{odd[0].removeprefix('reco_')} if there is also a truth column"
            )
        if not self.tilted and {"size", "sample"} & self.model_fields_set:
            raise ValueError(
                "`size` and `sample` are for truth_<name> columns only; the data set the size of the others"
            )
        if {"size", "sample"} <= self.model_fields_set:
            raise ValueError("give either `size` or `sample`, not both")

    @property
    def seen(self) -> list[str]:
        """Columns of kind hidden that exist at both levels."""
        return seen_and_tilted(self.columns)[0]

    @property
    def tilted(self) -> list[str]:
        """Columns of kind hidden at truth level only, `truth_<name>`."""
        return seen_and_tilted(self.columns)[1]

    def used(self) -> dict[str, Any]:
        """The entry as a dictionary, with the options on which its result depends."""
        found: dict[str, Any] = {"kind": self.kind, "columns": list(self.columns), "sample": self.sample}
        if self.classifier != "dense":
            found["classifier"] = self.classifier
        given = {name: value for name, value in found.items() if value}
        return given | ({"size": self.size} if self.tilted and self.sample is None else {})

    def sources(self, name: str) -> dict[str, int]:
        """The independent sources of this entry, each of them a family, and their numbers of replicas."""
        if self.kind != "hidden":
            return {name: {"alternative": 1, "closure": 1, "regularisation": 2}.get(self.kind, self.replicas)}
        return ({name: 1} if self.seen else {}) | {tilt_of(name, column): 2 for column in self.tilted}


MODEL_KINDS = ("alternative", "closure", "hidden", "regularisation")
"""Systematics for mistakes of the simulation.

alternative: learned weights give the simulation the density of another one. closure: pseudo-data with known truth that
agree with the data at reco level are unfolded with the simulation; the difference from the truth is the uncertainty.
hidden: quantities that are not unfolded, re-weighted to the data or tilted. regularisation: half and twice the
iterations. If no reco column measures a quantity, only an alternative or a tilt can cover it.
"""
