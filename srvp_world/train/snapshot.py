"""Snapshots: all that a fit needs to go on, in one safetensors file with JSON in its header.

Noise and batches depend on the seed and the iteration alone, so a snapshot holds no state of random
number generators.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from srvp_world import __version__
from srvp_world.config import TrainConfig, from_json, to_json
from srvp_world.data.files import write_atomically
from srvp_world.errors import ConfigError, WorldFileError

LAST = "last.safetensors"
BEST = "best.safetensors"

_HEADER = "srvp_world"
_MODEL = "model."
_OPTIMIZER = "optimizer."
_MAY_CHANGE = ("iterations", "log_every", "validate_every", "save_every", "keep")


def save_snapshot(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    iteration: int,
    config: TrainConfig,
    best: float | None,
) -> None:
    """Write a model and its optimizer after `iteration` updates, atomically.

    Args:
        path: File to write; an older snapshot there stays whole until the new one is.
        model: Parameters and buffers are kept.
        optimizer: Must hold nothing but tensors per parameter, as Adam does.
        iteration: Number of updates done.
        config: What the run was started with, compared on resuming.
        best: Best validation so far, by what the configuration selects.

    Raises:
        OutputError: If the file cannot be written.
    """
    header = {"kind": "snapshot", "config": to_json(config), "iteration": iteration, "best": best}
    state = {
        f"{_OPTIMIZER}{index}.{key}": value
        for index, entry in optimizer.state_dict()["state"].items()
        for key, value in entry.items()
    }
    _write(path, _weights(model) | state, header)


def load_snapshot(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, config: TrainConfig
) -> tuple[int, float | None]:
    """Restore what `save_snapshot` wrote; on an error model and optimizer are left as they were.

    Returns:
        The number of updates done, and the best validation so far.

    Raises:
        WorldFileError: If the file is missing, truncated, no snapshot or of another model.
        ConfigError: If the run was started with a configuration that would train differently.
    """
    tensors, header = _read(path)
    if header.get("kind") != "snapshot":
        raise WorldFileError(
            f"{path} is not a training snapshot: give a run folder whose {LAST} was written by fit"
        )
    _check_same_run(path, from_json(TrainConfig, header["config"]), config)
    _load_model(path, model, tensors)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(_OPTIMIZER):
            index, key = name.removeprefix(_OPTIMIZER).split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    for parameter, moments in optimizer.state.items():
        for key, value in moments.items():
            if value.shape == parameter.shape:  # fused Adam pairs raw memory: layouts must agree
                moments[key] = torch.empty_like(parameter).copy_(value)
    return header["iteration"], header["best"]


def save_weights(path: Path, model: nn.Module) -> None:
    """Write parameters and buffers of a model alone, atomically.

    Raises:
        OutputError: If the file cannot be written.
    """
    _write(path, _weights(model), {"kind": "weights"})


def load_weights(path: Path, model: nn.Module) -> None:
    """Restore parameters and buffers from what `save_weights` or `save_snapshot` wrote.

    Raises:
        WorldFileError: If the file is missing, truncated, of another kind or of another model.
    """
    tensors, header = _read(path)
    if header.get("kind") not in ("snapshot", "weights"):
        raise WorldFileError(f"{path} holds no weights of a fit: give a {BEST} or {LAST}")
    _load_model(path, model, tensors)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {_MODEL + name: tensor for name, tensor in model.state_dict().items()}


def _write(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    # Copies, because safetensors refuses tensors that share memory or are not contiguous.
    copies = {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    metadata = {_HEADER: json.dumps({**header, "version": __version__})}
    write_atomically(path, save(copies, metadata))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise WorldFileError(
            f"{path} does not exist: check the run folder, or train from the start"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        return tensors, json.loads(metadata.get(_HEADER, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise WorldFileError(
            f"{path} is truncated or not a safetensors file ({error}): "
            "restore it from a copy, or train in another folder"
        ) from error


def _check_same_run(path: Path, stored: TrainConfig, config: TrainConfig) -> None:
    for name, old in to_json(stored).items():
        new = getattr(config, name)
        if name not in _MAY_CHANGE and new != old:
            raise ConfigError(
                f"{name} is {new} but {path} was trained with {name} {old}: "
                f"resume with {old}, or train in another folder"
            )


def _load_model(path: Path, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    stored = {
        name.removeprefix(_MODEL): tensor
        for name, tensor in tensors.items()
        if name.startswith(_MODEL)
    }
    expected = model.state_dict()
    for name in sorted(expected.keys() | stored.keys()):
        theirs, ours = (
            tuple(state[name].shape) if name in state else "missing" for state in (stored, expected)
        )
        if theirs != ours:
            raise WorldFileError(
                f"{path} belongs to another model ({name} is {theirs} there and {ours} here): "
                "build the model as it was when it was trained"
            )
    model.load_state_dict(stored)
