"""What a submission to HEPData says of all its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def comment(method: str, study: str, licence: str, fiducial: str, quantity: str) -> str:
    """The text above all tables. quantity: "yield" or "cross section"."""
    meaning = {
        "yield": "Yields are events expected in the data that were unfolded.",
        "cross section": "Cross sections are unfolded yields divided by the luminosity; its error is not included.",
    }
    return (
        f"{study}: unfolded with {method}. Fiducial region at particle level: {fiducial}. "
        f"{meaning[quantity]} The error `stat` is that of the data. Errors of different labels add in quadrature, and "
        "their covariances add. The events with weights and replicas, for other bins, other observables and the "
        f"covariance between observables, are published with these tables. Licence: {licence}."
    )


def qualifiers(words: Mapping[str, Any], fiducial: str, luminosity: float | None) -> list[dict[str, Any]]:
    """What is stated beside every column: reaction and energy as HEPData names them, then the rest."""
    found: list[dict[str, Any]] = [{"name": "RE", "value": reaction} for reaction in words.get("reactions", ())]
    found += [{"name": "SQRT(S)", "units": "GeV", "value": energy} for energy in words.get("energies", ())]
    found.append({"name": "Fiducial region", "value": fiducial})
    if luminosity is not None:
        found.append({"name": "Integrated luminosity", "value": luminosity, "units": "fb$^{-1}$"})
    return found + [{"name": name, "value": value} for name, value in words.get("qualifiers", {}).items()]
