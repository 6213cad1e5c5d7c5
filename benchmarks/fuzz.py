"""Files of every kind that is read, damaged at random: what comes out of the readers?

One bit or byte flipped, a block zeroed, repeated or exchanged, the file cut short, added to or emptied: by a seed, each
case in a worker process with limits of time and memory (`tests/fuzz`). A typed error or the right result is what must
come out, of the reader alone as far as its format has a checksum inside, and of the reader behind the record of the
checksum in all cases but the config, which is text that its author changes.
Fails where anything else comes out.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import _common as common

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "fuzz"))

import campaign
import readers

CASES = 300 if common.QUICK else 10_000
OUTCOMES = ("typed error", "right result", "altered", "other")


def count(outcomes: list[campaign.Outcome]) -> dict[str, int]:
    """Cases of each outcome, of the reader alone, and what is still altered behind the checksum."""
    alone, checked = (Counter(getattr(o, name) for o in outcomes) for name in ("outcome", "checked"))
    return {"cases": len(outcomes), **{name: alone[name] for name in OUTCOMES}, "altered behind": checked["altered"]}


def main() -> None:
    """Run all cases and report."""
    each = -(-CASES // len(readers.TARGETS))
    start = time.perf_counter()
    # All in one call: a worker goes on to the next reader, and is started anew only where one ended it.
    plan = [(target.name, number) for target in readers.TARGETS for number in range(each)]
    outcomes = campaign.run(plan, seed="benchmark")
    found = {
        t.name: {**count([o for o in outcomes if o.target == t.name]), "checksum": bool(t.checked)}
        for t in readers.TARGETS
    }
    worst = [f"{o.target}, case {o.number}: {o.detail}" for o in outcomes if o.outcome == "other"]
    print("\n".join(worst), file=sys.stderr)
    silent = sum(f["altered behind"] for name, f in found.items() if name != "config")
    common.report(
        "fuzz",
        {
            "readers": found,
            "kinds": dict(sorted(Counter(o.kind for o in outcomes).items())),
            "cases": each * len(readers.TARGETS),
            "other": len(worst),
            "altered behind": silent,
            "seconds": round(time.perf_counter() - start, 1),
        },
    )
    if worst or silent:
        sys.exit(1)


if __name__ == "__main__":
    main()
