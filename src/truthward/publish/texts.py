"""The texts of a publication: conventions, caveats and the README. They use only the contents of the unfolded file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from truthward.events.unfolded import Family
from truthward.publish.example import Example
from truthward.records.publish import Column, DescribedFamily, Publication
from truthward.records.unfold import Stopping
from truthward.records.validate.method import Verdict

FIXED = {"event_id": "uint64", "block": "int32"}

NORMALISATION = (
    "The nominal weights sum to the number of events expected in the fiducial region, for the data that was unfolded. "
    "Divide a histogram by its bin widths for a differential yield, and by the integrated luminosity for a cross "
    "section. For a normalised distribution divide the nominal and every replica each by its own sum, and only then "
    "form the covariance."
)

UNSTATED = (
    "not stated; ask which particles count as stable before comparing with another measurement or generator "
    "(publish.particle_level of the study says it)"
)

NO_COVERAGE = (
    "not measured, because the truth behind the data is not known. Errors are standard deviations: they hold 68% of "
    "measurements if these are Gaussian and no source of uncertainty is missing"
)

COMBINATION = {
    "rule": (
        "Histogram the events once with the nominal weight and once with each replica. For a family of R replicas with "
        "histograms h_r: S = sum_r (h_r - c)(h_r - c)^T / (R - ddof), where c is the mean of the h_r (centre `mean`) "
        "or the nominal histogram (centre `nominal`). Its covariance is S for the statement `spread` and S / R for "
        "`error_of_mean`. The covariances of different families add. Histograms of several observables, made with the "
        "same replica, are laid end to end to give their covariance with one another."
    ),
    "within_family": "S = sum_r (h_r - c)(h_r - c)^T / (R - ddof); divided by R for error_of_mean",
    "between_families": "sum",
}

_MEANINGS = {
    "data_bootstrap": "statistics of the data: the unfolding repeated with Poisson weights on the data events",
    "mc_bootstrap": "statistics of the simulation: the unfolding repeated with Poisson weights on the simulated events",
    "initialisation": "spread of the method from one initialisation of networks, or choice of splits, to another",
}


def describe(family: Family) -> DescribedFamily:
    """A family's declaration with its meaning in words."""
    name = family.name.removeprefix("systematic:")
    meaning = _MEANINGS.get(family.name, f"systematic uncertainty `{name}`: each replica is one variation")
    return {
        "name": family.name,
        "count": family.count,
        "statement": family.statement,
        "ddof": family.ddof,
        "centre": family.centre,
        "meaning": meaning,
    }


def coverage(pulls: Sequence[float]) -> str:
    """How often the intervals hold the known truth of pseudo-data, from the pulls of coarse bins; without any, that it
    is not known.

    >>> coverage([0.5, -1.5, 0.2, 0.8])[:60]
    '75% of 4 coarse bins have the known truth of the pseudo-data'
    """
    if not pulls:
        return NO_COVERAGE
    inside, rms = sum(abs(p) < 1 for p in pulls) / len(pulls), (sum(p * p for p in pulls) / len(pulls)) ** 0.5
    return (
        f"{inside:.0%} of {len(pulls)} coarse bins have the known truth of the pseudo-data within one standard "
        f"deviation (68% are expected), the rms pull is {rms:.2f}. This is one experiment, whose bins are correlated"
    )


def caveats(families: Mapping[str, Family], *, joint: bool) -> list[str]:
    """What a reader must not do with these events."""
    sampled = [f for f in families.values() if f.centre == "mean"]
    found = [
        "The events are weighted and correlated with one another through the unfolding (arXiv:2504.14072): the square "
        "root of the sum of squared weights is not an uncertainty here, and resampling these events is no substitute "
        "for the replicas.",
        "Weights refer to the fiducial region as a whole. Cuts within it are fine; nothing is known outside of it.",
        "Distributions that the unfolding did not act on follow the data only as far as they are correlated with those "
        "it did; what remains comes from the simulation (arXiv:2109.13243).",
    ]
    if sampled:
        few = min(sampled, key=lambda f: f.count)
        found.append(
            f"A covariance from R replicas has a rank of at most R - 1 ({few.name}: {few.count - 1}). Before inverting "
            "the summed matrix, use at most a third as many bins as replicas, and correct the inverse by (R - B - 2) "
            "/ (R - 1) (arXiv:astro-ph/0608064)."
        )
    if not joint:
        found.append(
            "Each observable was unfolded by itself and has weights of its own: they hold for this observable alone, "
            "and there is no covariance between observables but through replicas of equal family and index."
        )
    return found


def words(text: str) -> str:
    """Text from the config or a file as literal Markdown: one line without tags, links or code.

    >>> words("<b>|eta| < 3</b> [x](y)")
    '&lt;b>|eta| < 3&lt;/b> [x]&#40;y)'
    """
    line = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(text.split()))
    return line.replace("](", "]&#40;").replace("`", "&#96;")


