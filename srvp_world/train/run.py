"""`config.json` of a run folder: what a training run was started with, to resume it alike."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srvp_world.config import TrainConfig, from_json, to_json
from srvp_world.data.files import make_folder, write_atomically
from srvp_world.errors import ConfigError, WorldFileError, did_you_mean
from srvp_world.kinds import KINDS, AnyConfig, kind_of, read_config
from srvp_world.train.snapshot import BEST, LAST

CONFIG = "config.json"


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a training run is made of.

    Attributes:
        preset: Name of the preset that it began with.
        model: Shape of the network.
        train: How it is fitted.
        data: What it is fitted to: name of the data set, or which digits move in it.
        episodes: Episodes of the data set; 0 where clips are made on the fly.
        transitions: Steps from frame to frame in them.
        init: Fingerprint of the world whose weights it began with; empty for random ones.
        clips_before: Clips that this world had been trained on, where it says so.
    """

    preset: str
    model: AnyConfig
    train: TrainConfig
    data: str = ""
    episodes: int = 0
    transitions: int = 0
    init: str = ""
    clips_before: int = 0

    def save(self, run: Path) -> None:
        """Write it into the run folder, which is made.

        Raises:
            OutputError: If the folder cannot be written.
        """
        make_folder(run)
        write_atomically(run / CONFIG, (json.dumps(self.as_json(), indent=2) + "\n").encode())

    def as_json(self) -> dict[str, Any]:
        """Give all of it, and of which kind the model is."""
        return {"kind": kind_of(self.model), **to_json(self)}

    def check_continues(self, stored: "RunConfig", run: Path) -> None:
        """Refuse to go on with another model or other data; snapshots check how it is fitted.

        Raises:
            ConfigError: Naming the first difference.
        """
        new = _flat(self)
        for name, old in _flat(stored).items():
            if new[name] != old:
                raise ConfigError(
                    f"{name} is {new[name]} but {run} was trained with {name} {old}: "
                    "resume with what it was trained with, or train in another folder"
                )


def read_run(run: Path) -> RunConfig:
    """Read what the run in a folder was started with.

    Raises:
        WorldFileError: If there is no run, or its description is broken.
    """
    path = run / CONFIG
    try:
        return from_json(RunConfig, _with_model(json.loads(path.read_text(encoding="utf-8"))))
    except OSError:
        raise WorldFileError(
            f"{run} holds no training run ({CONFIG} is missing): train without --resume"
        ) from None
    except (ConfigError, ValueError) as error:
        raise WorldFileError(
            f"{path} is broken ({error}): restore it, or train in another folder"
        ) from None


def holds_run(run: Path) -> bool:
    """Say whether a folder holds weights of a run, which another one must not overwrite."""
    return any((run / name).exists() for name in (LAST, BEST))


def _with_model(data: Any) -> Any:
    """Build the model's configuration, of the kind that is written beside it."""
    if not isinstance(data, dict) or "model" not in data:
        return data
    data = {"kind": "srvp", **data}  # which was not written down when there was no other
    kind = str(data.pop("kind"))
    if kind not in KINDS:
        raise ConfigError(f"the model is of kind {kind!r}: {did_you_mean(kind, KINDS)}")
    return {**data, "model": read_config(kind, data["model"])}


def _flat(config: RunConfig) -> dict[str, Any]:
    values = config.as_json()
    model = values.pop("model")
    objective = model.pop("objective")
    del values["train"]
    return {**values, **model, **objective}
