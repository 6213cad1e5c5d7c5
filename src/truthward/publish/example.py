"""The example in a publication: a script that makes a histogram of an observable that was not unfolded."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np

from truthward.errors import ConfigError, InputError
from truthward.events.expression import Expression
from truthward.events.unfolded import Unfolded, weight_columns
from truthward.physics.labels import QUANTITIES
from truthward.run.artefact import write_text
from truthward.study.formula import formula, refuse_unfolded
from truthward.study.observable import Observable

BINS = 10
NEAR = 0.005
"""Share of the example's range that may lie below the smallest value."""


@dataclass(frozen=True)
class Example:
    """The contents of the example.

    Attributes:
        formula: Python expression of `t`, a dictionary of truth columns.
        columns: the truth columns it needs.
        label, unit: of the axis.
        low, high: range in `unit`.
        weight: column of the nominal weight, and `replica` the beginning of the names of its replicas.
        sentence: for the README.
    """

    formula: str
    columns: tuple[str, ...]
    label: str
    unit: str
    low: float
    high: float
    weight: str
    replica: str
    sentence: str


def choose_example(sample: Unfolded, expression: str | None, declared: dict[str, Observable]) -> Example:
    """Turn the configured expression into an example for this sample.

    A method with separate weights for each observable can show only unfolded observables: then the first one is used.

    Raises:
        ConfigError: no valid expression, an unknown observable or function, or an unfolded observable by itself.
    """
    replica = "replica:"
    if expression is None or not sample.joint:
        expression = sample.observables[0]
        sentence = f"histograms {expression} with its covariance"
        if not sample.joint:
            replica = f"replica:{expression}:"
        weight = weight_columns({}, None if sample.joint else expression)[0]
    else:
        expression = _canonical(expression)
        refuse_unfolded(
            expression, sample.observables, [n for n in sample.truth_observables if n not in sample.observables]
        )
        sentence = f"histograms {expression}, which was not used in the unfolding, with its covariance"
        weight = weight_columns({})[0]
    text, names = formula(expression, sample.truth_observables)
    o = declared.get(expression)
    columns = tuple(f"truth_{name}" for name in names)
    low, high = _range(sample, Expression(expression), weight)
    label, unit = (o.label or expression, o.unit) if o else QUANTITIES.get(expression, (expression, ""))
    return Example(text, columns, label, unit, low, high, weight, replica, sentence)


def write_example(path: Path, example: Example, study: str, label: Mapping[str, str]) -> None:
    """Write the script. label: the fields of `report.section.Report`, for the text above the figure."""
    fields = {name: repr(value) for name, value in vars(example).items()}
    fields |= {"formula": example.formula, "columns": repr(list(example.columns)), "bins": str(BINS)}
    parts = (label.get(name, "") for name in ("experiment", "luminosity", "energy"))
    fields |= {"title": repr("   ".join(part for part in parts if part))}
    fields |= {"study": study, "sentence": example.sentence[0].upper() + example.sentence[1:]}
    write_text(path, _SCRIPT.substitute(fields))


def _canonical(expression: str) -> str:
    """The checked expression as Python writes it, without comments: others will run the script."""
    try:
        checked = Expression(expression)
    except ConfigError as error:
        raise ConfigError(f"publish.example: {error}") from error
    if "`" in checked.text:
        raise ConfigError(f"publish.example: {checked.text!r} has backticks; write names of observables without them")
    return ast.unparse(ast.parse(checked.text, mode="eval"))


