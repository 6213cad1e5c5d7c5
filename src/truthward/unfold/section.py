"""The section `unfold` of a config."""

from __future__ import annotations

from pydantic import Field

from truthward.study.strict import Plugin, Strict


class Replicas(Strict):
    """Number of replicas in each family; replicas of `systematic:calibration` are the members of the calibrator.

    Attributes:
        data_bootstrap: bootstraps of the data.
        mc_bootstrap: bootstraps of the simulation.
        initialisation: unfoldings with other initial weights and batches of the networks, or with other splits of
            boosted trees.
        combined: replicas that vary data, simulation and initialisation at once. They check the sum of uncertainties
            and are not part of it.
    """

    data_bootstrap: int = Field(30, ge=0)
    mc_bootstrap: int = Field(30, ge=0)
    initialisation: int = Field(5, ge=0)
    combined: int = Field(0, ge=0)


class Unfold(Strict):
    """The methods, and their common options.

    Attributes:
        methods: name -> method, a kind and its options.
        replicas: number of replicas in each family.
        jobs: number of jobs that share the replicas of a method; it does not change the result.
    """

    methods: dict[str, Plugin] = Field({})
    replicas: Replicas = Replicas()
    jobs: int = Field(2, ge=1, le=1000)
