"""The table of `metamorphic.py`."""

from __future__ import annotations

from typing import Any

Rows = list[dict[str, Any]]


def metamorphic(figures: dict[str, Any]) -> tuple[str, Rows]:
    """How far each result moved under what must not change it, beside the commit before the scaling by ranks."""
    now, before = figures["subjects"], figures.get("before", {}).get("subjects", {})
    names = list(dict.fromkeys(n for f in now.values() for n in f["values"]))

    def cell(found: dict[str, Any] | None, name: str) -> str:
        if found is None or name not in found["values"]:
            return "–"
        value = found["values"][name]
        text = value if isinstance(value, str) else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
        return f"**{text}**" if name in found["beyond"] else text

    def row(title: str, of: Any) -> dict[str, Any]:
        return {"": title} | {s: of(now[s]) + (f" / {of(before[s])}" if s in before else "") for s in now}

    rows = [
        row("noise of retraining", lambda f: f"{f['noise']:.3f}"),
        row("allowed", lambda f: f"{f['tolerance']:.2f}"),
        row("a blind one", lambda f: f"{f['blind']:.2f}"),
    ]
    rows += [
        {"": name} | {s: cell(now[s], name) + (f" / {cell(before[s], name)}" if s in before else "") for s in now}
        for name in names
    ]
    count = {when: sum(len(f["beyond"]) for f in each.values()) for when, each in (("now", now), ("before", before))}
    cells = sum(len(f["values"]) for f in now.values())
    caption = (
        "How far a result moves under what must not change it. Unfoldings: rms over eight bins in statistical errors;"
    )
    caption += " calibrators: rms over places in units of the response's spread; the judge: AUC less the right one."
    caption += f" {count['now']} of {cells} are beyond {figures['limit']:g} times the noise of retraining (bold)"
    if before:
        commit = figures["before"]["commit"][:10]
        caption += f"; behind the stroke commit {commit}, whose inputs were scaled by moments: {count['before']}"
    return caption + ".", rows
