"""Checkpoints: rebuilt without the config, whole or refused, and nothing foreign is loaded."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from truthward.errors import CorruptError, InputError
from truthward.learn import checkpoint
from truthward.learn.nets import MLP, seeded
from truthward.learn.stack import Stack

RECIPE = {"class": "truthward.learn.nets:MLP", "arguments": {"inputs": 2, "outputs": 1, "width": 8, "depth": 1}}


def net(seed: int) -> MLP:
    return seeded(seed, MLP, **RECIPE["arguments"])


def test_save_and_load_is_the_identity(tmp_path):
    path = tmp_path / "a.safetensors"
    nets = {"member0": net(0), "member10": net(10), "member1": net(1)}
    checkpoint.save(path, nets, recipe=RECIPE, provenance={"seed": 7}, extra={"edges": torch.arange(4.0)})
    loaded, extra, provenance = checkpoint.load(path)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    # In their order; and `member1` does not take the tensors of `member10`.
    assert list(loaded) == list(nets)
    for name, module in loaded.items():
        assert not module.training
        assert torch.equal(module(x), nets[name](x))
    assert torch.equal(extra["edges"], torch.arange(4.0))
    assert provenance == {"seed": 7}
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_members_of_a_stack_go_through_a_file(tmp_path):
    stack = Stack(lambda: MLP(**RECIPE["arguments"]), [3, 4])
    nets = {f"member{i}": MLP(**RECIPE["arguments"]) for i in range(2)}
    for i, module in enumerate(nets.values()):
        module.load_state_dict(stack.state_of(i))
    checkpoint.save(tmp_path / "a.safetensors", nets, recipe=RECIPE, provenance={})
    loaded, _, _ = checkpoint.load(tmp_path / "a.safetensors")
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.stack([m(x) for m in loaded.values()]), stack.call("forward", x))


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such checkpoint"):
        checkpoint.load(tmp_path / "none.safetensors")


def test_a_flipped_bit_of_a_value_is_found(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, {"n": net(0)}, recipe=RECIPE, provenance={}, extra={"edges": torch.tensor([1.5])})
    arrays = tmp_path / "b.safetensors"
    checkpoint.save_arrays(arrays, {"a": np.arange(5.0), "empty": np.zeros((0, 3))}, provenance={})
    assert checkpoint.load_arrays(arrays)["empty"].shape == (0, 3)
    for damaged, load in ((path, checkpoint.load), (arrays, checkpoint.load_arrays)):
        content = bytearray(damaged.read_bytes())
        content[-3] ^= 1
        damaged.write_bytes(content)
        with pytest.raises(
            CorruptError, match=r"safetensors: truncated or damaged .its content is not what was written"
        ):
            load(damaged)


@pytest.mark.parametrize("damage", ["empty", "half", "text", "pickle", "no_metadata", "no_recipe"])
def test_damaged_files_are_refused(tmp_path, damage):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, {"n": net(0)}, recipe=RECIPE, provenance={})
    whole = path.read_bytes()
    if damage == "no_metadata":
        save_file({"n|w": torch.ones(1)}, path)
    elif damage == "no_recipe":
        save_file({"n|w": torch.ones(1)}, path, metadata={"modules": "[]", "provenance": "{}"})
    else:
        content = {
            "empty": b"",
            "half": whole[: len(whole) // 2],
            "text": b"not a checkpoint",
            "pickle": pickle.dumps(1),
        }
        path.write_bytes(content[damage])
    with pytest.raises(CorruptError, match=str(path)):
        checkpoint.load(path)


@pytest.mark.parametrize("missing", ["tensor", "argument", "class", "module"])
def test_a_file_that_does_not_fit_its_class_is_refused(tmp_path, missing):
    path = tmp_path / "a.safetensors"
    tensors = {f"n|{k}": v for k, v in net(0).state_dict().items()}
    recipe = json.loads(json.dumps(RECIPE))
    if missing == "tensor":
        tensors.popitem()
    elif missing == "argument":
        recipe["arguments"]["nonsense"] = 1
    else:
        recipe["class"] = {"class": "truthward.learn.nets:Gone", "module": "truthward.learn.gone:MLP"}[missing]
    metadata = {"recipe": json.dumps(recipe), "modules": '["n"]', "provenance": "{}"}
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(CorruptError, match=str(path)):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "foreign",
    [
        "os:system",
        "builtins:eval",
        "torch.nn:Linear",
        "truthward:x",
        "truthwardx.learn:MLP",
        "truthward.run.artefact:write_json",
        "truthward.run.artefact:os",
        "truthward.learn.nets:nn",
        "truthward.learn.nets:seeded",
    ],
)
def test_what_is_no_network_of_this_package_is_refused(tmp_path, foreign):
    path, victim = tmp_path / "a.safetensors", tmp_path / "victim"
    arguments = {"path": str(victim), "content": 1}
    recipe = {"class": foreign, "arguments": arguments}
    checkpoint.save(path, {"n": net(0)}, recipe=recipe, provenance={})
    with pytest.raises(CorruptError, match="no network of this package"):
        checkpoint.load(path)
    assert not victim.exists()


def test_a_failing_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, {"n": net(0)}, recipe=RECIPE, provenance={"seed": 1})
    with pytest.raises(TypeError):
        checkpoint.save(path, {"n": net(1)}, recipe=RECIPE, provenance={"seed": object()})
    assert checkpoint.load(path)[2] == {"seed": 1}
    assert len(list(tmp_path.iterdir())) == 1
