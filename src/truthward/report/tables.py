"""Figures of published tables, with a thumbnail each, as HEPData shows them beside the tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from truthward.report import style
from truthward.run.artefact import atomic

SIZE, DPI, SMALL = (5.0, 3.8), 130, 44
"""Size in inches; dots per inch of the figure and of its thumbnail."""


def draw_table(content: Mapping[str, Any], figure: Path, thumbnail: Path) -> bool:
    """Draw a spectrum or a matrix, and write both files. False for a table that is neither.

    Args:
        content: `independent_variables` and `dependent_variables` of a HEPData table.
    """
    binned = [v for v in content["independent_variables"] if v["values"] and "low" in v["values"][0]]
    if not binned or len(binned) > 2:
        return False
    drawn = _spectrum(content) if len(binned) == 1 else _matrix(content)
    with matplotlib.rc_context(style.STYLE):
        style.as_text_where_no_mathematics(drawn)
        for path, dots in ((figure, DPI), (thumbnail, SMALL)):
            with atomic(path) as temporary:
                # Without the name of the program equal tables give equal files.
                drawn.savefig(temporary, dpi=dots, metadata={"Software": None})
    return True


@style.styled
def _spectrum(content: Mapping[str, Any]) -> Figure:
    """Values in bins with their total error."""
    x, y = content["independent_variables"][0], content["dependent_variables"][0]
    edges = np.array([x["values"][0]["low"], *(row["high"] for row in x["values"])], dtype=float)
    values = np.array([row["value"] for row in y["values"]], dtype=float)
    errors = [[e["symerror"] for e in row.get("errors", ())] for row in y["values"]]
    total = np.array([np.sqrt(np.sum(np.square(each))) for each in errors])
    figure = style.canvas(*SIZE)
    main = figure.add_axes((0.16, 0.15, 0.8, 0.78))
    style.band(main, edges, values, total, style.PRIOR)
    style.line(main, edges, values, style.DATA)
    style.headroom(main, values + total, values - total)
    main.set_xlim(edges[0], edges[-1])
    main.set_xlabel(_title(x["header"]))
    main.set_ylabel(_title(y["header"]))
    return figure


@style.styled
def _matrix(content: Mapping[str, Any]) -> Figure:
    """The first matrix of a table, bin by bin."""
    first, second = content["independent_variables"]
    column = content["dependent_variables"][0]
    values = [row["value"] if isinstance(row["value"], float | int) else np.nan for row in column["values"]]
    size = round(len(values) ** 0.5)
    matrix = np.array(values, dtype=float).reshape(size, size)
    most = float(np.nanmax(np.abs(matrix), initial=0.0)) or 1.0
    figure = style.canvas(*SIZE)
    main, bar = figure.add_axes((0.14, 0.15, 0.62, 0.78)), figure.add_axes((0.8, 0.15, 0.03, 0.78))
    image = main.imshow(matrix, cmap="RdBu_r", vmin=-most, vmax=most, origin="lower", interpolation="nearest")
    figure.colorbar(image, cax=bar).set_label(_title(column["header"]))
    main.set_xlabel(second["header"]["name"])
    main.set_ylabel(first["header"]["name"])
    return figure


def _title(header: Mapping[str, str]) -> str:
    return f"{header['name']} [{header['units']}]" if header.get("units") else header["name"]
