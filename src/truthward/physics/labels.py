"""Titles and units of quantities that events carry but that no config declares."""

QUANTITIES = {
    "jet_pt": (r"jet $p_{\mathrm{T}}$", "GeV"),
    "jet_eta": (r"jet $\eta$", ""),
    "jet_phi": (r"jet $\phi$", "rad"),
    "z_pt": (r"$p_{\mathrm{T}}(Z)$", "GeV"),
    "charged_fraction": (r"charged share of jet $p_{\mathrm{T}}$", ""),
    "em_fraction": (r"electromagnetic share of jet $p_{\mathrm{T}}$", ""),
    "neutral_fraction": (r"share of neutral hadrons in jet $p_{\mathrm{T}}$", ""),
    "soft_fraction": (r"share of particles below 1 GeV in jet $p_{\mathrm{T}}$", ""),
    "strange_fraction": (r"share of strange hadrons in jet $p_{\mathrm{T}}$", ""),
}
"""Name without its level -> (label, unit)."""
