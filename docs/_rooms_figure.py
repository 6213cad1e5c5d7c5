"""The figure of the package's rooms: boxes by layer, arrows by what they really import."""

from __future__ import annotations

import ast
import io
from collections import Counter
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

import truthward
from truthward.layers import ROOMS, SECTION

PACKAGE = Path(truthward.__file__).parent
LAYERS = {
    0: "L0  pydantic, yaml",
    1: "L1  numpy, awkward",
    2: "L2  torch",
    3: "L3  torch",
    4: "L4  stages",
    5: "L5  matplotlib",
    6: "L6  command",
}
SHOWN = [name for name in ROOMS if name not in ("errors", "layers")]
WIDTH, HEIGHT, GAP = 1.4, 0.5, 1.45
SHIFTS = {"cli": -1.6, "report": 1.6}
"""So that arrows pass beside boxes."""
COLOURS = (
    ("#dfe6ed", "#51606e"),
    ("#cfe8d5", "#2f7d4a"),
    ("#fde7c7", "#b7791f"),
    ("#fbd5c0", "#b4541f"),
    ("#d6d9f5", "#3f4aa8"),
    ("#eed5ee", "#8a3f8a"),
    ("#e6e6e6", "#555555"),
)
"""Of each layer: its boxes; their edges and the arrows that begin there."""


def edges() -> dict[tuple[str, str], int]:
    """(room that imports, room that is imported) -> number of modules that do.

    Left out are `errors` and `layers`, which every room may use, and sections, which are of the lowest layer.
    """
    found: dict[tuple[str, str], int] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in SHOWN or parts[-1] == SECTION:
            continue
        for other in _imported(path) - {parts[0]}:
            found[parts[0], other] = found.get((parts[0], other), 0) + 1
    return found


def _imported(path: Path) -> set[str]:
    """Rooms that a source file imports from, wherever the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base, *parts = (node.module or "").split(".")
            parts = parts or [alias.name for alias in node.names][:1]
            if base == "truthward" and parts[0] in SHOWN and parts[-1] != SECTION:
                names.add(parts[0])
    return names


def places() -> dict[str, tuple[float, float]]:
    """Room -> centre of its box; the lowest layer is at the bottom, each layer is spread over the whole width."""
    whole = max(Counter(ROOMS[name] for name in SHOWN).values()) * (WIDTH + 0.3)
    found = {}
    for layer in LAYERS:
        rooms = [name for name in SHOWN if ROOMS[name] == layer]
        for i, name in enumerate(rooms):
            found[name] = ((i + 0.5) / len(rooms) * whole + SHIFTS.get(name, 0.0), layer * GAP)
    return found


def figure() -> plt.Figure:
    """Boxes and arrows."""
    where = places()
    drawn, axes = plt.subplots(figsize=(13.5, 9.5))
    for (room, other), count in edges().items():
        (x0, y0), (x1, y1) = where[room], where[other]
        beside = y0 == y1
        start, end = (x0, y0 + HEIGHT / 2 if beside else y0 - HEIGHT / 2), (x1, y1 + HEIGHT / 2)
        bend = 0.35 * (1 if x0 > x1 else -1) if beside else 0.0
        arrow = {"arrowstyle": "-|>", "color": COLOURS[ROOMS[room]][1], "lw": 0.7 + 0.1 * min(count, 12), "alpha": 0.7}
        axes.annotate("", xy=end, xytext=start, arrowprops=arrow | {"connectionstyle": f"arc3,rad={bend}"})
    for name, (x, y) in where.items():
        face, edge = COLOURS[ROOMS[name]]
        shape = {"boxstyle": "round,pad=0.02,rounding_size=0.08", "facecolor": face, "edgecolor": edge}
        axes.add_patch(FancyBboxPatch((x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, linewidth=1.0, zorder=3, **shape))
        axes.text(x, y, name, ha="center", va="center", fontsize=11, zorder=4)
    left = min(x for x, _ in where.values()) - WIDTH / 2
    for layer, text in LAYERS.items():
        axes.text(left, layer * GAP + 0.34, text, fontsize=9.5, color=COLOURS[layer][1], zorder=4)
    axes.set_xlim(left - 0.1, max(x for x, _ in where.values()) + 0.6 * WIDTH)
    axes.set_ylim(-0.5, 6 * GAP + 0.5)
    axes.axis("off")
    return drawn


def svg() -> bytes:
    """The figure as SVG, the same bytes for the same imports."""
    out = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "truthward"}):
        drawn = figure()
        drawn.savefig(out, format="svg", bbox_inches="tight", facecolor="white", metadata={"Date": None})
    plt.close(drawn)
    return out.getvalue()
