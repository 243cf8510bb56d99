"""What a dream costs: its env layer beside the bare model, one step, and the real environment."""

from collections.abc import Callable
from contextlib import closing
from statistics import median
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from srvp_world.checkpoint import World
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.envs.single import DreamEnv
from srvp_world.errors import ConfigError

BATCH = 64
LAYER_BATCH = 256
ROUNDS = 15
ROUND_SECONDS = 0.15
PROTOCOL = {
    "env_layer": f"time of {LAYER_BATCH} latent dreams per step with tensors in and out, over that "
    "of model.step, which draws its own noise, and model.features on as many states",
    "single_step": "DreamEnv.step with obs='latent', a fixed action, resets where it ends",
    "latent_steps": f"steps of {BATCH} latent dreams with NumPy in and out",
    "pixels": "one decision of the real environment, with its action repeat, rendering and "
    "resizing, over one frame of the dream with obs='pixels' and NumPy in and out",
    "timing": f"medians of {ROUNDS} rounds, in which both sides of a ratio take turns for about "
    f"{ROUND_SECONDS} s each; threads are torch's",
}


class Target(NamedTuple):
    """What a number should reach.

    Attributes:
        name: Of the number.
        bound: The value to reach.
        most: Whether it is the largest value allowed; else the smallest.
        unit: For people.
    """

    name: str
    bound: float
    most: bool
    unit: str

    def met(self, value: float) -> bool:
        """Whether a value reaches it."""
        return value <= self.bound if self.most else value >= self.bound


TARGETS = (
    Target("env_layer_overhead", 0.10, True, "of the model's own time, 256 latent dreams, torch"),
    Target("single_latent_step_us", 400, True, "us a step of one latent dream"),
    Target("latent_steps_per_second_64", 15_000, False, "steps/s, 64 latent dreams"),
    Target("pixel_speedup_1", 2, False, "times the real env's speed, 1 dream with pixels"),
    Target("pixel_speedup_64", 5, False, "times the real env's speed, 64 dreams with pixels"),
)


def measure_dream(world: World, *, progress: bool = True) -> dict[str, Any]:
    """Time the dream against the bare model and against the real environment.

    Args:
        world: With actions; without `pixels` there is no real environment to compare with.
        progress: Whether to show a bar.

    Returns:
        The numbers of `TARGETS` by name, what they were computed from, and the threads.

    Raises:
        ConfigError: If the world takes no actions.
    """
    if world.action is None:
        raise ConfigError("this world takes no actions: measure one that was learnt from an agent")
    numbers: dict[str, Any] = {"threads": torch.get_num_threads()}
    with tqdm(total=3 + 2 * bool(world.pixels), desc="dream", disable=not progress) as bar:
        layer, model = take_turns(_latent(world, LAYER_BATCH, "torch"), _bare(world))
        ratios = [one / other for one, other in zip(layer, model, strict=True)]
        numbers["env_layer_overhead"] = median(ratios) - 1
        numbers[f"model_step_us_{LAYER_BATCH}"] = 1e6 * median(model)
        bar.update()
        numbers["single_latent_step_us"] = 1e6 * median(take_turns(_single(world))[0])
        bar.update()
        seconds = median(take_turns(_latent(world, BATCH, "numpy"))[0])
        numbers[f"latent_steps_per_second_{BATCH}"] = BATCH / seconds
        bar.update()
        for n in (1, BATCH) if world.pixels else ():
            numbers |= _beside_reality(world, n)
            bar.update()
    return numbers


def dream_table(numbers: dict[str, Any]) -> str:
    """Lay the numbers out in Markdown, beside their targets."""
    lines = ["| | measured | target | |", "|---|---|---|---|"]
    for target in TARGETS:
        if target.name in numbers:
            value, sign = numbers[target.name], "<=" if target.most else ">="
            said = "met" if target.met(value) else "missed"
            lines.append(f"| {target.unit} | {value:,.4g} | {sign} {target.bound:,g} | {said} |")
    return "\n".join([*lines, "", f"{numbers['threads']} CPU threads"])


def take_turns(*works: Callable[[], object]) -> list[list[float]]:
    """Give the seconds that one call of each work takes, once a round."""
    times = []
    for work in works:
        for _ in range(10):  # the first calls allocate and choose kernels
            work()
        times.append(max(1, round(ROUND_SECONDS / _seconds(work, 3))))
    rounds = [[_seconds(w, n) for w, n in zip(works, times, strict=True)] for _ in range(ROUNDS)]
    return [list(column) for column in zip(*rounds, strict=True)]


def _seconds(work: Callable[[], object], times: int) -> float:
    """Time one call, on average over a number of them."""
    started = perf_counter()
    for _ in range(times):
        work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # work is only queued until then
    return (perf_counter() - started) / times


def _latent(world: World, n: int, output: Literal["numpy", "torch"]) -> Callable[[], object]:
    """Give one step of n latent dreams."""
    dream = DreamVectorEnv(n, world, obs="latent", output=output)
    dream.reset(seed=0)
    action = _action(dream.single_action_space, n)
    given = torch.as_tensor(action, device=world.device) if output == "torch" else action
    return lambda: dream.step(given)


def _bare(world: World) -> Callable[[], object]:
    """Give one step of the model alone, from states that it imagines on."""
    dream = DreamVectorEnv(LAYER_BATCH, world, obs="latent", output="torch")
    dream.reset(seed=0)
    state, model = dream.state, world.model
    action = torch.as_tensor(_action(dream.single_action_space, LAYER_BATCH), device=world.device)

    @torch.no_grad()
    def step() -> None:
        nonlocal state
        state, _ = model.step(state, action)
        model.features(state)

    return step


def _single(world: World) -> Callable[[], object]:
    """Give one step of the single env."""
    env = DreamEnv(world=world, obs="latent")
    env.reset(seed=0)
    action = _action(env.action_space, 1)[0]

    def step() -> None:
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()

    return step


def _beside_reality(world: World, n: int) -> dict[str, float]:
    """Compare one decision of the real environment with one frame of n dreams."""
    assert world.pixels is not None
    dream = DreamVectorEnv(n, world, obs="pixels")
    dream.reset(seed=0)
    action = _action(dream.single_action_space, n)
    with closing(make_pixel_env(world.pixels)) as env:
        env.reset(seed=0)

        def decide() -> None:
            *_, terminated, truncated, _ = env.step(action[0])
            if terminated or truncated:
                env.reset()

        real, imagined = take_turns(decide, lambda: dream.step(action))
    ratios = [n * one / other for one, other in zip(real, imagined, strict=True)]
    return {
        f"pixel_speedup_{n}": median(ratios),
        f"pixel_frames_per_second_{n}": n / median(imagined),
        "real_decisions_per_second": 1 / median(real),
    }


def _action(space: Any, n: int) -> np.ndarray:
    """Sample an action, and give it to n rows."""
    space.seed(0)
    return np.stack([np.asarray(space.sample())] * n)
