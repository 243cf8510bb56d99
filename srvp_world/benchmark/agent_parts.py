"""Parts of the agents' benchmark: a method on an environment with a seed, each in its own file."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import torch

from srvp_world.agents.baseline import PROTOCOL
from srvp_world.agents.dyna_config import DynaConfig
from srvp_world.agents.journal import Numbers, check_same
from srvp_world.config import PixelConfig, to_json
from srvp_world.errors import DataError

LOOP = "ppo"  # whose rounds learn the world that all methods share
BASELINES = {"cnn-ppo-1x": 1, "cnn-ppo-5x": 5}  # times the loop's real steps
LABELS = {
    LOOP: "PPO in the dream",
    "a2c": "A2C in the dream",
    "sac": "SAC in the dream",
    "dqn": "DQN in the dream",
    "actor-critic": "actor-critic in the dream",
    "cem": "CEM",
    "icem": "iCEM",
    "mppi": "MPPI",
    "cnn-ppo-1x": "SB3 PPO with a CNN, the same real steps",
    "cnn-ppo-5x": "SB3 PPO with a CNN, 5 times the real steps",
}

_SPENT = ("real_steps", "evaluation_steps", "dream_steps", "minutes")


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is done at one go, and left in one file.

    Attributes:
        method: A kind of agent, or one of the baselines.
        out: Folder of the benchmark.
        pixels: The environment.
        config: Of the loop that learns the world, with this part's agent, settings and seed.
    """

    method: str
    out: Path
    pixels: PixelConfig
    config: DynaConfig

    @property
    def folder(self) -> Path:
        """Where all parts of the environment and the seed lie."""
        return self.out / file_name(self.pixels.env_id) / f"seed{self.config.seed}"

    @property
    def path(self) -> Path:
        """The file of its results."""
        return self.folder / f"{self.method}.json"

    @property
    def command(self) -> str:
        """What measures it, and what it rests on, wherever that is to lie."""
        baselines = self.config.seed + 1 if self.method in BASELINES else 0
        method = LOOP if baselines else self.method
        device = "" if self.config.device == "cpu" else f"--device {self.config.device} "
        return (
            f"srvp-world bench agents --env {self.pixels.env_id} --methods {method} "
            f"--seeds {self.config.seed + 1} --baseline-seeds {baselines} "
            f"{device}--threads {torch.get_num_threads()} --out FOLDER"
        )

    @property
    def about(self) -> dict[str, Any]:
        """What the part is made of, as JSON; a baseline does not care how worlds are learnt."""
        config = to_json(self.config)
        if self.method in BASELINES:
            config = {
                "real_steps": BASELINES[self.method] * self.config.real_steps,
                "final_episodes": self.config.final_episodes,
                "seed": self.config.seed,
                **PROTOCOL,
            }
        about = {"method": self.method, "env": to_json(self.pixels), "config": config}
        plain: dict[str, Any] = json.loads(json.dumps(about))
        return plain

    def measured(self) -> Numbers:
        """Give the numbers of the part, which must be there.

        Raises:
            DataError: If the file is missing or broken.
        """
        numbers: Numbers = read_part(self.path)["numbers"]
        return numbers

    def finished(self) -> Numbers | None:
        """Give the numbers of the part; None where they are not there yet.

        Raises:
            ConfigError: If the file is of something else, naming the first difference.
            DataError: If it is broken.
        """
        if not self.path.exists():
            return None
        content = read_part(self.path)
        check_same(self.about, content["protocol"], self.folder)
        numbers: Numbers = content["numbers"]
        return numbers


def file_name(env_id: str) -> str:
    """Turn the id of an environment into a name for files."""
    return re.sub(r"[^\w.-]+", "-", env_id)


def read_part(path: Path) -> dict[str, Any]:
    """Read the results of a part, with what they are of.

    Raises:
        DataError: If the file is broken.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        about, numbers = content["protocol"], content["numbers"]
        measured = [numbers["real"]["mean"], *(numbers[name] for name in _SPENT)]
        dreamt = None if numbers["dream"] is None else numbers["dream"]["mean"]
        sound = (
            about["method"] in LABELS
            and isinstance(about["env"]["env_id"], str)
            and isinstance(about["config"]["seed"], int)
            and all(isinstance(value, (int, float)) for value in measured)
            and isinstance(dreamt, (int, float, NoneType))  # null is one that was not finite
            and (about["method"] in BASELINES or isinstance(numbers["world"], str))
            and (about["method"] != LOOP or {"rounds", "random"} <= numbers.keys())
            and {"machine", "versions"} <= content.keys()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise DataError(f"{path} holds no results of an agent: delete it to measure them again")
    found: dict[str, Any] = content
    return found
