"""Forward and backward pass of dense networks, written out: what a training of small networks needs, and nothing else.

In a small network the bookkeeping of automatic derivatives takes longer than the products of matrices. Here a step has
a fixed list of products, with results in memory that is kept. The products are those of `learn.nets.MLP`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from truthward.learn.nets import QuickGELU

_ATEN = torch.ops.aten

Slope = Callable[[slice, Tensor], Tensor]
"""slope(members, outputs (e, B, O)) -> gradient of the outputs (e, B, O); `members` is a slice of the E members."""


def _silu_slope(g: Tensor, z: Tensor) -> Tensor:
    return _ATEN.silu_backward.grad_input(g, z, grad_input=g)


_ACTIVATIONS: dict[type[nn.Module], tuple[bool, Callable[..., Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    nn.ReLU: (True, _ATEN.relu.out, lambda g, y: _ATEN.threshold_backward.grad_input(g, y, 0, grad_input=g)),
    nn.Tanh: (True, _ATEN.tanh.out, lambda g, y: _ATEN.tanh_backward.grad_input(g, y, grad_input=g)),
    nn.GELU: (False, _ATEN.gelu.out, lambda g, z: _ATEN.gelu_backward.grad_input(g, z, grad_input=g)),
    nn.SiLU: (False, _ATEN.silu.out, _silu_slope),
    QuickGELU: (False, _ATEN.silu.out, _silu_slope),
}
"""Whether f'(z) follows from y = f(z), so that z need not be kept; y = f(z, out=y); g f'(z) in the memory of g.

For QuickGELU z and y are `SCALE` times larger than in the network: the products of the layers contain this factor.
"""


class DensePass:
    """E networks with the same layers; their gradients are left in the `grad` of the parameters.

    On a CPU the members are computed one after the other, because the activations of one fit into the cache. On other
    devices they are computed together.

    Args:
        parameters: weight (E, O, I) and bias (E, O) of each layer, in turn; all on the same device.
        activation: between the layers.
        together: whether the members are computed together; None: not on a CPU.

    Attributes:
        gradient: all gradients one after the other, (E P,); the `grad` of the parameters are views of it.
    """

    def __init__(
        self, parameters: Sequence[Tensor], activation: type[nn.Module], *, together: bool | None = None
    ) -> None:
        self._in_place, self._activate, self._slope = _ACTIVATIONS[activation]
        first = parameters[0]
        members = len(first)
        self.gradient = first.new_zeros(sum(p.numel() for p in parameters))
        for p, part in zip(parameters, self.gradient.split([p.numel() for p in parameters]), strict=True):
            p.grad = part.view_as(p)
        together = first.device.type != "cpu" if together is None else together
        self._together = members if together else 1
        self._sizes = [bias.shape[1] for bias in parameters[1::2]]
        scale = QuickGELU.SCALE if activation is QuickGELU else 1.0
        ends = [1.0, *[scale] * (len(self._sizes) - 1), 1.0]
        rows = list(zip(parameters[::2], parameters[1::2], ends[:-1], ends[1:], strict=True))
        chunks = [slice(m, m + self._together) for m in range(0, members, self._together)]
        self._chunks = [(c, [_Layer(c, *row) for row in rows]) for c in chunks]
        self._rows = 0
        self._memory: list[tuple[Tensor, Tensor, Tensor]] = []

    @torch.no_grad()
    def run(self, x: Tensor, slope: Slope) -> None:
        """Find the gradients of all members for x (B, I), or (E, B, I) if each has its own inputs.

        `slope` is called once for each part of the members, in order.
        """
        if self._rows != x.shape[-2]:
            self._prepare(x)
        for members, layers in self._chunks:
            value = x[members] if x.ndim == 3 else x.expand(self._together, *x.shape)
            inputs = [value]
            for layer, (z, other, _) in zip(layers[:-1], self._memory, strict=False):
                torch.baddbmm(layer.bias, value, layer.transposed, beta=layer.beta, alpha=layer.alpha, out=z)
                value = self._activate(z, out=z if self._in_place else other)
                inputs.append(value)
            last, end = layers[-1], self._memory[-1][0]
            torch.baddbmm(last.bias, value, last.transposed, beta=last.beta, alpha=last.alpha, out=end)
            gradient = slope(members, end)
            turned = gradient.mT
            for k in range(len(layers) - 1, -1, -1):
                layer = layers[k]
                _product(turned, inputs[k], layer.alpha, layer.weight_gradient)
                _sum(gradient, layer.beta, layer.bias_gradient)
                if k:
                    # The memory of the inputs of this layer: they are no longer needed, or were made in place.
                    z, other, turned = self._memory[k - 1]
                    gradient = self._slope(_product(gradient, layer.weight, layer.alpha, other), z)

    def _prepare(self, x: Tensor) -> None:
        """Memory for batches of this size: for each layer z and, in turn, f(z) and its gradient."""
        self._rows = x.shape[-2]
        self._memory = []
        for size in self._sizes:
            z, other = (x.new_empty(self._together, self._rows, size) for _ in range(2))
            self._memory.append((z, other, other.mT))


def _product(a: Tensor, b: Tensor, alpha: float, out: Tensor) -> Tensor:
    """alpha a b."""
    return torch.baddbmm(out, a, b, beta=0.0, alpha=alpha, out=out)


def _sum(g: Tensor, beta: float, out: Tensor) -> None:
    """beta times the sum over events, (e, B, O) -> (e, 1, O)."""
    if len(g) == 1:  # A sum over the first dimension is faster.
        g, out = g[0], out[0]
    torch.sum(g, -2, keepdim=True, out=out)
    if beta != 1.0:
        out.mul_(beta)


class _Layer:
    """Views of the weights and gradients of some members in one layer: z = alpha x weight^T + beta bias.

    `start` and `end` are the scales of x and z.
    """

    def __init__(self, members: slice, weight: Tensor, bias: Tensor, start: float, end: float) -> None:
        self.alpha, self.beta = end / start, end
        assert weight.grad is not None
        assert bias.grad is not None
        self.weight, self.bias = weight.detach()[members], bias.detach()[members, None]
        self.transposed = self.weight.mT
        self.weight_gradient, self.bias_gradient = weight.grad[members], bias.grad[members, None]
