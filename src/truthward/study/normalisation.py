"""What gives the weights of simulated events their size: the luminosity of the data, and sums of generator weights."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from truthward.study.strict import Number, Strict

PER_PB = {"ub-1": 1e-6, "nb-1": 1e-3, "pb-1": 1.0, "fb-1": 1e3, "ab-1": 1e6}
"""Unit of an integrated luminosity -> its size in inverse picobarn."""


class Luminosity(Strict):
    """The integrated luminosity of the data.

    Attributes:
        value: the number.
        unit: its unit.
    """

    value: Number = Field(gt=0)
    unit: Literal["ub-1", "nb-1", "pb-1", "fb-1", "ab-1"]

    @property
    def per_pb(self) -> float:
        """In inverse picobarn."""
        return self.value * PER_PB[self.unit]

    @property
    def per_fb(self) -> float:
        """In inverse femtobarn."""
        return self.value * (PER_PB[self.unit] / PER_PB["fb-1"])


class GeneratorWeights(Strict):
    """The sum of the generator weights of all events that were generated, before any skim.

    Attributes:
        tree: tree of the branch; its entries are added over all files of the sample. None: the only one of each file.
        branch: branch with sums of weights, such as genEventSumw of the tree Runs.
        histogram: histogram with sums of weights; it is added over all files.
        bin: number of its bin, from 1; None: the sum of all bins.
        sum: the sum itself; `generator_weights: 1.23e9` is short for it.
    """

    tree: str | None = None
    branch: str | None = None
    histogram: str | None = None
    bin: int | None = Field(None, ge=1)
    sum: Number | None = Field(None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _number(cls, content: Any) -> Any:
        return content if isinstance(content, dict | GeneratorWeights) else {"sum": content}

    @model_validator(mode="after")
    def _one_source(self) -> GeneratorWeights:
        if [self.branch, self.histogram, self.sum].count(None) != 2:
            raise ValueError(
                "give a number, or exactly one of `branch` (with its `tree`), such as {tree: Runs, branch: "
                "genEventSumw}, and `histogram` (with a `bin`)"
            )
        if self.tree is not None and self.branch is None:
            raise ValueError("`tree` needs `branch`")
        if self.bin is not None and self.histogram is None:
            raise ValueError("`bin` needs `histogram`")
        return self
