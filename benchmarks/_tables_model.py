"""The table of `model_uncertainty.py`."""

from __future__ import annotations

from typing import Any

Rows = list[dict[str, Any]]


def model_uncertainty(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Pulls of each pair and method without model families, with each of them, and with all."""
    quoted, remedies = figures["quoted"], figures.get("remedies", {"rows": {}})["rows"]
    rows = []
    for name, found in (quoted["rows"] | remedies).items():
        simulation, data, method = name.split(", ", maxsplit=2)
        statistical, every = found["statistical"], found["all"] or found["statistical"]
        row = {"simulation": simulation, "data": data, "method": method, "statistical": f"{statistical['rms']:.2f}"}
        kinds = {"alternative": [], "closure": [], "hidden": [], "regularisation": []}
        for family, pulls in found["with"].items():
            kind = family.removeprefix("systematic:")
            kind = {"hadronisation": "alternative", "reconnection": "alternative"}.get(kind, kind)
            kind = "hidden" if kind.startswith(("composition", "tilts")) else kind
            kinds[kind].append(f"{pulls['rms']:.2f}")
        row |= {f"+ {kind}": ", ".join(values) for kind, values in kinds.items()}
        row |= {
            "all": f"**{every['rms']:.2f}**",
            "within one sigma": f"{statistical['within']:.0%}, {every['within']:.0%}",
            "stated / true": f"{statistical['stated_over_true']:.2f}, {every['stated_over_true']:.2f}",
        }
        rows.append(row)
    caption = (
        "Where the data come from another generator setting than the simulation (`_model_samples.py`), 21,000 events a "
        "sample: rms pull over ten quantile bins of six observables, with the statistical families alone, with each "
        "model family added, and with all; share of bins within one sigma of the known truth, and the median stated "
        "over the rms true error, without and with the model families. The goal, 0.7 to 1.3 in the mean, none above "
        "1.7 and at most twice the true error:"
    )
    for method, verdict in quoted["verdict"].items():
        met = "met" if verdict["met"] else "not met"
        caption += (
            f" {method} {verdict['mean']:.2f} in the mean of {verdict['pairs']} pairs, at most "
            f"{verdict['largest']:.2f}, error ratio at most {verdict['largest_ratio']:.2f} ({met});"
        )
    caption = caption.rstrip(";") + "."
    if remedies:
        caption += (
            " The last rows are remedies for the pair that is covered least: additional network inputs (features), "
            "wider tilts at truth level (tilts), a second alternative with other colour reconnection (reconnection)."
        )
    return caption, rows
