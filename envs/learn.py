"""From a folder of experience to a world: fit the model, then freeze what a world carries."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from einops import rearrange

from srvp_world.baselines.svg import SVG
from srvp_world.baselines.svg_config import SVGConfig
from srvp_world.checkpoint import StartClips, World
from srvp_world.config import TrainConfig, to_json
from srvp_world.data.coverage import warn_of_coverage
from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import Episode
from srvp_world.data.live import Windows, draw_windows
from srvp_world.data.mnist import Digits
from srvp_world.data.moving_mnist import FRAME, MovingDigits
from srvp_world.envs.starts import StartPool, clips_of, watch_clips
from srvp_world.errors import ConfigError, MissingFileError
from srvp_world.kinds import KINDS, AnyConfig, kind_of
from srvp_world.model.calibration import calibrate_uncertainty
from srvp_world.model.srvp import SRVP
from srvp_world.train.distributed import Processes
from srvp_world.train.fit import FitResult, fit
from srvp_world.train.snapshot import BEST, load_weights
from srvp_world.world import Batch, WorldModel

VALIDATION_FRACTION = 0.05
CALIBRATION = 8  # training batches that tell what uncertainty is usual
VALIDATION_SEED = 1 << 32  # more, so that digits do not move in validation as they did in training


class LearntWorld(NamedTuple):
    """A world, and what it was made of.

    Attributes:
        world: Ready to save and to dream; its start clips are a sample of the data's episodes.
        pool: States at every frame of up to `pool_episodes` episodes, more than the world carries.
        fit: How the fit went.
    """

    world: World
    pool: StartPool
    fit: FitResult


def learn_world(
    data: Dataset,
    model: AnyConfig,
    train: TrainConfig,
    run: Path,
    *,
    held_out: Dataset | None = None,
    init: World | None = None,
    start_clips: int = 16,
    start_length: int = 24,
    pool_episodes: int = 100,
    resume: bool = False,
    progress: bool = True,
    processes: Processes | None = None,
) -> LearntWorld:
    """Fit a model to episodes and make a world of it.

    Frame size, channels, actions, heads and vector follow the data, whatever `model` says.

    Args:
        data: Episodes, or clips of video. Of a live data set new episodes are drawn as they come;
            what the world is normalised by, and validated on, is what is there at first.
        model: Shape of the network.
        train: How to fit.
        run: Folder for logs and checkpoints.
        held_out: Episodes to validate on; None sets 5 % of the data's apart.
        init: World whose weights to begin with; None draws them.
        start_clips: Clips that the world carries; many short ones cover more than a few episodes.
        start_length: Frames of each, from the first frame of an episode on.
        pool_episodes: Episodes whose states calibrate the features and make the pool.
        resume: Whether to go on from the run folder's last checkpoint.
        progress: Whether to show a bar.
        processes: Who shares the training; None means that this process trains alone.

    Raises:
        ConfigError: If the world to begin with has another shape.
        DataError: If no episode begins in the data.
    """
    processes = processes or Processes()
    if train.frames_only:
        data = data.frames_only()
        held_out = None if held_out is None else held_out.frames_only()
    with processes.together():
        if processes.first:
            warn_of_coverage(data)
        config = fit_to_data(model, data)
        network = _network(config, train.seed, init)
        freeze_statistics(network, data)
        context = _context(config, train)
        training, held_out, validation = _set_apart(data, held_out, config, train)
        training.beginnings(1, train.seed, 1)  # refused where there are none: no dream could start
        sampler = _sampler(training, config, train, without=held_out.episodes)
    result = fit(
        network.to(processes.device),
        partial(sampler.batch, shard=processes.shard),
        train,
        run,
        validation=validation,
        context=context,
        resume=resume,
        progress=progress,
        processes=processes,
    )
    training = sampler.refresh()
    clips = _clips(training, pool_episodes, config, train.seed)
    pool = _finish(network, train, run, clips, [sampler.batch(i) for i in range(CALIBRATION)])
    carried = _clips(training, start_clips, config, train.seed, start_length)
    info = data.info
    world = World(
        model=network,
        starts=carried,
        pixels=info.pixels,
        episode_length=round(data.mean_length) if info.action else None,
        fps=info.frame_rate or World.fps,
    )
    return LearntWorld(world, pool, result)


def learn_moving_mnist(
    digits: Digits,
    model: AnyConfig,
    train: TrainConfig,
    run: Path,
    *,
    stochastic: bool,
    init: World | None = None,
    start_clips: int = 16,
    pool_clips: int = 100,
    resume: bool = False,
    progress: bool = True,
    processes: Processes | None = None,
) -> LearntWorld:
    """Fit a model to Moving MNIST, made on the fly, and make a world of it.

    Args:
        digits: Which digits move; validation has 5 % of them to itself.
        model: Shape of the network; frames are grey and 64 pixels wide whatever it says.
        train: How to fit.
        run: Folder for logs and checkpoints.
        stochastic: Whether bounces draw new speeds.
        init: World whose weights to begin with; None draws them.
        start_clips: Clips that the world carries.
        pool_clips: Clips whose states calibrate the features and make the pool.
        resume: Whether to go on from the run folder's last checkpoint.
        progress: Whether to show a bar.
        processes: Who shares the training; None means that this process trains alone.

    Raises:
        ConfigError: If the world to begin with has another shape.
    """
    processes = processes or Processes()
    config = replace(model, frame_size=FRAME, channels=1)
    context = _context(config, train)
    network = _network(config, train.seed, init)
    training, held_out = digits.split()

    def source(digits: Digits, batch_size: int, window: int) -> MovingDigits:
        seed = train.seed + (digits is held_out) * VALIDATION_SEED
        return MovingDigits(
            digits, stochastic=stochastic, batch_size=batch_size, window=window, seed=seed
        )

    apart = _validating(train)
    clips_of_training = source(training, train.batch_size, train.window).batch
    result = fit(
        network.to(processes.device),
        partial(clips_of_training, shard=processes.shard),
        train,
        run,
        validation=_first(source(held_out, apart.batch_size, apart.window).batch, apart),
        context=context,
        resume=resume,
        progress=progress,
        processes=processes,
    )
    watched = source(training, pool_clips, config.content_frames).batch(train.iterations)
    pixels = rearrange(watched.frames * 255, "n t c h w -> n t h w c").round().byte().numpy()
    clips = [Episode(frames=clip) for clip in pixels]
    pool = _finish(network, train, run, clips_of(clips), [clips_of_training(0)])
    return LearntWorld(World(network, clips_of(clips[:start_clips])), pool, result)


def _context(config: AnyConfig, train: TrainConfig) -> int:
    """Say how many frames validations watch; of video, no fewer than the model needs."""
    least = 1 if config.action else config.content_frames
    context = train.conditioning or max(config.content_frames, train.window // 4)
    if context < least:
        raise ConfigError(
            f"conditioning is {context}, but the model needs {least} frames (content_frames) to "
            f"begin: raise --conditioning to {least}, or lower --content-frames"
        )
    return context


def fit_to_data(model: AnyConfig, data: Dataset) -> AnyConfig:
    """Let frames, actions, heads and vector of a configuration follow a data set.

    Raises:
        ConfigError: If the model learns from frames alone, and the data have more.
    """
    info = data.info
    if isinstance(model, SVGConfig):
        if info.action or info.rewards or info.vector_dim:
            raise ConfigError(
                f"SVG learns from frames alone, but {data.folder} has more: give --frames-only"
            )
        return replace(model, frame_size=info.frame_size, channels=info.channels)
    return replace(
        model,
        frame_size=info.frame_size,
        channels=info.channels,
        action=info.action,
        vector_dim=info.vector_dim,
        reward=info.rewards,
        continuation=info.action is not None,
    )


def freeze_statistics(network: SRVP | SVG, data: Dataset) -> None:
    """Set the normalisers of rewards and vectors from a data set.

    Rewards are bounded by those seen: an agent would soon find out where a head promises more.
    """
    if isinstance(network, SVG):
        return
    if data.info.rewards:
        low, high = data.reward_range()
        network.reward_normaliser.bound(torch.tensor([low]), torch.tensor([high]))
        mean, std = data.reward_statistics()
        network.reward_normaliser.freeze(torch.tensor([mean]), torch.tensor([std]))
    if data.info.vector_dim:
        means, stds = data.vector_statistics()
        network.vector_normaliser.freeze(torch.from_numpy(means), torch.from_numpy(stds))


def _set_apart(
    data: Dataset, held_out: Dataset | None, config: AnyConfig, train: TrainConfig
) -> tuple[Dataset, Dataset, Sequence[Batch]]:
    """Choose what to validate on, and read it at once: of a live data set it may soon be gone."""
    chosen, apart = held_out, _validating(train)
    while True:
        training = data
        if held_out is None:
            training, chosen = data.split(VALIDATION_FRACTION, train.seed)
        assert chosen is not None
        if not len(chosen):
            return training, chosen, ()
        try:
            sampler = _sampler(replace(chosen, live=False), config, apart)
            return training, chosen, _first(sampler.batch, apart)
        except MissingFileError:
            if held_out is not None or not data.live:
                raise
            data = replace(data, records=Dataset.open(data.folder, live=True).records)


def _sampler(data: Dataset, config: AnyConfig, train: TrainConfig, **living: Any) -> Windows:
    return draw_windows(
        data,
        batch_size=train.batch_size,
        window=train.window,
        episode_start_fraction=train.episode_start_fraction,
        min_frames=config.content_frames,
        seed=train.seed,
        with_first=config.content_from_first,
        **living,
    )


def check_same_shape(config: AnyConfig, init: World) -> None:
    """Refuse to begin with the weights of a world of another shape.

    Raises:
        ConfigError: Naming the first difference; the objective may differ.
    """
    shape, theirs = to_json(config), to_json(init.model.config)
    for name in shape:
        if name != "objective" and shape[name] != theirs[name]:
            raise ConfigError(
                f"{name} is {shape[name]}, but the world to begin with has {theirs[name]}: "
                "begin with a world of the same shape, or with random weights"
            )


def _network(config: AnyConfig, seed: int, init: World | None) -> SRVP | SVG:
    """Make a network with random weights, or with those of a world of the same shape."""
    network = KINDS[kind_of(config)].network(config, seed=seed)
    if init is not None:
        check_same_shape(config, init)
        network.load_state_dict(init.model.state_dict())
    return network


def _validating(train: TrainConfig) -> TrainConfig:
    """Give the configuration with batches as validations see them."""
    return replace(
        train,
        batch_size=train.validation_batch_size or train.batch_size,
        window=train.validation_window or train.window,
    )


def _first(batch: Callable[[int], Batch], train: TrainConfig) -> Sequence[Batch]:
    """Draw the batches that every validation sees."""
    return [batch(i) for i in range(train.validation_batches)]


def _finish(
    network: SRVP | SVG, train: TrainConfig, run: Path, clips: StartClips, batches: Sequence[Batch]
) -> StartPool:
    """Take the weights that are to be kept; freeze what is usual on clips and on batches."""
    if train.keep == "best" and (run / BEST).exists():
        load_weights(run / BEST, network)
    network.eval().requires_grad_(False)
    model: WorldModel[Any] = network
    pool = watch_clips(model, clips)
    features = model.features(pool.states)
    network.feature_normaliser.freeze(features.mean(0), features.std(0))
    if isinstance(network, SRVP):
        calibrate_uncertainty(network, batches)
    return pool


def _clips(
    data: Dataset, count: int, config: AnyConfig, seed: int, length: int | None = None
) -> StartClips:
    """Choose beginnings of episodes at random, or clips of k frames of video."""
    stop = length if data.info.action else config.content_frames
    return clips_of(data.beginnings(count, seed, stop))
