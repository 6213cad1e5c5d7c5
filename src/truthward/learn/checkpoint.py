"""Checkpoints: safetensors that rebuild their network without the config. Nothing is unpickled."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file
from torch import Tensor, nn

from truthward.artefact import atomic
from truthward.errors import CorruptError, InputError, TruthwardError


def save(
    path: str | Path,
    modules: dict[str, nn.Module],
    *,
    recipe: dict[str, Any],
    provenance: dict[str, Any],
    extra: dict[str, Tensor] | None = None,
) -> None:
    """Write named modules into one file.

    Args:
        path: the artefact.
        modules: name -> module; a member of an ensemble is a module of its own, `member0`, `member1`, ...
        recipe: {"class": "truthward.<module>:<Class>", "arguments": {...}} that builds each of them again.
        provenance: what `Record.finish` returned.
        extra: further tensors, stored under `extra|<name>`.
    """
    tensors = {f"{name}|{k}": t.contiguous() for name, m in modules.items() for k, t in m.state_dict().items()}
    tensors |= {f"extra|{k}": t.contiguous() for k, t in (extra or {}).items()}
    metadata = {
        "recipe": json.dumps(recipe),
        "modules": json.dumps(list(modules)),
        "provenance": json.dumps(provenance),
    }
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], *, provenance: dict[str, Any]) -> None:
    """Write named arrays, as a method's nominal training leaves them to its replicas."""
    with atomic(path) as temporary:
        save_numpy({n: np.ascontiguousarray(a) for n, a in arrays.items()}, temporary,
                   metadata={"provenance": json.dumps(provenance)})  # fmt: skip


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read what `save_arrays` wrote.

    Raises:
        InputError: where the file is missing; CorruptError: where it is not a whole safetensors file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; run the stage that trains it")
    try:
        with safe_open(path, framework="numpy") as handle:
            return {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptError(f"{path}: not a whole safetensors file ({error}); delete it and rerun its stage") from error


def load(path: str | Path) -> tuple[dict[str, nn.Module], dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint: (modules in evaluation mode, extra tensors, provenance).

    Raises:
        InputError: where the file is missing.
        CorruptError: where it is not a whole safetensors file, names what is no network of this package, or does not
            fit the class that it names.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; run the stage that trains it")
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata()
            tensors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118 (not a mapping)
        recipe = json.loads(metadata["recipe"])
        names = json.loads(metadata["modules"])
        provenance = json.loads(metadata["provenance"])
        module_name, class_name = recipe["class"].split(":")
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CorruptError(f"{path}: not a whole checkpoint ({error}); delete it and rerun its stage") from error
    build = _network(path, module_name, class_name)
    modules = {}
    for name in names:
        state = {k.split("|", 1)[1]: t for k, t in tensors.items() if k.startswith(f"{name}|")}
        try:
            module = build(**recipe["arguments"])
            module.load_state_dict(state)
        except (TypeError, KeyError, RuntimeError, TruthwardError) as error:
            raise CorruptError(
                f"{path}: {name} does not fit {recipe['class']} ({error}); written by another version? Rerun its stage"
            ) from error
        modules[name] = module.eval()
    extra = {k.split("|", 1)[1]: t for k, t in tensors.items() if k.startswith("extra|")}
    return modules, extra, provenance


def _network(path: Path, module_name: str, class_name: str) -> type[nn.Module]:
    """The class of that name: a network that is defined in this package, and nothing else that can be called."""
    found = None
    if module_name.startswith("truthward."):
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except (ModuleNotFoundError, AttributeError) as error:
            raise CorruptError(
                f"{path}: names {module_name}:{class_name}, which this version does not have; rerun its stage"
            ) from error
    ours = isinstance(found, type) and issubclass(found, nn.Module) and found.__module__.startswith("truthward.")
    if not ours:
        raise CorruptError(f"{path}: names {module_name}:{class_name}, no network of this package; not loaded")
    return found
