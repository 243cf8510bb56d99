"""The loop: collect with the agent, fit the world, improve in its dream, score in reality.

A run that was stopped, at any point and in any way, goes on where it was when it is started again
with the same configuration in the same folder. Collecting then differs from a run that was never
stopped: what was cut of an episode is lost, and others follow. So may, where minutes are limited,
how much of the rest is done: what had to be done again has taken its time.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from srvp_world.agents.dyna_config import DynaConfig as DynaConfig
from srvp_world.agents.gather import Gathering, first_policy
from srvp_world.agents.improve import check_agent
from srvp_world.agents.journal import Journal, Numbers
from srvp_world.agents.loop import RESULTS, Loop
from srvp_world.agents.loop import DynaResult as DynaResult
from srvp_world.agents.pace import COLLECTING
from srvp_world.agents.phases import Phases
from srvp_world.agents.presets import agent_preset
from srvp_world.agents.saved import saved_agent
from srvp_world.checkpoint import check_device
from srvp_world.config import PixelConfig, to_json
from srvp_world.data.check import check_values
from srvp_world.data.dataset import Dataset
from srvp_world.data.info import DatasetInfo
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.envs.rollout import UNLIMITED, time_limit
from srvp_world.errors import ConfigError, DataError, OutputError, SRVPWorldError
from srvp_world.spaces import ActionSpec


def run_dyna(
    pixels: PixelConfig,
    out: Path | str,
    config: DynaConfig | None = None,
    *,
    command: str = "",
    on_round: Callable[[Numbers], None] | None = None,
    draw: Callable[[DynaResult], None] | None = None,
    progress: bool = True,
) -> DynaResult:
    """Train an agent for a real environment in the dreams of worlds that are learnt on the way.

    The folder gets `data/` (an ordinary data set), `rounds/N/` with world, agent and logs of the
    fit, `world.safetensors` and `agent.safetensors` (or `planner.json`) of the agent that is kept,
    TensorBoard's scalars against real steps, `loop.json` and `results.json`.

    >>> run_dyna(PixelConfig(env_id="Pendulum-v1", action_repeat=2), "runs/pendulum")

    Args:
        pixels: The environment, and how it becomes frames.
        out: Folder of the run, new or of the same run.
        config: How much of everything; None for PPO as the environment's preset has it.
        command: What to write down as the way to do it again.
        on_round: Called with the numbers of each round, once, when it is finished.
        draw: Leaves pictures of the result in its folder, before `results.json` says that all is
            done.
        progress: Whether to show bars.

    Raises:
        ConfigError: If values make no run, or differ from those of the run in the folder, or the
            environment has no time limit.
        UnknownNameError: If there is no such environment or kind of agent.
        SpaceError: If it cannot be rendered, or takes actions of a kind that no world takes.
        OutputError: If the folder holds a finished run or other things, another process works in
            it, or it cannot be written.
        DataError: If what the folder holds of the run is broken.
    """
    out, config = Path(out), config or _usual(pixels)
    _refuse_finished(out)
    reality = _look_at(pixels)
    if reality.longest is None:
        raise ConfigError(f"{pixels.env_id} has {UNLIMITED}")
    doubts = config.model.ensemble > 0
    check_agent(config.agent, config.settings, reality.action, uncertainty=doubts)
    check_device(config.device)
    _check_budget(config, pixels)
    about = {"env": to_json(pixels), "data": None, "config": to_json(config)}
    phases = Phases(
        out=out,
        data=out / "data",
        config=config,
        pixels=pixels,
        longest=reality.longest,
        progress=progress,
    )
    gathering = Gathering(folder=phases.data, pixels=pixels, config=config, progress=progress)

    with _journal(out, about) as journal:

        def collect(index: int) -> Numbers:
            policy, last, until = first_policy(config, reality.action), index - 1, None
            if index:
                policy = saved_agent(phases.world(last), phases.agent(last), explore=config.explore)
            if config.minutes is not None:
                # Of what was left when the round began, however often it was stopped since.
                spent = journal.spent(index, "collect") or 0.0
                left = 60 * config.minutes - journal.seconds
                until = time.time() + COLLECTING * (left + spent) - spent
            return gathering.gather(index, journal.done(last, "collect"), policy, until)

        return Loop(phases, journal, collect, on_round).run(about, command, draw)


def run_offline(
    data: Path | str,
    out: Path | str,
    config: DynaConfig | None = None,
    *,
    env: PixelConfig | None = None,
    command: str = "",
    on_round: Callable[[Numbers], None] | None = None,
    draw: Callable[[DynaResult], None] | None = None,
    progress: bool = True,
) -> DynaResult:
    """Train an agent in the dream of a world that is learnt from a fixed data set, in one round.

    Nothing is collected. The agent is scored in reality where the data say which environment they
    are of and that can be made; otherwise in the dream alone, and `numbers["reality"]` says why.

    Args:
        data: Folder of episodes with actions and rewards.
        out: Folder of the run, as that of `run_dyna` but for `data/`.
        config: How much of everything, None for PPO as the environment's preset has it; what is
            about collecting and later rounds does not matter.
        env: Where to play instead, for data that do not know their environment.
        command: What to write down as the way to do it again.
        on_round: Called with the numbers of the round when it is finished.
        draw: Leaves pictures of the result in its folder.
        progress: Whether to show bars.

    Raises:
        ConfigError: If values make no run, or differ from those of the run in the folder.
        UnknownNameError: If there is no such kind of agent.
        DataError: If the data are broken, without actions or without rewards.
        OutputError: If the folder holds a finished run or other things, another process works in
            it, or it cannot be written.
    """
    data, out = Path(data), Path(out)
    _refuse_finished(out)
    episodes = Dataset.open(data)
    action = _check_data(episodes)
    pixels = env or episodes.info.pixels
    config = replace(config or _usual(pixels), rounds=1)
    check_agent(config.agent, config.settings, action, uncertainty=config.model.ensemble > 0)
    check_device(config.device)
    reality, reason = _try_reality(pixels, episodes.info)
    check_values(episodes, progress=progress)
    identity = {"transitions": episodes.transitions, "fingerprint": _fingerprint(episodes)}
    about = {
        "env": None if pixels is None else to_json(pixels),
        "data": identity,
        "config": to_json(config),
    }
    phases = Phases(
        out=out,
        data=data,
        config=config,
        pixels=None if reality is None else pixels,
        longest=None if reality is None else reality.longest,
        progress=progress,
    )
    repeat = pixels.action_repeat if pixels else 1
    steps = episodes.transitions * repeat
    count = len(episodes.episodes)
    seen = {"real_steps": steps, "total_steps": steps, "episodes": count, "return": None}
    protocol = {**about, "data": {"folder": str(data), **identity}, "reality": reason}
    with _journal(out, about) as journal:
        return Loop(phases, journal, lambda _: dict(seen), on_round).run(protocol, command, draw)


class _Reality(NamedTuple):
    """What a real environment takes, and the decisions of its longest episode, where it has one."""

    action: ActionSpec
    longest: int | None


def _look_at(pixels: PixelConfig) -> _Reality:
    """Make a real environment once, so that its mistakes show before anything is written."""
    with closing(make_pixel_env(pixels)) as env:
        limit = time_limit(env)
        longest = None if limit is None else math.ceil(limit / pixels.action_repeat)
        return _Reality(ActionSpec.from_space(env.action_space), longest)


def _try_reality(
    pixels: PixelConfig | None, info: DatasetInfo
) -> tuple[_Reality | None, str | None]:
    """Look for the environment of a data set; where there is none to play in, say why."""
    if pixels is None:
        return None, "the data do not say which environment they are of"
    try:
        reality = _look_at(pixels)
    except SRVPWorldError as error:
        return None, str(error)
    shown = (pixels.frame_size, pixels.channels, pixels.vector)
    if reality.action != info.action or shown != (
        info.frame_size,
        info.channels,
        bool(info.vector_dim),
    ):
        return None, f"{pixels.env_id} takes other actions or shows other things than the data hold"
    if reality.longest is None:
        return None, f"{pixels.env_id} has no time limit: play whole episodes with `evaluate`"
    return reality, None


def _usual(pixels: PixelConfig | None) -> DynaConfig:
    """Give the configuration that suits an environment, as far as anyone knows which it is."""
    preset = agent_preset(pixels.env_id if pixels else "")
    return preset.with_agent(preset.config.agent)


def _fingerprint(data: Dataset) -> str:
    """Name a data set by the names and lengths of its episodes, wherever it lies."""
    lines = "".join(f"{record.name} {record.frames}\n" for record in data.records)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _refuse_finished(out: Path) -> None:
    if (out / RESULTS).exists():
        raise OutputError(f"{out} holds a finished run: choose another folder with --out")


@contextmanager
def _journal(out: Path, about: Numbers) -> Iterator[Journal]:
    """Have a run for oneself, which another process may have finished until then."""
    with closing(Journal.open(out, about)) as journal:
        _refuse_finished(out)
        yield journal


def _check_budget(config: DynaConfig, pixels: PixelConfig) -> None:
    """Refuse budgets that leave a round without a step, or more steps than are kept."""
    repeat = pixels.action_repeat
    ends = [config.steps_until(index, repeat) for index in range(config.rounds)]
    steps = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    if min(steps) < repeat:
        raise ConfigError(
            f"real_steps {config.real_steps} are too few for {config.rounds} rounds with "
            f"action_repeat {repeat} and first_share {config.first_share}: give more, or "
            "have fewer rounds"
        )
    most = math.ceil(max(steps) / repeat)
    if config.max_transitions is not None and config.max_transitions < most:
        raise ConfigError(
            f"max_transitions {config.max_transitions} would lose a part of a round that is not "
            f"learnt from yet: give {most} or more, or have more rounds"
        )


def _check_data(data: Dataset) -> ActionSpec:
    """Refuse data from which no agent can learn."""
    if data.info.action is None:
        raise DataError(f"{data.folder} holds videos without actions: give experience of an agent")
    if not data.info.rewards:
        raise DataError(f"{data.folder} holds no rewards: give experience with rewards")
    return data.info.action
