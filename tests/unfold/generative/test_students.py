"""Unfolding with a model that draws by its student: every training of the teacher is followed by one of the student."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unfold.generative.test_generative import QUICK, REMAINS, SHIFT, blocks, toy
from truthward.errors import StaleError
from truthward.study.plugins import build
from truthward.unfold.generative import posterior
from truthward.unfold.inputs.arrays import NOMINAL, Replica

STUDENT = QUICK | {
    "model": {
        "kind": "consistency",
        "teacher": QUICK["model"],
        "width": 32,
        "depth": 2,
        "pairs": 8000,
        "epochs": 6,
        "batch_size": 250,
    }
}


def mean(entry: dict, **given: object) -> float:
    """Mean of the unfolded events of the nominal."""
    x, w = blocks(build("unfold", entry).unfold(toy(), [NOMINAL], seed=3, **given))
    return float(np.average(x[:, 0], weights=w))


def test_the_prior_is_removed_as_with_the_teacher_alone() -> None:
    teacher, student = mean(QUICK), mean(STUDENT)
    assert student != teacher
    assert student == pytest.approx(teacher, abs=0.02)
    assert SHIFT - student < 0.5 * REMAINS * SHIFT


def test_replicas_start_from_the_nominal_s_student() -> None:
    inputs, method = toy(2000), build("unfold", STUDENT | {"iterations": 1})
    found = method.unfold(inputs, [NOMINAL], seed=3)
    x, _ = blocks(found)
    again = method.unfold(inputs, [Replica("data_bootstrap", 0)], seed=3, nominal=found.trained)
    y, _ = blocks(again, Replica("data_bootstrap", 0))
    assert set(np.round(y[:, 0], 4)) <= set(np.round(x[:, 0], 4)), "the same networks and noise draw the same events"


def test_a_continued_training_without_its_student_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    distil = posterior.distil

    def once(*args: object, **options: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            distil(*args, **options)

    monkeypatch.setattr(posterior, "distil", once)
    with pytest.raises(StaleError, match="the teacher was trained after"):
        mean(STUDENT)
    assert calls == 2
