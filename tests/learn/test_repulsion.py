"""The force between members: where it is largest, and which way it pushes."""

from __future__ import annotations

import math

import torch

from truthward.learn.repulsion import crowding


def functions(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_members_that_coincide_crowd_most_and_feel_no_force():
    f = functions(1, 20, 2).expand(5, -1, -1).clone().requires_grad_()
    value = crowding(f)
    torch.testing.assert_close(value, torch.full((5,), math.log(5.0)))
    value.sum().backward()
    assert not f.grad.any()


def test_by_hand():
    """Three members at two points: ln sum_j exp(-d_ij / h), h the median of the others over ln 4."""
    f = functions(3, 2, 2)
    distance = (f[:, None] - f[None]).square().sum(-1).mean(-1)
    apart = distance[[0, 0, 1], [1, 2, 2]].median()
    expected = torch.logsumexp(-distance * math.log(4.0) / apart, -1)
    torch.testing.assert_close(crowding(f), expected)


def test_a_member_feels_the_force_of_the_others_and_not_its_own_on_them():
    f = functions(3, 5, 2).requires_grad_()
    crowding(f)[0].backward()
    assert f.grad[0].abs().min() > 0
    assert not f.grad[1:].any()


def test_the_force_parts_members():
    f = (0.1 * functions(4, 30, 1)).requires_grad_()
    crowding(f).sum().backward()
    moved = f.detach() - 0.1 * f.grad
    assert moved.std(0).mean() > f.detach().std(0).mean()


def test_ensembles_in_one_tensor_are_independent():
    f = functions(3, 4, 30, 2)
    torch.testing.assert_close(crowding(f), torch.stack([crowding(one) for one in f]))
