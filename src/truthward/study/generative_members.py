"""The members of a generative model: the section of the config, which the training also uses."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_serializer, model_validator

from truthward.study.strict import Strict


class Uncertainty(Strict):
    """The members of a generative model; their spread is its uncertainty.

    Attributes:
        kind: ensemble for separate trainings, each with its own initial weights; variational for draws from one
            posterior of the weights.
        members: number of trainings, or of draws.
        bootstrap: of an ensemble: whether each member trains on its own Poisson bootstrap of the events; if not, all
            train on the same events, and the spread does not contain their statistical error.
        repulsion: of an ensemble: factor of the repulsion between members (2106.11642); 0 for none.
        layers: of kind variational: the layers whose weights have a posterior.
        prior: of kind variational: width of the prior, in units of 1 / sqrt(inputs of a layer).
        temperature: of kind variational: factor on the KL divergence; 1 is Bayes' theorem.
    """

    kind: Literal["ensemble", "variational"] = "ensemble"
    members: int = Field(4, ge=2)
    bootstrap: bool = True
    repulsion: float = Field(0.0, ge=0)
    layers: Literal["all", "last"] = "last"
    prior: float = Field(5.0, gt=0)
    temperature: float = Field(1.0, gt=0)

    @property
    def _others(self) -> set[str]:
        """Options of the other kind."""
        return {"layers", "prior", "temperature"} if self.kind == "ensemble" else {"bootstrap", "repulsion"}

    @model_validator(mode="after")
    def _own_options(self) -> Uncertainty:
        if odd := sorted(self.model_fields_set & self._others):
            valid = sorted(set(type(self).model_fields) - self._others)
            raise ValueError(f"kind {self.kind} has no `{odd[0]}`; valid: {', '.join(valid)}")
        return self

    @model_serializer(mode="wrap")
    def _own_only(self, dump: Any) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if name not in self._others}

    @property
    def trainings(self) -> int:
        """Trainings that the members take."""
        return self.members if self.kind == "ensemble" else 1
