"""Write YAML files in the layout of the published tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from truthward.run.artefact import write_text


def write_yaml(path: str | Path, *documents: Any, compact: bool = False) -> None:
    """Write YAML documents atomically and keep the order of keys.

    compact: write innermost lists and mappings on one line.
    """
    flow = None if compact else False
    text = yaml.safe_dump_all(documents, width=1000, sort_keys=False, allow_unicode=True, default_flow_style=flow)
    write_text(path, text)