def readme(metadata: Publication, example: Example) -> str:
    """The publication's README from its metadata."""
    method = metadata["method"]
    iterations = "" if method["iterations"] is None else f", {method['iterations']} iterations"
    yields = ", ".join(f"`{name}`: {value:.6g}" for name, value in metadata["normalisation"]["sum_of_weights"].items())
    block = any(c["name"] == "block" for c in metadata["columns"])
    lines = [
        f"# Unfolded events: {metadata['study']}",
        "",
        f"{metadata['events']} weighted events at particle level, unfolded with `{method['method']}` "
        f"({method['kind']}{iterations}) for: {', '.join(metadata['unfolded_observables'])}.",
        "",
        f"- **Fiducial region**: {words(metadata['fiducial'])}",
        f"- **Particle level**: {words(metadata['particle_level'] or UNSTATED)}",
        f"- **Normalisation**: {metadata['normalisation']['rule']}",
        f"- **Sum of weights**: {yields}",
        *_stopping(method.get("stopping")),
        f"- **Verdict**: {metadata['verdict']['verdict']}{_reasons(metadata['verdict'])}",
        f"- **Errors and bands**: {metadata['uncertainty']}",
        f"- **Coverage**: {metadata.get('coverage', NO_COVERAGE)}",
        f"- **Licence**: {words(metadata['licence'])}",
        "",
        "| file | holds |",
        "| --- | --- |",
        "| `explore.html` | for a browser: any observable, expression, selection and bins, with band and table |",
        "| `events.parquet` | events, nominal weight, replicas |",
        "| `metadata.json` | all of this page for machines, with provenance |",
        "| `metadata.schema.json` | JSON schema of `metadata.json` |",
        "| `example.py` | " + example.sentence + " |",
        "| `hepdata/` | a submission to HEPData: each unfolded observable in bins, errors by family, covariances |",
        "| `SHA256SUMS` | check with `sha256sum --check SHA256SUMS` |",
        "",
        "## Reading",
        "",
        "```python",
        "import numpy as np",
        "import pandas as pd",
        "",
        f'events = pd.read_parquet("events.parquet", columns=["{example.columns[0]}", "{example.weight}"])',
        f'counts, edges = np.histogram(events["{example.columns[0]}"], bins=20, weights=events["{example.weight}"])',
        "```",
        "",
        "`python example.py` (numpy, pyarrow, pandas, matplotlib) writes a figure and tables with the covariance into "
        "the folder it is run in.",
        "",
        "## Columns",
        "",
        *_table(
            ("column", "meaning", "unit", "unfolded", "type"),
            [
                (f"`{c['name']}`", _meaning(c), words(c.get("unit", "")), _YES[c.get("unfolded")], c["type"])
                for c in metadata["columns"]
            ],
        ),
        "",
    ]
    if block:
        lines += [
            "The events of block 0 were drawn for the nominal result. A replica weights these draws, or it has its own "
            "draws in another `block`; its weights are zero outside of them. A histogram over all rows is right as it "
            "stands.",
            "",
        ]
    if metadata["families"]:
        lines += [
            "## Families of replicas",
            "",
            *_table(
                ("family", "R", "statement", "ddof", "centre", "meaning"),
                [
                    (f"`{n}`", f["count"], f["statement"], f["ddof"], f["centre"], f["meaning"])
                    for n, f in metadata["families"].items()
                ],
            ),
            "",
            metadata["combination"]["rule"],
            "",
        ]
    lines += ["## Before use", "", *(f"- {caveat}" for caveat in metadata["caveats"]), ""]
    made = metadata["provenance"]["unfolding"]
    commit = made.get("git", {}).get("commit") or "unknown commit"
    lines += [f"Made by {made.get('package')} {made.get('version')} ({commit}), seed {made.get('seed')}.", ""]
    return "\n".join(lines)


def _reasons(verdict: Verdict) -> str:
    """The text after the verdict: reasons, and a note if the rules that need a truth had none."""
    found = [words(reason) for reason in verdict["reasons"]]
    if verdict["without_truth"]:
        found.append("judged without the truth, which is not known")
    return ": " + "; ".join(found) if found else ""


def _stopping(entry: Stopping | None) -> list[str]:
    """How the number of iterations was chosen, for methods with iterations."""
    if not entry:
        return []
    tolerance = "" if entry["tolerance"] is None else f" with tolerance {entry['tolerance']:g}"
    chosen = entry["chosen"]
    number = ", ".join(f"{n} for {name}" for name, n in chosen.items()) if isinstance(chosen, dict) else str(chosen)
    by = f"{number} of at most {entry['largest']}, by the rule `{entry['rule']}`{tolerance}"
    return [f"- **Iterations**: {by}; {entry['limits']}."]


def _meaning(column: Column) -> str:
    of = f" for {column['observable']}" if "observable" in column else ""
    return {
        "truth": lambda: words(column["label"]),
        "event_id": lambda: "number of the event that the row comes from",
        "block": lambda: "draw that the event belongs to",
        "nominal weight": lambda: f"weight of the result{of}",
        "replica weight": lambda: (
            f"the same in each replica of `{column['family']}`{of}, index {column['indices'][0]} to "
            f"{column['indices'][1]}"
        ),
    }[column["role"]]()


_YES = {None: "", True: "yes", False: "no"}


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    return [line(head), line(["---"] * len(head)), *map(line, rows)]
