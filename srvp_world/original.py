"""Reads checkpoints of the original implementation; the only place that knows its names.

The original (github.com/edouardelasalles/srvp) saves a `state_dict` and a `config.json` of
constructor arguments.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from srvp_world.config import ModelConfig, ObjectiveConfig, from_json
from srvp_world.errors import WorldFileError, did_you_mean
from srvp_world.model.srvp import SRVP

_RENAMES = (
    (r"^encoder\.conv\.", "encoder.stages."),
    (r"^encoder\.last_conv\.", "encoder.head."),
    (r"^decoder\.first_upconv\.", "decoder.stem."),
    (r"^decoder\.conv\.", "decoder.stages."),
    (r"^w_proj\.0\.", "content_net.frame."),
    (r"^w_inf\.0\.", "content_net.output."),
    (r"^inf_z\.", "filter.lstm."),
    (r"^q_z\.", "filter.output."),
)
_MLPS = {"q_y": "first_state", "p_z": "prior", "dynamics": "dynamics"}
_ARGUMENTS = {
    "archi": "architecture",
    "nx": "frame_size",
    "nc": "channels",
    "nf": "filters",
    "skipco": "skips",
    "nhx": "code_dim",
    "ny": "state_dim",
    "nz": "innovation_dim",
    "nt_inf": "content_frames",
    "nh_inf": "inference_hidden",
    "nlayers_inf": "inference_layers",
    "nh_res": "dynamics_hidden",
    "nlayers_res": "dynamics_layers",
    "n_euler_steps": "substeps",
    "res_gain": "dynamics_gain",
}
_OBJECTIVE = {
    "obs_scale": "observation_std",
    "beta_y": "beta_y",
    "beta_z": "beta_z",
    "l2_res": "residual_weight",
}


def load(config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> SRVP:
    """Build the model of an original checkpoint, in evaluation mode.

    Args:
        config: The original's constructor arguments (`nx nc nf nhx ny nz ...`); others are ignored.
        state_dict: The original's tensors by its names, however they were read. Never unpickle a
            file that you do not trust: convert it to safetensors where it was made.

    Raises:
        WorldFileError: If an argument or tensor is missing or has another shape.
    """
    required = [name for name in _ARGUMENTS if name not in ("n_euler_steps", "res_gain")]
    for name in required:
        if name not in config:
            raise WorldFileError(
                f"the original's config lacks {name!r}: {did_you_mean(name, config)}"
            )
    weights = {ours: float(config[old]) for old, ours in _OBJECTIVE.items() if old in config}
    objective = from_json(ObjectiveConfig, weights)
    shape = {ours: config[old] for old, ours in _ARGUMENTS.items() if old in config}
    model = SRVP(ModelConfig(**shape, objective=objective))
    tensors = model.state_dict()
    for name, tensor in state_dict.items():
        renamed = rename(name)
        if renamed not in tensors:
            raise WorldFileError(
                f"tensor {name!r} does not belong to this configuration of the original"
            )
        if tensors[renamed].shape != tensor.shape:
            expected, got = tuple(tensors[renamed].shape), tuple(tensor.shape)
            raise WorldFileError(
                f"tensor {name!r} has shape {got}, but the configuration gives {expected}"
            )
        tensors[renamed] = tensor
    missing = set(model.state_dict()) - {rename(name) for name in state_dict}
    missing = {name for name in missing if "normaliser" not in name}
    if missing:
        raise WorldFileError(
            f"{len(missing)} tensors are missing, {min(missing)!r} among them: is the file whole?"
        )
    model.load_state_dict(tensors)
    return model.eval()


def rename(name: str) -> str:
    """Give our name of one of the original's tensors."""
    mlp = re.match(r"^(q_y|p_z|dynamics)\.module\.(\d+)\.[01]\.(weight|bias)$", name)
    if mlp:  # the original nests [activation, linear] pairs, ours are flat
        return f"{_MLPS[mlp[1]]}.network.{2 * int(mlp[2])}.{mlp[3]}"
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name
