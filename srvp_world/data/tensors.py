"""Named tensors in safetensors files: read with care, written whole. Nothing is ever unpickled."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from srvp_world.data.files import make_folder, write_atomically
from srvp_world.errors import WorldFileError


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Copy weights into a model after checking names, shapes and finiteness.

    Raises:
        WorldFileError: Naming the first tensor that does not fit.
    """
    expected = model.state_dict()
    for name, tensor in expected.items():
        if name not in weights:
            raise WorldFileError(
                f"{where} lacks tensor {name!r}: it is damaged or of another model"
            )
        got = weights[name]
        if got.shape != tensor.shape:
            raise WorldFileError(
                f"{where}: {name!r} has shape {tuple(got.shape)}, expected {tuple(tensor.shape)}: "
                "it is damaged or of another model"
            )
        if not got.isfinite().all():
            raise WorldFileError(
                f"{where}: {name!r} holds NaN or infinite values: "
                "train again from a good checkpoint"
            )
    model.load_state_dict({n: weights[n].to(tensor.dtype) for n, tensor in expected.items()})


def read_tensors(path: Path, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a safetensors file.

    Raises:
        WorldFileError: If there is no such file, or it is not a whole safetensors file.
    """
    if not path.is_file():
        raise WorldFileError(f"no file {str(path)!r}: give the path of {what} (.safetensors)")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WorldFileError(
            f"{str(path)!r} is not {what}, or it is truncated ({error}): copy it again"
        ) from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Write a safetensors file so that a reader sees the old one or the new one, never half of it.

    Raises:
        OutputError: If the folder cannot be written to.
    """
    make_folder(path.parent)
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(contiguous, dict(metadata)))
    return path
