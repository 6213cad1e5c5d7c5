"""No half file is ever seen under the real name."""

import errno

import pytest

from truthward.errors import CorruptError, InputError, SpaceError
from truthward.run.artefact import atomic, read_json, remove_unfinished, sha256, write_json, write_text


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
    for broken in ("{", "1" * 5000, "[" * 100_000, "\x00"):
        write_text(tmp_path / "b.json", broken)
        with pytest.raises(CorruptError, match=r"b\.json"):
            read_json(tmp_path / "b.json")
    with pytest.raises(InputError, match=r"c\.json"):
        read_json(tmp_path / "c.json")


def test_a_full_disk_is_named_whatever_the_writer_says(tmp_path, monkeypatch) -> None:
    """The writer's error has no number, as those of torch and safetensors: the disk is asked."""

    def write() -> None:
        with atomic(tmp_path / "a.pt") as temporary:
            temporary.write_text("half")
            raise RuntimeError("unexpected pos 64 vs 0")

    with pytest.raises(RuntimeError, match="unexpected pos"):
        write()

    def full(_handle) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SpaceError, match=r"a\.pt: no space left on its disk"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_what_killed_writers_left_goes_and_nothing_else(tmp_path) -> None:
    names = ["0.parquet", "0.x.parquet", ".0.unfinished-0123456789ab.parquet", ".0.x.unfinished-0123456789ab.parquet"]
    for name in names:
        (tmp_path / name).write_text("x")
    remove_unfinished(tmp_path / "0.parquet")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(set(names) - {names[2]})
