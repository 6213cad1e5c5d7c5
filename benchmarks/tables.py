"""Write the README's tables from benchmarks/results/*.json, so that no figure is typed by hand."""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

from truthward.artefact import read_json, write_text  # noqa: E402

START, END = "<!-- tables -->", "<!-- /tables -->"


def table(content: dict) -> str:
    """One benchmark as Markdown: its figures' `table` (rows of equal keys), then where the numbers come from."""
    rows = content["figures"]["table"]
    titles = list(rows[0])
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines += ["| " + " | ".join(str(row[title]) for title in titles) + " |" for row in rows]
    machine, commit = content["machine"], (content["git"]["commit"] or "unknown")[:10]
    source = f"{machine['cores']} cores, {machine['processor']}; {content['date']}, commit {commit}"
    heading = f"**{content['name']}**: {content['figures']['caption']}"
    return f"{heading}\n\n" + "\n".join(lines) + f"\n\n`make bench NAME={content['name']}`; {source}.\n"


def main() -> None:
    """Replace what stands between the markers of the README."""
    readme = HERE.parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    found = [read_json(path) for path in sorted((HERE / "results").glob("*.json"))]
    body = "\n".join(table(content) for content in found)
    marked = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    write_text(readme, marked.sub(lambda _: f"{START}\n\n{body}\n{END}", text))


if __name__ == "__main__":
    main()
