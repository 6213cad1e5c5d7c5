"""Members of a generative model: by an ensemble, a repulsive one, or from a posterior."""

from __future__ import annotations

import torch

from truthward.learn.fit import Settings
from truthward.learn.members import train_members
from truthward.learn.stack import Stack
from truthward.study import plugins
from truthward.study.generative_members import Uncertainty

EVENTS = 200


def trained(sets: int = 1, **uncertainty) -> Stack:
    """Members of a one-dimensional flow matching of standard normal events."""
    chosen = Uncertainty(**uncertainty)
    x = torch.randn(EVENTS, sets, 1, generator=torch.Generator().manual_seed(1))
    size = sets * chosen.trainings
    model = {"kind": "flow_matching", "width": 16, "depth": 2}
    stack, history = train_members(
        lambda: plugins.build("models", model, dimensions=1, conditions=0),
        chosen,
        x,
        torch.empty(EVENTS, 0),
        torch.ones(EVENTS, size),
        Settings(epochs=40, batch_size=100, learning_rate=5e-3),
        events=EVENTS,
        seeds=list(range(size)),
        seed=3,
    )
    assert len(history.train[0]) == size
    assert stack.members == sets * chosen.members
    return stack


def spread(stack: Stack, at: float) -> float:
    """Spread of the members' functions around one place."""
    x = at + 0.2 * torch.randn(500, 1, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(4)
    with torch.no_grad():
        return float(stack.call("probe", x, torch.empty(500, 0)).std(0).square().mean().sqrt())


def test_repulsion_parts_members_most_where_no_event_holds_them():
    plain, repulsive = trained(bootstrap=False), trained(bootstrap=False, repulsion=30.0)
    gain = {at: spread(repulsive, at) / spread(plain, at) for at in (0.0, 4.0)}
    assert gain[4.0] > 1.3, gain
    assert spread(repulsive, 4.0) > 2.0 * spread(repulsive, 0.0)


def test_draws_from_a_posterior_differ_and_repeat():
    options = {"kind": "variational", "members": 3}
    stack, again = (trained(sets=2, **options) for _ in range(2))
    for name, value in stack.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    names = {name for name in stack.names if not torch.equal(*(stack.state_of(m)[name] for m in (0, 1)))}
    assert names == {"network.layers.4.weight", "network.layers.4.bias"}
    # Two training sets give two networks: their first layers differ, those of one set's members do not.
    first = [stack.state_of(m)["network.layers.0.weight"] for m in range(6)]
    assert torch.equal(first[3], first[5])
    assert not torch.equal(first[0], first[3])
