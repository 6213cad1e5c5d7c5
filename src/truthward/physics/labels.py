"""Titles and units of quantities that events carry without a config declaring them."""

QUANTITIES = {
    "jet_pt": (r"jet $p_{\mathrm{T}}$", "GeV"),
    "jet_eta": (r"jet $\eta$", ""),
    "jet_phi": (r"jet $\phi$", "rad"),
    "z_pt": (r"$p_{\mathrm{T}}(Z)$", "GeV"),
}
"""Name without its level -> (label, unit)."""


def axis(name: str) -> str:
    """Axis title with the unit in brackets; an unknown name stands for itself.

    >>> axis("jet_eta"), axis("x")
    ('jet $\\\\eta$', 'x')
    """
    label, unit = QUANTITIES.get(name, (name, ""))
    return f"{label} [{unit}]" if unit else label
