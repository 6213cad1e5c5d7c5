"""Every plug-in passes its probe; what is wrong with one is told with its key."""

import os

import numpy as np
import pytest
import torch
import uproot

from truthward.cli.check import probes
from truthward.study import checks, plugins
from truthward.study.config import Config


@pytest.fixture
def tiny(root) -> Config:
    return checks.load(root / "workflow" / "studies" / "tiny.yaml")


def test_what_the_config_names_is_built_and_nothing_else(tiny) -> None:
    done = [probes.probe(*entry) for entry in probes.entries(tiny)]
    assert [p.error for p in done if p.error] == []
    assert {p.where for p in done} == {
        "samples.simulation.generate",
        "samples.pseudodata.generate",
        "calibrate",
        "surrogate.models.flow_matching",
        "unfold.methods.omnifold",
        "unfold.methods.generative",
        "unfold.methods.generative.model",
        "unfold.methods.ibu",
    }


@pytest.mark.parametrize(
    ("package", "kind"), [(p, k) for p in probes.PROBES if p != "events.readers" for k in plugins.kinds(p)]
)
def test_every_kind_passes(package, kind) -> None:
    assert probes.probe("here", package, {"kind": kind}).error == ""


@pytest.mark.parametrize(("files", "said"), [(1, "1 file; columns: 1 truth, 2 reco"), (2, "2 files; ")])
def test_files_and_columns_of_a_reader_are_counted(tmp_path, files, said) -> None:
    for number in range(files):
        with uproot.recreate(tmp_path / f"{number}.root") as file:
            file["events"] = {"x": np.ones(3)}
    branches = {"truth_x": "x", "reco_x": "x", "reco_y": "2 * x"}
    entry = {"kind": "flat_tree", "files": [str(tmp_path / "*.root")], "branches": branches}
    done = probes.probe("samples.s.read", "events.readers", entry)
    assert done.error == ""
    assert done.said.startswith(said)


@pytest.mark.parametrize(
    ("where", "package", "entry", "said"),
    [
        ("calibrate", "calibrate", {"kind": "repulsive", "members": 1}, "ConfigError: calibrate: calibrate.members: 1"),
        (
            "samples.s.read",
            "events.readers",
            {"kind": "flat_tree", "files": ["none.root"], "same_names": True},
            "no such file",
        ),
        ("here", "unfold", {"kind": "ibu", "nothing": 1}, "ConfigError: here: unfold.nothing"),
    ],
)
def test_what_the_schema_cannot_know_is_found(where, package, entry, said) -> None:
    assert said in probes.probe(where, package, entry).error


class Broken(torch.nn.Module):
    """A model that draws the wrong number of events."""

    LIKELIHOOD = False

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(2))

    def loss(self, x, condition):
        return (x * self.scale).sum(1)

    def sample(self, condition):
        return torch.zeros(1, 2)


def test_broken_contract_is_found(monkeypatch) -> None:
    monkeypatch.setattr(plugins, "build", lambda *_, **__: Broken())
    done = probes.probe("surrogate.models.m", "models", {"kind": "broken"})
    assert done.error == "ContractError: surrogate.models.m: shape of a sample: (1, 2), (8, 2) expected"


def test_banners_are_kept_out_and_output_comes_back(monkeypatch, capfd) -> None:
    monkeypatch.setitem(probes.PROBES, "models", lambda _: f"{os.write(1, b'BANNER')} bytes")
    assert probes.probe("", "models", {"kind": "loud"}).said == "6 bytes"
    print("here again", flush=True)
    assert capfd.readouterr().out == "here again\n"
