"""The checker of Gymnasium's vector envs; import it from `srvp_world.testing`."""

import warnings
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from srvp_world.testing.evidence import (
    check_closing,
    check_images,
    close,
    refuses,
    require,
    row_of,
    to_numpy,
)
from srvp_world.testing.replay import Replay, Step


def check_vector_env(
    env: VectorEnv[Any, Any, Any], *, row_seeds: bool = True, steps: int = 1000
) -> None:
    """Check a vector env, of NumPy arrays or torch tensors, in its own autoreset mode.

    Spaces and metadata; types, shapes and memory of all that is returned; seeds; masks of infos;
    rendering, closing, steps before the first reset; and what ends mean in the mode.

    Args:
        env: A new one, not yet reset. Two rows or more, for one alone has no neighbour to disturb.
        row_seeds: Whether row i of seed s must be what seed s + i is, and seeds may be a list.
        steps: How long to wait for the ends of episodes.

    Raises:
        AssertionError: For the first rule that is broken.
    """
    _check_attributes(env)
    replay = Replay(env, steps)
    refuses(
        lambda: env.step(replay.batch(replay.due(0))),
        "a step before the first reset must be refused (and the checker be given a new env): "
        "it would go on from nothing",
    )
    _check_seeds(replay, row_seeds)
    replay.reset(seed=0)
    if env.render_mode == "rgb_array":
        check_images(env.render(), env.num_envs)
    check = {
        AutoresetMode.SAME_STEP: _check_same_step,
        AutoresetMode.NEXT_STEP: _check_next_step,
        AutoresetMode.DISABLED: _check_masked_resets,
    }[replay.mode]
    doubt = check(replay, row_seeds)
    if doubt:
        warnings.warn(doubt, stacklevel=2)
    check_closing(env)


def _check_attributes(env: VectorEnv[Any, Any, Any]) -> None:
    """Check what must be right before anything is played."""
    require(
        isinstance(env, VectorEnv),
        f"{type(env).__name__} is no VectorEnv: make one with gym.make_vec",
    )
    for name in ("observation_space", "action_space"):
        single = getattr(env, f"single_{name}")
        require(
            getattr(env, name) == batch_space(single, env.num_envs),
            f"{name} must be the batch of single_{name}: buffers take one, policies the other",
        )
    mode = env.metadata.get("autoreset_mode")
    require(
        isinstance(mode, AutoresetMode),
        f"metadata['autoreset_mode'] must be a gymnasium.vector.AutoresetMode, got {mode!r}: "
        "wrappers refuse anything else",
    )
    inner = env.unwrapped
    if inner.metadata is type(inner).metadata:
        warnings.warn(
            f"all instances of {type(inner).__name__} share one metadata, so a change for one env "
            "is a change for all: give each its own dict",
            stacklevel=3,
        )


def _check_seeds(replay: Replay, row_seeds: bool) -> None:
    """Check that seeds, in every form, lead to the same dreams again."""
    first, again = replay.story(3), replay.story(3)
    require(_alike(first, again), "reset(seed=3) must lead to the same steps again")
    later = []
    for _ in range(2):
        replay.reset(3)
        later.append(replay.reset(None).observation)
    require(close(*later), "the reset after a seeded one must be the same again, too")
    if not row_seeds:
        return
    n = replay.env.num_envs
    listed = replay.story([3 + i for i in range(n)])
    require(_alike(first, listed), "a list of seeds s, s + 1, ... must do what the seed s does")
    shifted = replay.story(4, roll=1)
    for one, two in zip(first, shifted, strict=False):
        for i in range(n - 1):
            require(
                close(row_of(one.observation, i + 1), row_of(two.observation, i)),
                f"row {i + 1} of seed 3 must be row {i} of seed 4, whatever its neighbours do: "
                "otherwise runs with another number of envs cannot be compared",
            )


def _check_same_step(replay: Replay, row_seeds: bool) -> str | None:
    """Check that ended rows begin anew at once, and leave their last observation in infos."""
    replay.reset(seed=1)
    moved = ended = 0
    for _ in range(replay.steps):
        step = replay.step()
        mask = to_numpy(step.infos.get("_final_obs", np.zeros_like(step.done)))
        require(
            bool((mask == step.done).all()) and ("final_obs" in step.infos or not mask.any()),
            "infos['_final_obs'] must be true where a row ended: the value of the last observation "
            "is what truncated rows are bootstrapped with",
        )
        for i in np.flatnonzero(step.done):
            last = to_numpy(row_of(step.infos["final_obs"], i))
            require(
                replay.env.single_observation_space.contains(last),
                f"infos['final_obs'][{i}] must lie in {replay.env.single_observation_space}",
            )
            moved += not close(last, row_of(step.observation, i))
            ended += 1
        if step.done.any():
            replay.memory.add(step.infos["final_obs"])
        if ended > 3 * replay.env.num_envs:
            break
    require(
        moved > 0 or not ended,
        "rows that ended must show the first observation of the next episode, not final_obs again: "
        "the policy would act on what is over",
    )
    return None if ended else _no_end(replay)


