"""The house style: colours and sizes, panels with ratio, and saving with provenance. No pyplot, no global state."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import Bbox
from matplotlib.typing import RcKeyType

from truthward.errors import InputError
from truthward.records.shared import Histogram
from truthward.run.artefact import atomic
from truthward.run.provenance import Record
from truthward.study.observable import Observable

P = ParamSpec("P")

Edges = Sequence[float] | np.ndarray
"""Edges of B bins, (B + 1,)."""

Look = dict[str, Any]
"""Keyword arguments for matplotlib, which has types for each of them."""

METHODS = ("#3f90da", "#bd1f01", "#ffa90e", "#832db6", "#a96b59", "#e76300", "#92dadd")
"""Colours of methods in the order of the study. Colour-blind readers can tell them apart (Petroff, 2107.02270)."""
TRUTH, PRIOR, DATA = "#d9d9d9", "#717581", "#000000"
"""Fixed colours: truth (filled), simulation, data."""

STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "mathtext.fontset": "dejavusans",
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.3,
    "savefig.dpi": 130,
}


STRIP = 0.27
"""Inches above a figure for the label of the experiment."""


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run `draw` in the house style."""

    @wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapped


def save(figure: Figure, path: str | Path, record: Record, *, label: Mapping[str, str] | None = None) -> None:
    """Write a figure as PNG or PDF, atomically, with its provenance: the text chunk `provenance`, or the keywords.

    Args:
        label: section `report` of the config, drawn in a line above the figure. There is no line if all of it is empty.

    Raises:
        InputError: for another ending.
    """
    kind = Path(path).suffix
    if kind not in (".png", ".pdf"):
        raise InputError(f"{path}: figures are written as .png or .pdf")
    # matplotlib reads some settings only when it draws the figure.
    with matplotlib.rc_context(STYLE), atomic(path) as temporary:
        as_text_where_no_mathematics(figure)
        said = json.dumps(record.finish())
        metadata = {"provenance": said} if kind == ".png" else {"Keywords": said, "CreationDate": None}
        figure.savefig(temporary, metadata=metadata, bbox_inches=_labelled(figure, label or {}))


def _labelled(figure: Figure, label: Mapping[str, str]) -> Bbox | None:
    """Write the experiment (left), luminosity and energy (right) above the figure. Returns None without a label."""
    if not any(label.values()):
        return None
    width, height = figure.get_size_inches()
    y = 1 + 0.5 * STRIP / height
    figure.text(0.12 / width, y, label["experiment"], fontsize=12, weight="bold", va="center")
    right = f"{label['luminosity']} ({label['energy']})" if label["energy"] and label["luminosity"] else ""
    right = right or label["luminosity"] or label["energy"]
    figure.text(1 - 0.12 / width, y, right, fontsize=10, ha="right", va="center")
    return Bbox.from_bounds(0, 0, width, height + STRIP)


def as_text_where_no_mathematics(figure: Figure) -> None:
    """Draw text as it is written if matplotlib cannot set its mathematics: labels come from the user."""
    parser = MathTextParser("agg")
    for text in figure.findobj(Text):
        if is_math_text(text.get_text()):
            try:
                parser.parse(text.get_text())
            except ValueError:
                text.set_parse_math(False)


