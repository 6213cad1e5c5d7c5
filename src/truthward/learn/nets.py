"""Dense networks, and the inputs and seeds of networks."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["relu", "gelu", "quick_gelu", "silu", "tanh"]


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), within 0.021 of the GELU x Phi(x) (1606.08415, section 2), for half of its time."""

    SCALE = 1.702

    def forward(self, x: Tensor) -> Tensor:
        """See the class; any shape."""
        return nn.functional.silu(self.SCALE * x) / self.SCALE


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "quick_gelu": QuickGELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class MLP(nn.Module):
    """Dense network (..., inputs) -> (..., outputs).

    With `zero_last` the last layer starts at zero: a density ratio then starts at exactly one, and a velocity at zero.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 64,
        depth: int = 3,
        activation: Activation = "gelu",
        zero_last: bool = False,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        layers: list[nn.Module] = []
        size = inputs
        for _ in range(depth):
            layers += [nn.Linear(size, width), ACTIVATIONS[activation]()]
            size = width
        last = nn.Linear(size, outputs)
        if zero_last:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return self.layers(x)


def waves(t: Tensor, frequencies: int) -> Tensor:
    """Times (..., 1) -> (..., 1 + 2 K): t, and the sines and cosines of pi k t for k = 1 ... K = `frequencies`."""
    angles = t * (math.pi * torch.arange(1, frequencies + 1, device=t.device, dtype=t.dtype))
    return torch.cat([t, angles.sin(), angles.cos()], dim=-1)


def seeded(seed: int, factory, /, *args, **options):
    """Build a module with initial weights from `seed`; the state of the global generator does not change."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return factory(*args, **options)