def _check_next_step(replay: Replay, row_seeds: bool) -> str | None:
    """Check that the step after an end only resets, whatever the action."""
    last = replay.reset(seed=1)
    moved, ends = 0, []
    for _ in range(replay.steps):
        step = replay.step()
        for i in np.flatnonzero(last.done):
            require(
                step.rewards[i] == 0 and not step.done[i],
                "the step after an end must give reward 0 and no end: it begins an episode",
            )
            moved += not close(row_of(last.observation, i), row_of(step.observation, i))
        ends += [replay.t] if step.done.any() else []
        last = step
        if len(ends) > 6:
            break
    if not ends or ends[0] == replay.t:
        return _no_end(replay)
    require(
        moved > 0,
        "the step after an end must show a new episode: the row would stay where it ended",
    )
    begun = [_step_after(replay, ends[0], other) for other in (False, True)]
    for i in np.flatnonzero(begun[0][0].done):
        one, two = (row_of(step.observation, i) for _, step in begun)
        require(
            close(one, two),
            "the step after an end must ignore the action: it was chosen for what is over",
        )
    return None


def _step_after(replay: Replay, end: int, other: bool) -> tuple[Step, Step]:
    """Play to an end and one step on, with the action that is due or with others."""
    step = replay.reset(seed=1)
    while replay.t < end:
        step = replay.step()
    due = replay.due(end)
    choices = [row for t in range(20) for row in replay.due(t)]
    unlike = [next((a for a in choices if not close(a, row)), row) for row in due]
    return step, replay.step(unlike if other else due)


def _check_masked_resets(replay: Replay, row_seeds: bool) -> str | None:
    """Check that a reset of some rows begins these anew, and touches nothing else."""
    _check_wrong_masks(replay)
    n = replay.env.num_envs
    seed = next((s for s in range(50) if not replay.story(s)[1].done.any()), None)
    if seed is None:
        return (
            "all episodes ended with their first step, so resets of some rows were not checked: "
            "give the checker an env with longer episodes"
        )
    first, before, after = replay.story(seed)[:3]
    replay.reset(seed)
    replay.step()
    mask = np.arange(n) == 0
    options = {"reset_mask": mask}
    begun = replay.reset(seed, options)
    require(bool((mask == (np.arange(n) == 0)).all()), "reset must not change the reset_mask")
    if "reset_mask" not in options:
        warnings.warn(
            "reset takes reset_mask out of the options, so wrappers around it, such as "
            "RecordEpisodeStatistics, reset all rows: read it and leave it there",
            stacklevel=3,
        )
    same = first if row_seeds else before
    require(
        close(row_of(begun.observation, 0), row_of(same.observation, 0)) == row_seeds,
        "reset must begin the rows of reset_mask anew: they would be stuck at their ends",
    )
    told = [to_numpy(value)[1:].any() for name, value in begun.infos.items() if name[0] == "_"]
    require(not any(told), "infos of a masked reset must speak of its rows alone")
    following = replay.step()
    for one, two in ((begun, before), (following, after)):
        for i in range(1, n):
            require(
                close(row_of(one.observation, i), row_of(two.observation, i)),
                "a reset must not touch the rows outside reset_mask: their episodes go on",
            )
    return None


def _check_wrong_masks(replay: Replay) -> None:
    n = replay.env.num_envs
    for mask in (np.zeros(n, bool), np.ones(n + 1, bool), np.ones(n)):
        refuses(
            partial(replay.env.reset, options={"reset_mask": mask}),
            f"a reset_mask of {mask.dtype} {mask.shape} that chooses "
            f"{'rows' if mask.any() else 'none'} must be refused: it is a mistake",
        )


def _no_end(replay: Replay) -> str:
    return (
        f"no episode ended within {replay.steps} steps, so autoreset was not checked: "
        "give the checker an env with shorter episodes"
    )


def _alike(one: list[Step], two: list[Step]) -> bool:
    """Tell whether two stories agree in all that can be compared."""
    parts = ("observation", "rewards", "done")
    return len(one) == len(two) and all(
        close([getattr(a, name) for name in parts], [getattr(b, name) for name in parts])
        for a, b in zip(one, two, strict=True)
    )
