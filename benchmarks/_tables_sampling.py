"""The table of the speed of sampling."""

from __future__ import annotations

from typing import Any


def sampling_speed(figures: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Solvers at equal quality, and ten members against one."""
    rate = {name: f["events_per_second"] for name, f in figures["rows"].items()}
    slowest = max(v for n, v in rate.items() if n.startswith("dopri5, b"))
    rows = [
        {
            "solver": name,
            "steps or tolerance": f.get("steps", f.get("tolerance")),
            "evaluations": f["evaluations"],
            "AUC (excess over the reference)": f"{f['auc']:.4f} ({f['excess']:+.4f})",
            "events/s": f"{f['events_per_second']:,}",
            "over dopri5 at 1e-5": f"{f['events_per_second'] / slowest:.1f}",
        }
        for name, f in figures["rows"].items()
    ]
    times = [
        f"{row['events']:,} events from each, {precision}: "
        + ", ".join(f"{name} {row[precision][name]:.1f}" for name in ("each", "stacked", "built for each"))
        for row in figures["ensemble"]
        for precision in ("fp32", "bf16")
    ]
    reference = figures["reference"]
    text = (
        f"Flow matching of a ring, half moons and a spiral in six dimensions: the fewest steps, and the loosest "
        f"tolerance of the adaptive solver, whose AUC against the truth exceeds that of the exact solution, "
        f"{reference['auc']:.4f}, by no more than its spread over {figures['seeds']} seeds, {reference['spread']:.4f}; "
        f"{figures['tested']:,} events a seed, one thread. The fastest in fp32, {figures['fastest']}, is "
        f"{figures['over_adaptive_loosest']:.1f} times as fast as the loosest dopri5; bf16 draws "
        f"{figures['bf16_over_fp32']:.1f} times as fast again. Ten members take, in times of one ({'; '.join(times)})."
    )
    return text, rows
