"""Losses that are not finite are reported for the first batch that has them, however late one looks."""

from __future__ import annotations

import pytest
import torch

from truthward.errors import DivergedError
from truthward.learn.finite import EVERY, Losses


def test_the_first_bad_batch_is_named_with_its_count():
    losses = Losses()
    for batch in range(5):
        per_event = torch.ones(2, 10)
        per_event[0, : max(0, batch - 1)] = torch.nan
        losses.add(f"batch {batch}", per_event.mean(1), per_event)
    with pytest.raises(DivergedError, match="batch 2: 1 of 20 losses are not finite"):
        losses.look()


def test_looking_forgets_and_is_due_after_some_batches():
    losses = Losses()
    for batch in range(EVERY):
        assert not losses.due
        losses.add(f"batch {batch}", torch.ones(1), torch.ones(1, 3))
    assert losses.due
    losses.look()
    assert not losses.due
    losses.look()