def canvas(width: float, height: float) -> Figure:
    """An empty figure, width and height in inches."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


LONE = 6.0
"""Smallest width of a panel that is alone in its figure, in inches."""


def family_colours(families: Iterable[str]) -> dict[str, str]:
    """Family of replicas -> colour, for all families of a result: a family has the same colour in every figure."""
    return {name: METHODS[k % len(METHODS)] for k, name in enumerate(families)}


def family_word(name: str) -> str:
    """The name of a family in a legend; other names stay."""
    words = {"data_bootstrap": "data statistics", "mc_bootstrap": "simulation statistics"}
    return words.get(name, name.removeprefix("systematic:"))


def panels(
    count: int,
    *,
    columns: int = 3,
    size: tuple[float, float] = (3.5, 3.0),
    top: float = 0.65,
    gap: tuple[float, float] = (0.72, 0.55),
) -> tuple[Figure, list[Axes]]:
    """A grid of panels.

    Args:
        size: width and height of a panel. top: room for title and legend above all panels. gap: room left of and below
            each panel. All in inches.
    """
    figure, boxes = _grid(count, columns, size, top, gap)
    return figure, [figure.add_axes(box) for box in boxes]


def ratio_panels(
    count: int,
    *,
    ratio: float,
    columns: int = 3,
    size: tuple[float, float] = (3.5, 3.0),
    top: float = 0.65,
    gap: tuple[float, float] = (0.72, 0.55),
) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """As `panels`, with a lower panel in each, which has the share `ratio` of the height."""
    figure, boxes = _grid(count, columns, size, top, gap)
    return figure, [cell(figure, box, ratio) for box in boxes]


Box = tuple[float, float, float, float]
"""Left, bottom, width and height, as shares of the figure."""


def _grid(
    count: int, columns: int, size: tuple[float, float], top: float, gap: tuple[float, float]
) -> tuple[Figure, list[Box]]:
    """An empty figure, and the places of its panels, row by row."""
    columns = max(1, min(columns, count))
    if count == 1:
        # A lone panel is as wide as the title and the legend above it.
        size = (max(size[0], LONE), size[1])
    rows = -(-count // columns)
    width, height = columns * (size[0] + gap[0]) + 0.15, rows * (size[1] + gap[1]) + top
    boxes: list[Box] = []
    for number in range(count):
        row, column = divmod(number, columns)
        left, low = gap[0] + column * (size[0] + gap[0]), height - top - (row + 1) * size[1] - row * gap[1]
        boxes.append((left / width, low / height, size[0] / width, size[1] / height))
    return canvas(width, height), boxes


def cell(figure: Figure, box: Box, ratio: float) -> tuple[Axes, Axes]:
    """One panel in `box`, and under it another, which has the share `ratio` of the height."""
    left, low, width, height = box
    lower = figure.add_axes((left, low, width, height * ratio * 0.95))
    main = figure.add_axes((left, low + height * ratio, width, height * (1 - ratio)), sharex=lower)
    main.tick_params(which="both", labelbottom=False)
    return main, lower


def title(figure: Figure, text: str, note: str = "") -> None:
    """Title at the upper left, and a lighter note under it."""
    height = figure.get_figheight()
    figure.text(0.12 / figure.get_figwidth(), 1 - 0.1 / height, text, fontsize=11, weight="bold", va="top")
    figure.text(0.12 / figure.get_figwidth(), 1 - 0.31 / height, note, fontsize=8, color="#555555", va="top")


def density(histogram: Histogram, edges: Edges) -> tuple[np.ndarray, np.ndarray]:
    """Contents and errors (B,) per unit of the observable."""
    width = np.diff(np.asarray(edges, dtype=float))
    return array(histogram["sum"]) / width, array(histogram["error"]) / width


def array(values: Sequence[float | None]) -> np.ndarray:
    """(N,) float64; None becomes NaN, which is not drawn."""
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def over(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """values / reference; NaN, which is not drawn, where the reference is not positive."""
    return np.divide(values, reference, out=np.full(values.shape, np.nan), where=reference > 0)


def line(axes: Axes, edges: Edges, values: np.ndarray, colour: str, **options: Any) -> Any:
    """A histogram as steps, without vertical lines to zero at its ends."""
    return axes.stairs(values, edges, baseline=None, color=colour, **options)


def band(axes: Axes, edges: Edges, values: np.ndarray, errors: np.ndarray, colour: str, **options: Any) -> Any:
    """A 68% band as steps."""
    settings = {"alpha": 0.3, "linewidth": 0} | options
    ok = np.isfinite(values) & np.isfinite(errors)
    low, high = (np.where(ok, values + s * errors, 1.0) for s in (-1, 1))
    # Bins without a value get a band without height, which is not visible.
    return axes.fill_between(
        np.repeat(edges, 2)[1:-1],
        np.repeat(low, 2),
        np.repeat(high, 2),
        where=np.repeat(ok, 2),
        color=colour,
        **settings,
    )


def points(axes: Axes, edges: Edges, values: np.ndarray, errors: np.ndarray, **options: Any) -> Any:
    """Points with error bars at the centres of bins."""
    e = np.asarray(edges, dtype=float)
    settings: Look = {"fmt": "o", "color": DATA, "markersize": 2.6, "linewidth": 0.8} | options
    return axes.errorbar((e[1:] + e[:-1]) / 2, values, yerr=errors, **settings)


def horizontal(axes: Axes, observable: Observable, text: str | None = None) -> None:
    """Limits, scale and title of the horizontal axis."""
    axes.set(xscale=observable.scale, xlim=observable.range, xlabel=observable.axis if text is None else text)
    if observable.scale == "log":
        log_ticks(axes.xaxis)


def per_unit(observable: Observable) -> str:
    """Title of the vertical axis of a density."""
    return f"events / {observable.unit}" if observable.unit else "events / unit"


def headroom(axes: Axes, *values: np.ndarray, room: float = 1.25, log: bool = False) -> None:
    """Start the vertical axis at zero, or below negative contents, and leave room above the highest value.

    With `log` the axis is logarithmic and starts below the smallest positive value. Other values are not drawn.
    """
    top = max((float(np.nanmax(v)) for v in values if np.isfinite(v).any()), default=1.0)
    positive = [float(v[v > 0].min()) for v in values if (v > 0).any()]
    if log and positive:
        low = min(positive) / 2
        axes.set(yscale="log", ylim=(low, top * (top / low) ** (room - 1)))
        return
    low = min((float(np.nanmin(v)) for v in values if np.isfinite(v).any()), default=0.0)
    axes.set_ylim(min(0.0, 1.1 * low), room * top if top > 0 else 1.0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 4), useMathText=True)


def ratio_axis(axes: Axes, *values: np.ndarray, label: str) -> None:
    """Limits around one that contain most of the values, ticks at round numbers, and a line at one."""
    away = np.abs(np.concatenate([v[np.isfinite(v)] for v in values] + [np.zeros(1)]) - 1.0)
    reach = next((r for r in _REACH if r >= 1.15 * np.quantile(away, 0.9)), max(_REACH))
    axes.set(ylim=(1 - reach, 1 + reach), ylabel=label)
    axes.yaxis.set_major_locator(FixedLocator([1 - _REACH[reach], 1.0, 1 + _REACH[reach]]))
    axes.axhline(1.0, color="black", linewidth=0.6, linestyle=":")


_REACH = {0.06: 0.05, 0.12: 0.1, 0.25: 0.2, 0.35: 0.2, 0.6: 0.4}
"""Half height of a ratio panel -> distance of its ticks from one."""


def known(ratio: np.ndarray, *errors: np.ndarray) -> np.ndarray:
    """The ratio (B,) where all its relative errors (B,) are below one half, else NaN, which is not drawn."""
    return np.where(np.all([e < 0.5 for e in errors], axis=0), ratio, np.nan)


def log_ticks(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis. If it has few decades, they are at 1, 2 and 5 of each."""
    low, high = axis.get_view_interval()
    few = high / low < 300
    axis.set(
        major_locator=LogLocator(subs=(1, 2, 5) if few else (1,)),
        minor_locator=LogLocator(subs="auto" if not few else tuple(range(1, 10))),
        major_formatter=FormatStrFormatter("%g"),
        minor_formatter=NullFormatter(),
    )


def whole_numbers(axes: Axes, title: str) -> None:
    """Title of a horizontal axis, with ticks at whole numbers only."""
    axes.set_xlabel(title)
    axes.xaxis.set(major_locator=MaxNLocator(integer=True), minor_locator=NullLocator())


def legend_above(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, at the upper right of the figure, outside of the panels."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        at = (0.995, 1.0)
        figure.legend(handles, labels, ncols=len(labels), loc="upper right", bbox_to_anchor=at, borderaxespad=0.3)
