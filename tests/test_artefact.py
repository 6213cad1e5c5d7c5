"""No half file is ever seen under the real name."""

import pytest

from truthward.artefact import atomic, read_json, sha256, write_json, write_text
from truthward.errors import CorruptError, InputError


def fail_half_way(path) -> None:
    with atomic(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    before = sha256(path)
    with pytest.raises(KeyboardInterrupt):
        fail_half_way(path)
    assert sha256(path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_json_refuses_nan(tmp_path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_json_round_trip_and_its_errors(tmp_path) -> None:
    write_json(tmp_path / "a.json", {"b": [1, 2], "a": None})
    assert read_json(tmp_path / "a.json") == {"a": None, "b": [1, 2]}
    write_text(tmp_path / "b.json", "{")
    with pytest.raises(CorruptError, match=r"b\.json"):
        read_json(tmp_path / "b.json")
    with pytest.raises(InputError, match=r"c\.json"):
        read_json(tmp_path / "c.json")
