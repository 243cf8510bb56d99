"""`results.json`: what a run measured, and what it takes to judge it or to measure it again."""

import json
import math
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srvp_world import __version__
from srvp_world.data.files import make_folder, write_atomically

PACKAGES = ("torch", "gymnasium", "stable_baselines3", "numpy")


def write_results(
    path: Path,
    numbers: Mapping[str, Any],
    *,
    command: str,
    protocol: Mapping[str, Any],
    seed: int | None,
    device: str,
) -> Path:
    """Write the numbers of a run with their protocol, versions, seed and machine, atomically.

    The file is strict JSON: numbers that are not finite become null.

    Args:
        path: File to write; its folder is made.
        numbers: What was measured.
        command: What to type to measure it again.
        protocol: How it was measured.
        seed: Of the run, if it has one.
        device: Where torch computed, for instance `cpu` or `cuda:0`.

    Returns:
        `path`.

    Raises:
        OutputError: If the file cannot be written.
    """
    content = {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "numbers": numbers,
        "protocol": protocol,
        "machine": _machine(device),
        "versions": _versions(),
    }
    text = json.dumps(_strict(content), indent=2, allow_nan=False) + "\n"
    make_folder(path.parent)
    write_atomically(path, text.encode())
    return path


def _strict(value: Any) -> Any:
    """Turn arrays, tensors and their scalars into what JSON has, and NaN and infinity into null."""
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
        return _strict(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _machine(device: str) -> dict[str, Any]:
    on_gpu = torch.device(device).type == "cuda"
    return {
        "device": device,
        "name": torch.cuda.get_device_name(device) if on_gpu else _processor(),
        "torch_threads": torch.get_num_threads(),
        "cores": _cores(),
        "system": platform.system(),
    }


def _cores() -> int:
    """Count the cores that this process may use, where the system tells, or else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """Name the processor; Python itself knows but its architecture on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def _versions() -> dict[str, str | None]:
    own = {"srvp_world": __version__, "python": platform.python_version()}
    return own | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # for instance a build that left no metadata
        return None
