"""How fast a machine trains a world, makes clips to train on, and dreams."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Literal

import torch
from tqdm import tqdm

from srvp_world.checkpoint import World
from srvp_world.config import ModelConfig, TrainConfig
from srvp_world.data.mnist import shipped_digits
from srvp_world.data.moving_mnist import MovingDigits
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.kinds import KINDS, AnyConfig, kind_of
from srvp_world.presets import Preset, preset
from srvp_world.spaces import ActionSpec
from srvp_world.train.distributed import Processes
from srvp_world.train.trainer import Trainer
from srvp_world.world import Batch

PRESET = "control"
NUM_ENVS = (1, 64, 1024)
OBSERVATIONS: tuple[Literal["latent", "pixels"], ...] = ("latent", "pixels")
OUTPUTS: tuple[Literal["numpy", "torch"], ...] = ("numpy", "torch")
REPEATS = 5
REPEAT_SECONDS = 0.3  # each repeat does the work as often as fits, and once at least
PROTOCOL = {
    "training": "updates of the preset on random frames; frames of all windows",
    "generator": "batches of Moving MNIST as the preset trains on, in one thread",
    "dream": "steps of all rows, with a fixed action, autoreset included",
    "timing": f"one warm-up, then the median of {REPEATS} repeats of about {REPEAT_SECONDS} s",
}


def measure_speed(
    world: World,
    *,
    preset_name: str = PRESET,
    num_envs: Sequence[int] = NUM_ENVS,
    repeats: int = REPEATS,
    progress: bool = True,
) -> dict[str, Any]:
    """Time training updates and dream steps on the world's device, with torch's current threads.

    Args:
        world: Where to dream.
        preset_name: What to train; of presets that train on Moving MNIST, clips are timed, too.
        num_envs: Sizes of the batches of dreams.
        repeats: Timings that each median is of.
        progress: Whether to show a bar.

    Returns:
        `preset`, `threads`, `training_frames_per_second`, for Moving MNIST
        `generator_frames_per_second`, and `dream_steps_per_second` by observation, output and
        number of envs.

    Raises:
        UnknownNameError: If there is no such preset.
    """
    chosen = preset(preset_name)
    device = world.device
    dreams: dict[str, dict[str, dict[str, float]]] = {}
    made = {}
    total = 1 + bool(chosen.data) + len(OBSERVATIONS) * len(OUTPUTS) * len(num_envs)
    with tqdm(total=total, desc="speed", unit="timing", disable=not progress) as bar:
        bar.set_postfix_str("training")
        training = _rate(*_training(chosen, device), device, repeats)
        bar.update()
        if chosen.data:
            bar.set_postfix_str("clips")
            made["generator_frames_per_second"] = _rate(*_generating(chosen), device, repeats)
            bar.update()
        for obs in OBSERVATIONS:
            for output in OUTPUTS:
                for n in num_envs:
                    bar.set_postfix_str(f"{n} dreams, {obs} as {output}")
                    rate = _rate(_dreaming(world, n, obs, output), n, device, repeats)
                    dreams.setdefault(obs, {}).setdefault(output, {})[str(n)] = rate
                    bar.update()
    return {
        "preset": preset_name,
        "threads": torch.get_num_threads(),
        "training_frames_per_second": training,
        **made,
        "dream_steps_per_second": dreams,
    }


def table(numbers: dict[str, Any]) -> str:
    """Lay the numbers out in Markdown."""
    dreams = numbers["dream_steps_per_second"]
    sizes = list(dreams[OBSERVATIONS[0]][OUTPUTS[0]])
    heads = [f"{size} {'env' if size == '1' else 'envs'}" for size in sizes]
    training, made = (
        numbers.get(f"{name}_frames_per_second") for name in ("training", "generator")
    )
    clips = f"; its clips are made at {made:,.0f} frames/s, {made / training:,.0f}x" if made else ""
    lines = [
        f"training, {numbers['preset']}: {training:,.0f} frames/s, "
        f"{numbers['threads']} CPU threads{clips}",
        "",
        f"| dream steps/s | {' | '.join(heads)} |",
        "|---" * (len(sizes) + 1) + "|",
    ]
    for obs, outputs in dreams.items():
        for output, rates in outputs.items():
            shown = " | ".join(f"{rates[size]:,.0f}" for size in sizes)
            lines.append(f"| {obs}, {output} | {shown} |")
    return "\n".join(lines)


def _training(chosen: Preset, device: torch.device) -> tuple[Callable[[], object], int]:
    """Give one update of a preset, and the frames that it takes."""
    config, shape = chosen.train, chosen.model
    if (
        isinstance(shape, ModelConfig) and shape.reward
    ):  # then it is for experience, where there are actions
        action = ActionSpec(kind="box", shape=(1,), low=(-1.0,), high=(1.0,))
        shape = replace(shape, action=action)
    model = KINDS[kind_of(shape)].network(shape, seed=0).to(device).train()
    trainer = Trainer(model, config, Path(), (), 1, Processes(device=device))
    batch = _random_batch(config, shape).to(device)
    return lambda: trainer.update(batch), config.batch_size * config.window


def _generating(chosen: Preset) -> tuple[Callable[[], object], int]:
    """Give the making of one batch of Moving MNIST, and the frames in it."""
    config = chosen.train
    source = MovingDigits(
        shipped_digits(),
        stochastic=chosen.data == "smmnist",
        batch_size=config.batch_size,
        window=config.window,
        seed=0,
    )
    return lambda: source.batch(0), config.batch_size * config.window


def _random_batch(config: TrainConfig, shape: AnyConfig) -> Batch:
    b, t = config.batch_size, config.window
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(b, t, shape.channels, *2 * [shape.frame_size], generator=generator)
    valid = torch.ones(b, t, dtype=torch.bool)
    if shape.action is None:
        return Batch(frames, valid, episode_start=torch.zeros(b, dtype=torch.bool))
    return Batch(
        frames,
        valid,
        episode_start=torch.arange(b) % 8 == 0,
        actions=2 * torch.rand(b, t - 1, 1, generator=generator) - 1,
        rewards=torch.randn(b, t - 1, generator=generator),
        continues=torch.ones(b, t - 1),
    )


def _dreaming(
    world: World, n: int, obs: Literal["latent", "pixels"], output: Literal["numpy", "torch"]
) -> Callable[[], object]:
    """Give one step of n dreams."""
    dream = DreamVectorEnv(n, world, obs=obs, output=output)
    dream.reset(seed=0)
    dream.action_space.seed(0)
    action = dream.action_space.sample()
    if output == "torch":
        action = torch.as_tensor(action, device=world.device)
    return lambda: dream.step(action)


def _rate(
    work: Callable[[], object], amount: int, device: torch.device, repeats: int = REPEATS
) -> float:
    """Time work and return the median amount per second."""
    _seconds(work, 1, device)  # the first call allocates and chooses kernels
    times = max(1, round(REPEAT_SECONDS / _seconds(work, 1, device)))
    return median(times * amount / _seconds(work, times, device) for _ in range(repeats))


def _seconds(work: Callable[[], object], times: int, device: torch.device) -> float:
    started = perf_counter()
    for _ in range(times):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # work is only queued until then
    return perf_counter() - started
