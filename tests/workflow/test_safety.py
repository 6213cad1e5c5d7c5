"""What a finished study holds of its surroundings: nothing of any environment variable."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]


def test_no_environment_variable_enters_results_or_logs(finished) -> None:
    files = [path for path in finished.path("results/tiny").rglob("*") if path.is_file()]
    assert {".log", ".parquet", ".safetensors", ".json", ".png", ".md", ".yaml"} <= {path.suffix for path in files}
    # Metadata of Parquet, safetensors and PNG are plain bytes in their files.
    assert [path.name for path in files if finished.canary.encode() in path.read_bytes()] == []
    # The search sees what is there.
    assert any(b'"stage": "unfold"' in path.read_bytes() for path in files if path.suffix == ".parquet")
    assert any(b'"stage": ' in path.read_bytes() for path in files if path.suffix == ".png")
