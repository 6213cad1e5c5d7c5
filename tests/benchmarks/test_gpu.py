"""The command for GPUs runs without one, with few events, and with torch and numpy alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture
def gpu(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    import gpu

    return gpu


def test_all_parts_run_and_losses_agree(gpu, tmp_path):
    assert gpu.main(["--small", "--out", str(tmp_path / "gpu.json")]) == 0
    content = json.loads((tmp_path / "gpu.json").read_text())
    assert not content["measured"]
    assert set(content["parts"]) == set(gpu.SHARES)
    rows = [row for part in content["parts"].values() for row in part]
    assert len(content["parts"]["parity"]) == 7
    assert all("cut" not in row for row in rows)
    assert all(row[n] > 0 for row in rows for n in row if n.endswith(("per_second", "tflops")))


def test_losses_that_differ_are_an_error(gpu, monkeypatch, capsys):
    trained = []
    train = gpu.Bench.train

    def second_is_wrong(self, stack, loss, data, weights, settings):
        trained.append(stack)
        history = train(self, stack, loss, data, weights, settings)
        if len(trained) == 2:
            history.train[0][0] *= 1.01
        return history

    monkeypatch.setattr(gpu.Bench, "train", second_is_wrong)
    assert gpu.main(["--small"]) == 1
    assert "losses differ by more than 0.001: classifier\n" in capsys.readouterr().err


def test_what_takes_too_long_is_cut(gpu, capsys):
    assert gpu.main(["--small", "--seconds", "0"]) == 0
    assert capsys.readouterr().out.count("cut no time left") > 5


def test_it_needs_torch_and_numpy_alone(root):
    """Other packages of the project are refused, as where they are not installed."""
    code = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pyarrow", "pandas", "scipy", "yaml", "pydantic", "snakemake", "safetensors",
                                      "uproot", "awkward", "vector", "matplotlib", "torchdiffeq"}:
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
import gpu
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root / "benchmarks", capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
