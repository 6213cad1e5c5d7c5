"""The repulsive force between members of an ensemble, in the space of their functions."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def crowding(f: Tensor) -> Tensor:
    """ln sum_j k(f_i, sg f_j), for outputs of the members at B points (..., E, B, O) -> (..., E).

    k(f, g) = exp(-|f - g|^2 / h), with the median bandwidth h = median |f_i - f_j|^2 / ln(E + 1). sg stops the gradient
    and |f - g|^2 is the mean over points. The value is largest, ln E, if all members are equal. Its gradient pushes
    each member away from the others (2106.11642).
    """
    distance = (f.unsqueeze(-3) - f.detach().unsqueeze(-4)).square().sum(-1).mean(-1)  # (..., E, E)
    members = f.shape[-3]
    others = ~torch.eye(members, dtype=torch.bool, device=f.device)
    apart = distance.detach()[..., others].median(-1).values
    # Equal members have no direction in which to separate. The floor makes their force zero instead of 0/0.
    bandwidth = (apart / math.log(members + 1)).clamp(min=torch.finfo(f.dtype).tiny)
    return torch.logsumexp(-distance / bandwidth[..., None, None], dim=-1)