def _range(sample: Unfolded, expression: Expression, weight: str) -> tuple[float, float]:
    """Rounded range of the bulk, from the first rows with a weight: this is enough to choose bins."""
    batches = sample.batches([*(f"truth_{name}" for name in sorted(expression.names)), weight])
    # The first block of draws may belong to a replica; every sample has a nominal yield.
    first = next(b for b in batches if (b[weight] != 0).any())
    x = expression.evaluate({name: first[f"truth_{name}"] for name in expression.names}).astype(float)
    x = x[first[weight] != 0]
    if bad := int((~np.isfinite(x)).sum()):
        raise InputError(
            f"{sample.path}: publish.example is not finite for {bad} of {x.size} events; use another expression"
        )
    low, high = np.quantile(x, [0.005, 0.98])
    if not high > low:
        return float(low) - 0.5, float(low) + 0.5
    unit = 10.0 ** np.floor(np.log10(high - low) - 0.5)
    smallest, high = float(x.min()), np.ceil(high / unit) * unit
    # A distribution may begin at a cut: a first bin across the cut would be partly empty, and look like a drop.
    for part in (1, 2, 5, 10, 20, 50, 100):
        start = np.floor(low / unit * part) * unit / part
        if smallest - start <= NEAR * (high - low):
            break
    return float(f"{start:.6g}"), float(f"{high:.6g}")


_SCRIPT = Template('''\
"""$study: $sentence.

Needs numpy, pyarrow, pandas and matplotlib. Writes example.png, example.csv and example_covariance.csv into the
current folder.
"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
COLUMNS = $columns
WEIGHT, REPLICA = $weight, $replica
LABEL, UNIT = $label, $unit
TITLE = $title
# In the precision of the events: a value on an edge is then in the bin above it.
EDGES = np.linspace($low, $high, $bins + 1).astype(np.float32)


def observable(t):
    """The histogrammed quantity, from a table of truth columns."""
    return $formula


families = json.loads((HERE / "metadata.json").read_text(encoding="utf-8"))["families"]
names = [WEIGHT] + [f"{REPLICA}{name}:{i}" for name, f in families.items() for i in range(f["count"])]

# One row group after another: memory stays flat, however many events there are.
events = pq.ParquetFile(HERE / "events.parquet")
contents = {name: np.zeros(len(EDGES) - 1) for name in names}
for group in range(events.num_row_groups):
    table = events.read_row_group(group, columns=COLUMNS + names).to_pandas()
    x = np.asarray(observable(table), dtype=np.float32)
    for name in names:
        contents[name] += np.histogram(x, EDGES, weights=table[name].to_numpy(dtype=float))[0]

# Covariance of each family from its own declaration; families add.
nominal = contents[WEIGHT]
covariances = {}
for name, family in families.items():
    h = np.array([contents[f"{REPLICA}{name}:{i}"] for i in range(family["count"])])
    distance = h - (h.mean(axis=0) if family["centre"] == "mean" else nominal)
    covariances[name] = distance.T @ distance / (family["count"] - family["ddof"])
    if family["statement"] == "error_of_mean":
        covariances[name] /= family["count"]
covariance = sum(covariances.values(), np.zeros((len(nominal), len(nominal))))
sigma = np.sqrt(np.diag(covariance))

result = pd.DataFrame({"low": EDGES[:-1], "high": EDGES[1:], "events": nominal, "sigma": sigma})
for name, part in covariances.items():
    result[f"sigma {name}"] = np.sqrt(np.diag(part))
result.to_csv("example.csv", index=False)
pd.DataFrame(covariance).to_csv("example_covariance.csv", index=False, header=False)
print(result.to_string(index=False, float_format="{:.4g}".format))

width = np.diff(EDGES)
figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
axes.stairs(nominal / width, EDGES, color="black", label="unfolded")
band = {"baseline": (nominal - sigma) / width, "fill": True, "alpha": 0.35, "label": "68% interval"}
axes.stairs((nominal + sigma) / width, EDGES, **band)
axes.set_xlabel(LABEL + (f" [{UNIT}]" if UNIT else ""))
axes.set_ylabel("events per bin width")
axes.set_xlim(EDGES[0], EDGES[-1])
axes.set_ylim(bottom=0)
axes.legend(frameon=False)
if TITLE:
    axes.set_title(TITLE, loc="left", fontsize=10)
try:
    figure.savefig("example.png", dpi=130)
except ValueError:  # A label is no mathematics that matplotlib can set: as plain text.
    axes.xaxis.label.set_parse_math(False)
    axes.set_title(TITLE, loc="left", fontsize=10, parse_math=False)
    figure.savefig("example.png", dpi=130)
''')
