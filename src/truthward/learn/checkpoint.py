"""Write and read checkpoints: safetensors that rebuild their network without the config. Nothing is unpickled.

The format has no checksum. So the SHA-256 of names, types, shapes, values and metadata is stored as metadata `sha256`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file
from torch import Tensor, nn

from truthward.errors import CorruptError, InputError, TruthwardError
from truthward.run.artefact import atomic

SEAL = "sha256"

# safetensors and the metadata raise these errors for damaged bytes.
_DAMAGE = (SafetensorError, OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError)


def save(
    path: str | Path,
    modules: dict[str, nn.Module],
    *,
    recipe: dict[str, Any],
    provenance: Mapping[str, Any],
    extra: dict[str, Tensor] | None = None,
) -> None:
    """Write named modules into one file.

    Args:
        path: the file.
        modules: name -> module; each member of an ensemble is a separate module, `member0`, `member1`, ...
        recipe: {"class": "truthward.<module>:<Class>", "arguments": {...}}, to build each of them again.
        provenance: the result of `Record.finish`.
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
        save_file(tensors, temporary, metadata=metadata | {SEAL: _seal(tensors, metadata)})


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], *, provenance: Mapping[str, Any]) -> None:
    """Write named arrays of the nominal training of a method, which its replicas read."""
    stored = {n: np.ascontiguousarray(a) for n, a in arrays.items()}
    metadata = {"provenance": json.dumps(provenance)}
    with atomic(path) as temporary:
        save_numpy(stored, temporary, metadata=metadata | {SEAL: _seal(stored, metadata)})


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of `save_arrays`.

    Raises:
        InputError: the file is missing. CorruptError: it is truncated or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; run the stage that trains it")
    try:
        return _read(path, "numpy")[0]
    except _DAMAGE as error:
        raise CorruptError(f"{path}: truncated or damaged ({error}); delete it and rerun its stage") from error


def load(path: str | Path) -> tuple[dict[str, nn.Module], dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint: (modules in evaluation mode, extra tensors, provenance).

    Raises:
        InputError: the file is missing.
        CorruptError: the file is truncated or damaged, its class is not a network of this package, or its content does
            not fit this class.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; run the stage that trains it")
    try:
        tensors, metadata = _read(path, "pt")
        recipe = json.loads(metadata["recipe"])
        names = json.loads(metadata["modules"])
        provenance = json.loads(metadata["provenance"])
        module_name, class_name = recipe["class"].split(":")
    except _DAMAGE as error:
        raise CorruptError(f"{path}: truncated or damaged ({error}); delete it and rerun its stage") from error
    build = _network(path, module_name, class_name)
    modules = {}
    for name in names:
        state = {k.split("|", 1)[1]: t for k, t in tensors.items() if k.startswith(f"{name}|")}
        try:
            module = build(**recipe["arguments"])
            module.load_state_dict(state)
        except (TypeError, KeyError, RuntimeError, TruthwardError) as error:
            raise CorruptError(
                f"{path}: {name} does not fit {recipe['class']} ({error}); another version may have written it: rerun "
                "its stage"
            ) from error
        modules[name] = module.eval()
    extra = {k.split("|", 1)[1]: t for k, t in tensors.items() if k.startswith("extra|")}
    return modules, extra, provenance


def _network(path: Path, module_name: str, class_name: str) -> type[nn.Module]:
    """The class with this name, if it is a network of this package; otherwise an error."""
    found: Any = None
    if module_name.startswith("truthward."):
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except (ModuleNotFoundError, AttributeError) as error:
            raise CorruptError(
                f"{path}: names {module_name}:{class_name}, which this version does not have; rerun its stage"
            ) from error
    if isinstance(found, type) and issubclass(found, nn.Module) and found.__module__.startswith("truthward."):
        return found
    raise CorruptError(
        f"{path}: names {module_name}:{class_name}, which is no network of this package; rerun its stage"
    )


def _read(path: Path, framework: str) -> tuple[dict[str, Any], dict[str, str]]:
    """All tensors, and the metadata; ValueError if they have changed."""
    with safe_open(path, framework=framework) as handle:
        metadata = dict(handle.metadata() or {})
        tensors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118 (not a mapping)
    stated = metadata.pop(SEAL, None)
    if stated is not None and stated != _seal(tensors, metadata):
        raise ValueError("its content is not what was written")
    return tensors, metadata


def _seal(tensors: Mapping[str, Tensor | np.ndarray], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, values in sorted(tensors.items()):
        kind = str(values.dtype).removeprefix("torch.")
        digest.update(json.dumps([name, kind, list(values.shape)]).encode())
        flat = values.reshape(-1)
        digest.update((flat.detach().cpu().view(torch.uint8).numpy() if isinstance(flat, Tensor) else flat).data)
    return digest.hexdigest()
