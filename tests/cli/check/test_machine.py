"""The machine's devices, with a SLURM that answers as real ones do."""

import pytest

from truthward.cli.check import machine


def test_devices_are_named(tmp_path) -> None:
    rows = dict(machine.devices(tmp_path / "not" / "there" / "yet"))
    assert set(rows) == {"Python", "CPU", "Memory", "GPU", "SLURM", "Disk"}
    assert "cores" in rows["CPU"]
    assert " GB free of " in rows["Disk"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'cpu: up, (null)'; echo 'gpu: up, gpu:2'", ["cpu: up, no GPU", "gpu: up, gpu:2"]),
        ("echo 'error: DNS' >&2; echo 'cannot reach the controller' >&2; exit 1", ["cannot reach the controller"]),
        ("exec sleep 20", ["installed, but sinfo does not answer"]),
    ],
)
def test_partitions_are_those_of_sinfo(tmp_path, monkeypatch, script, said) -> None:
    (tmp_path / "sinfo").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "sinfo").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(machine, "PATIENCE", 1)
    assert machine.slurm() == said


def test_no_slurm_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.slurm() == ["none here (no sinfo): jobs run on this machine"]
