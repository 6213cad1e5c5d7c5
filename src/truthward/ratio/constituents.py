"""Classify jets from the set of their constituents."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from truthward.errors import ConfigError, InputError
from truthward.learn.nets import Activation
from truthward.learn.scaling import RankScaling
from truthward.learn.sets import DeepSets, ParticleAttention
from truthward.ratio.base import LogRatio

KINDS = 3
"""Number of kinds of particles: 1 charged, 2 photon, 3 neutral hadron; see `events.constituents`."""

FEATURES, CONTEXT, PAIRS = 10, 5, 4
TINY = 1e-4
"""Lower limit of distances and momentum fractions, because a logarithm needs a limit."""

PIECE = 128
"""Number of events of similar lengths in one call: few enough to stay in the cache, enough to be worth the call."""


class JetScaling(nn.Module):
    """Constituents relative to their jet, scaled by ranks: (B, P, 4) -> elements, mask, context.

    Elements (B, P, 10): ln pt, ln z, z, distances in eta and phi, dR, ln dR, and the three kinds. Kinds are not scaled,
    and the remainder has no kind. Context (B, 5): ln of the summed pt, eta of the axis, multiplicity, ln of sum z dR
    and ln of sum z dR^2. z is the share of the summed pt. The axis is the pt-weighted mean direction.
    """

    def __init__(self) -> None:
        super().__init__()
        self.elements = RankScaling(FEATURES - KINDS, spikes=False)
        self.context = RankScaling(CONTEXT, spikes=False)

    def fit(self, x: Tensor, weights: Tensor | None = None, *, rows: int = 20000) -> JetScaling:
        """Take the ranks from at most `rows` events of `x` (N, P, 4), evenly spread, with `weights` (N,).

        Raises:
            InputError: fewer than two events or constituents, or values that are not finite.
        """
        step = max(1, len(x) // rows)
        x, w = x[::step], None if weights is None else weights[::step]
        elements, mask, context = jet_features(x)
        if not torch.isfinite(x).all() or mask.sum() < 2:
            bad = int((~torch.isfinite(x)).sum())
            raise InputError(
                f"constituents: {bad} values are not finite in {len(x)} events with {int(mask.sum())} constituents; "
                "finite values and at least 2 constituents are needed"
            )
        own = elements[mask][:, : FEATURES - KINDS]
        self.elements.fit((own, None if w is None else w[:, None].expand_as(mask)[mask]))
        self.context.fit((context, w))
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, P, 4) -> (B, P, 10), (B, P) bool, (B, 5)."""
        elements, mask, context = jet_features(x)
        scaled = self.elements.ranks(elements[..., : FEATURES - KINDS].flatten(0, -2))
        scaled = scaled.unflatten(0, elements.shape[:-1])
        return torch.cat([scaled, elements[..., FEATURES - KINDS :]], dim=-1), mask, self.context.ranks(context)


def jet_features(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inputs of `JetScaling` before scaling; they are finite, but ignored, for padding and empty events."""
    pt, eta, phi, code = x.unbind(-1)
    mask = code != 0
    total = pt.sum(-1, keepdim=True).clamp(min=TINY)
    z = pt / total
    axis_eta = (z * eta).sum(-1, keepdim=True)
    # The mean of unit vectors, because azimuth is periodic.
    axis_phi = torch.atan2((z * phi.sin()).sum(-1, keepdim=True), (z * phi.cos()).sum(-1, keepdim=True))
    d_eta, d_phi = (eta - axis_eta) * mask, around(phi - axis_phi) * mask
    dr = torch.hypot(d_eta, d_phi)
    kinds = [(code == kind).to(x.dtype) for kind in range(1, KINDS + 1)]
    log_z = z.clamp(min=TINY).log()
    values = [log_z + total.log(), log_z, z, d_eta, d_phi, dr, dr.clamp(min=TINY).log(), *kinds]
    multiplicity = torch.where(code < 0, -code, mask.to(x.dtype)).sum(-1)
    moments = [(z * dr**power).sum(-1).clamp(min=TINY**power).log() for power in (1, 2)]
    context = [total.log().squeeze(-1), axis_eta.squeeze(-1), multiplicity, *moments]
    return torch.stack(values, dim=-1), mask, torch.stack(context, dim=-1)


def pair_features(x: Tensor) -> Tensor:
    """ln dR, ln kT, ln z, ln m^2 of massless pairs (2202.03772, eq. 3), (B, P, 4) -> (B, 4, P, P), of order one."""
    pt, eta, phi, _ = x.unbind(-1)
    pt = pt.clamp(min=TINY)
    d_eta, d_phi = eta[:, :, None] - eta[:, None, :], around(phi[:, :, None] - phi[:, None, :])
    log_dr = 0.5 * (d_eta**2 + d_phi**2).clamp(min=TINY**2).log()
    log_pt = pt.log()
    low = torch.minimum(log_pt[:, :, None], log_pt[:, None, :])
    log_sum = (pt[:, :, None] + pt[:, None, :]).log()
    # At the small distances inside a jet m^2 = pt_i pt_j dR^2.
    log_m2 = log_pt[:, :, None] + log_pt[:, None, :] + 2.0 * log_dr
    return torch.stack([log_dr + 2.0, 0.5 * (low + log_dr) + 1.0, 0.5 * (low - log_sum) + 1.0, 0.25 * log_m2], dim=1)


def around(angle: Tensor) -> Tensor:
    """A difference of azimuth in [-pi, pi]."""
    return angle - 2.0 * torch.pi * torch.round(angle / (2.0 * torch.pi))


class ConstituentClassifier(LogRatio):
    """Scaling and a network of sets, (B, P, 4) -> logit (B,), for any order of the constituents.

    Args:
        network: "deep_sets" or "attention". width, depth, activation: see the networks; heads: of the attention.
    """

    event_dims = 2

    def __init__(
        self,
        *,
        network: Literal["deep_sets", "attention"] = "deep_sets",
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        activation: Activation = "gelu",
    ) -> None:
        super().__init__()
        self.scaling = JetScaling()
        self.paired = network == "attention"
        if self.paired and width % heads:
            raise ConfigError(f"width: {width} is not a multiple of heads, {heads}")
        self.network = (
            ParticleAttention(FEATURES, CONTEXT, PAIRS, heads=heads, width=width, depth=depth, activation=activation)
            if self.paired
            else DeepSets(FEATURES, CONTEXT, width=width, depth=depth, activation=activation)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, P, 4) -> (B,)."""
        # Members with their own inputs have no common length. On a GPU the lengths would have to be waited for.
        if torch.func.debug_unwrap(x) is not x or x.device.type != "cpu":
            return self._logit(x)
        # Group events of similar lengths and cut them to the longest: most of a padded array is padding.
        place = torch.arange(1, x.shape[1] + 1) * (x[..., 3] != 0)
        length, order = place.amax(1).sort()
        pieces = zip(order.split(PIECE), length.split(PIECE), strict=True)
        found = [self._logit(x[rows, : max(1, int(longest[-1]))]) for rows, longest in pieces]
        return torch.cat(found)[order.argsort()]

    def _logit(self, x: Tensor) -> Tensor:
        elements = self.scaling(x)
        return self.network(*elements, pair_features(x)) if self.paired else self.network(*elements)
