"""Code and configs of the pages are valid: each block is checked, and run where it stands by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml

from tests.docs.blocks import BLOCKS, Block, titled
from truthward.errors import ConfigError
from truthward.events.contract import Batch
from truthward.study import checks, plugins
from truthward.study.columns import check_selection
from truthward.study.config import Config
from truthward.study.observable import Observable
from truthward.study.seeds import seed_for
from truthward.unfold.inputs.arrays import NOMINAL, Inputs, Replica

CONFIGS = [block for block in BLOCKS if block.language == "yaml" and "--8<--" not in block.text]
PYTHON = [block for block in BLOCKS if block.language == "python"]


def check_entries(config: Config) -> None:
    """Hold the plug-ins of a config against their schemas, and its selection against the columns of its levels."""
    check_selection(config.selection.model_dump())
    for name, sample in config.samples.items():
        for folder, entry in (("physics.generators", sample.generate), ("events.readers", sample.read)):
            if entry is not None:
                plugins.check(folder, entry, f"samples.{name}")
    if config.calibrate is not None:
        plugins.check("calibrate", config.calibrate, "calibrate")
    for name, entry in config.surrogate.models.items():
        plugins.check("models", entry, name, given=("dimensions", "conditions"))
    for name, entry in config.unfold.methods.items():
        plugins.check("unfold", entry, name)
        if "model" in entry:
            plugins.check("models", entry["model"], name, given=("dimensions", "conditions"))


def check_part(content: dict[str, Any]) -> None:
    """Check some sections of a config, which need not be a study."""
    check_entries(Config.model_validate({"study": "part", **content}))


@pytest.mark.parametrize("block", CONFIGS, ids=str)
def test_configs_of_the_pages_are_valid(block: Block) -> None:
    content = yaml.safe_load(block.text)
    if "study" in content:
        checks.parse(content, str(block))
    elif block.title:
        # An overlay: it names a sample of the study that it is laid over.
        reader = content["samples"]["data"]["closure_read"]
        plugins.check("events.readers", reader, str(block))
    else:
        check_part(content)


def test_a_page_with_an_option_that_there_is_not_would_be_found() -> None:
    with pytest.raises(ConfigError, match="has no such option"):
        check_part({"unfold": {"methods": {"a": {"kind": "omnifold", "iteration": 3}}}})
    with pytest.raises(ConfigError, match="m is no column of this level"):
        check_part({"selection": {"truth": "m < 200"}})
    with pytest.raises(ValueError, match="Extra inputs"):
        check_part({"validate": {"seed": 3}})


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_of_the_pages_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


def from_page(name: str) -> dict[str, Any]:
    """Names that a block defines which a reader saves as a file."""
    found: dict[str, Any] = {"__name__": name}
    exec(titled(name), found)
    return found


def the_one(page: str, word: str) -> dict[str, Any]:
    """Names that the block of a page defines which holds a word."""
    (text,) = (block.text for block in PYTHON if block.page == page and word in block.text)
    found: dict[str, Any] = {"__name__": "page"}
    exec(text, found)
    return found


def test_method_of_the_page_has_the_yield_of_the_data() -> None:
    method = from_page("src/truthward/unfold/yield_only.py")["YieldOnly"](power=1.0)
    rng = np.random.default_rng(1)

    def columns(size: int, mean: float) -> dict[str, np.ndarray]:
        truth = rng.normal(mean, 1, size).astype(np.float32)
        everything = np.ones(size, dtype=bool)
        return {
            "truth_x": truth,
            "reco_x": truth + 0.1,
            "pass_truth": everything,
            "pass_reco": rng.random(size) < 0.8,
            "weight": np.ones(size),
            "event_id": np.arange(size, dtype=np.uint64),
        }

    data = {name: values for name, values in columns(1000, 0.2).items() if "truth" not in name}
    inputs = Inputs.from_columns(columns(2000, 0.0), data, [Observable(name="x", range=(-4, 4))], seed=1)
    replica = Replica("data_bootstrap", 0)
    result = method.unfold(inputs, [NOMINAL, replica], seed=1)
    rows = list(result.rows)
    assert sum(row[NOMINAL.column()].sum() for row in rows) == pytest.approx(1000, rel=0.05)
    assert sum(row[replica.column()].sum() for row in rows) != pytest.approx(1000, rel=1e-6)
    assert [entry["replica"] for entry in result.history] == ["nominal:0", "data_bootstrap:0"]


def test_model_of_the_page_has_a_density_and_draws_from_it() -> None:
    import torch

    torch.manual_seed(1)
    model = from_page("src/truthward/models/linear_gaussian.py")["LinearGaussian"](dimensions=2, conditions=1)
    condition = torch.ones(5000, 1)
    drawn = model.sample(condition)
    assert drawn.shape == (5000, 2)
    assert model.loss(drawn, condition).shape == (5000,)
    # The entropy of a normal distribution in two dimensions.
    assert float(model.loss(drawn, condition).mean().detach()) == pytest.approx(
        2 * 0.5 * (np.log(2 * np.pi) + 1), abs=0.05
    )


def test_calibrator_of_the_page_finds_a_linear_response() -> None:
    import torch

    calibrator = from_page("src/truthward/calibrate/linear_response.py")["LinearResponse"](log_features=[])
    x = torch.rand(4000, 2, generator=torch.Generator().manual_seed(1))
    true = 0.9 + 0.1 * x[:, 0] - 0.2 * x[:, 1]
    response = true + 0.05 * torch.randn(4000, generator=torch.Generator().manual_seed(2))
    held = torch.arange(4000) >= 3000
    response[held] = 7.0
    calibrator.train_on(x, response, torch.ones(4000), held, seed=1)
    mean, systematic, statistical = calibrator.predict(x)
    assert (mean - true).abs().max() < 0.01
    assert torch.allclose(systematic, torch.full((4000,), 0.05), rtol=0.1)
    # Three coefficients from 3000 events.
    assert float(statistical.square().mean().sqrt()) == pytest.approx(0.05 * (3 / 3000) ** 0.5, rel=0.5)


def test_reader_of_the_page_reads(tmp_path) -> None:
    reader = the_one("docs/howto/add-reader.md", "class NumpyArchive")["NumpyArchive"]
    np.savez(tmp_path / "a.npz", m=np.arange(4.0), seen=np.array([True, True, False, True]))
    made = reader(files=[str(tmp_path / "*.npz")], maps={"reco_m": "m", "truth_m": "m", "pass_reco": "seen"})
    (batch,) = made.batches(("reco",))
    assert isinstance(batch, Batch)
    assert set(batch) == {"reco_m", "pass_reco", "weight", "event_id", "process"}
    assert made.truth() == ["truth_m"]
    assert made.describe(("reco",))["files"] == [str(tmp_path / "a.npz")]


def test_stage_of_the_page_computes(tmp_path) -> None:
    section = the_one("docs/howto/add-stage.md", "class Area")["Area"]()
    stage = the_one("docs/howto/add-stage.md", "def area_stage")["area_stage"]

    class Record:
        def finish(self, **_: int) -> dict[str, int]:
            return {}

    stage(tmp_path / "area.json", **section.model_dump(), seed=seed_for(1, "page"), record=Record())
    assert "area" in (tmp_path / "area.json").read_text(encoding="utf-8")
