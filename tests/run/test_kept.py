"""Finished work outlives its names, and only as what it was."""

from truthward.run import checksums, kept


def finished(folder) -> list:
    """Two artefacts with records of their checksums, kept under the key `k`."""
    outputs = [folder / "a.txt", folder / "b" / "a.txt"]
    for path, text in zip(outputs, ("one", "two"), strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    checksums.record(outputs, "rule")
    kept.keep(outputs, folder / ".a.txt.state" / "k")
    return outputs


def remove(outputs) -> None:
    for path in outputs:
        path.unlink()
        checksums.beside(path).unlink()


def test_what_was_kept_comes_back_with_its_records(tmp_path) -> None:
    outputs = finished(tmp_path)
    remove(outputs)
    assert not kept.take_up(outputs, tmp_path / ".a.txt.state" / "other")
    assert not outputs[0].exists()
    assert kept.take_up(outputs, tmp_path / ".a.txt.state" / "k")
    assert [path.read_text() for path in outputs] == ["one", "two"]
    assert checksums.verify(outputs) == []


def test_a_damaged_or_missing_one_is_not_taken_up(tmp_path) -> None:
    outputs = finished(tmp_path)
    outputs[1].write_text("tow")
    remove(outputs)
    assert not kept.take_up(outputs, tmp_path / ".a.txt.state" / "k")
    assert not any(path.exists() for path in outputs)


def test_without_a_record_the_name_goes_and_with_one_what_is_kept(tmp_path) -> None:
    outputs = finished(tmp_path)
    kept.withdraw(tmp_path, lambda path: path == outputs[0])
    kept.forget(tmp_path, lambda path: False)
    assert outputs[0].exists()
    kept.withdraw(tmp_path, lambda path: False)
    assert not outputs[0].exists()
    assert kept.take_up(outputs, tmp_path / ".a.txt.state" / "k")
    kept.forget(tmp_path, lambda path: path == outputs[0])
    assert not (tmp_path / ".a.txt.state").exists()
    assert outputs[0].read_text() == "one"
