"""The checker of vector envs: it passes what Gymnasium ships, and finds every broken rule."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from walk import (
    NEXT,
    NONE,
    SAME,
    Endless,
    Restless,
    Shared,
    Tensors,
    Walk,
    keep,
    masked,
    on_reset,
    on_step,
    walks,
    with_attribute,
)

from srvp_world.testing import check_vector_env

POPS = "ignore:reset takes reset_mask out of the options"  # Gymnasium's own SyncVectorEnv does


@pytest.mark.filterwarnings(POPS)
@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "Blackjack-v1"])
def test_gymnasiums_own_batches_pass(name, mode):
    env = gym.make_vec(
        name,
        num_envs=3,
        max_episode_steps=20,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
    )
    check_vector_env(env)


@pytest.mark.filterwarnings("ignore:all instances of CartPoleVectorEnv share one metadata")
def test_gymnasiums_own_vector_cartpole_passes():
    env = gym.make_vec(
        "CartPole-v1",
        num_envs=3,
        vectorization_mode="vector_entry_point",
        render_mode="rgb_array",
    )
    check_vector_env(env, row_seeds=False)


@pytest.mark.filterwarnings(POPS)
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_env_that_is_broken_below_is_whole(mode):
    check_vector_env(walks(mode))
    check_vector_env(Tensors(walks(mode)))


def test_a_batch_of_one_passes():
    check_vector_env(SyncVectorEnv([Walk]))


def no_final_mask(env, result, actions):
    if "_final_obs" in result[4]:
        result[4]["_final_obs"][:] = False
    return result


def no_final_obs(env, result, actions):
    result[4].pop("final_obs", None)
    return result


def final_of_float64(env, result, actions):
    for i in np.flatnonzero(result[4].get("_final_obs", [])):
        result[4]["final_obs"][i] = result[4]["final_obs"][i].astype(float)
    return result


def final_shown_again(env, result, actions):
    for i in np.flatnonzero(result[4].get("_final_obs", [])):
        result[0][i] = result[4]["final_obs"][i]
    return result


def final_in_the_same_memory(env, result, actions):
    for i in np.flatnonzero(result[4].get("_final_obs", [])):
        result[4]["final_obs"][i] = result[0][i]
    return result


def reward_of_the_reset(env, result, actions):
    return (result[0], result[1] + 1, *result[2:])


def acting_on_what_is_over(env, result, actions):
    begun = result[0][:, 1] == 0
    result[0][begun] += actions[begun]
    return result


def staying_at_the_end():
    """Rows show where they ended, in the step that resets them."""

    def change(env, result, actions):
        begun = result[0][:, 1] == 0
        last = getattr(env, "last", result[0])
        env.last = result[0].copy()
        result[0][begun] = last[begun]
        return result

    return on_step(change)


def accepts_no_rows():
    env = walks(NONE)
    reset = env.reset

    def broken(*, seed=None, options=None):
        none = options and not options["reset_mask"].any()
        return reset(seed=seed) if none else reset(seed=seed, options=options)

    env.reset = broken
    return env


def changes_the_mask(env, reset, mask, seed):
    result = reset(options={"reset_mask": mask.copy()})
    mask[:] = False
    return result


def ignores_the_mask(env, reset, mask, seed):
    return env._observations.copy(), {}


def resets_all(env, reset, mask, seed):
    return reset()


def speaks_of_all(env, reset, mask, seed):
    observation, _ = reset(options={"reset_mask": mask})
    return observation, {"begun": np.zeros(3), "_begun": np.ones(3, bool)}


def disturbs_later(env, reset, mask, seed):
    for single in env.envs:
        single.place += 1
    return reset(options={"reset_mask": mask})


def neighbourly(result):
    observation, *others = result
    return (observation + observation.sum(0), *others)


def closing_once():
    env = walks()
    close = env.close

    def broken():
        if env.closed:
            raise RuntimeError("already closed")
        close()

    env.close = broken
    return env


def leaning_on_neighbours():
    env = walks()
    reset, step = env.reset, env.step
    env.reset = lambda **given: neighbourly(reset(**given))
    env.step = lambda actions: neighbourly(step(actions))
    return env


BROKEN = {
    "class": (Walk, "Walk is no VectorEnv: make one with gym.make_vec"),
    "batch of observations": (
        with_attribute("observation_space", lambda env: env.single_observation_space),
        "observation_space must be the batch of single_observation_space",
    ),
    "batch of actions": (
        with_attribute("action_space", lambda env: gym.spaces.Box(-1, 1, (3, 2))),
        "action_space must be the batch of single_action_space",
    ),
    "mode": (
        with_attribute("metadata", lambda env: {"autoreset_mode": "NextStep"}),
        r"must be a gymnasium.vector.AutoresetMode, got 'NextStep'",
    ),
    "order": (lambda: walks(kind=Restless), "a step before the first reset must be refused"),
    "reset": (on_reset(lambda reset, *given: reset()[0]), "reset must return .observations, infos"),
    "step": (on_step(lambda env, result, _: result[:4]), "step must return .observations, rewa"),
    "dtype": (on_step(keep(0, lambda x: x.astype(float))), "observations must lie in Box.*float32"),
    "shape": (on_step(keep(0, lambda x: x[:2])), "observations must lie in Box"),
    "integer rewards": (on_step(keep(1, np.int64)), r"rewards must be floats of shape \(3,\)"),
    "deep rewards": (on_step(keep(1, lambda x: x[:, None])), "rewards must be floats of shape"),
    "integer ends": (on_step(keep(2, np.int64)), "terminations and truncations must be bool"),
    "no mask": (
        on_step(keep(4, lambda infos: {**infos, "speed": np.zeros(3)})),
        r"infos\['speed'\] needs a bool mask of shape \(3,\)",
    ),
    "infos": (on_step(keep(4, lambda infos: [{}] * 3)), "infos must be a dict"),
    "one buffer": (lambda: walks(copy=False), "must not share memory"),
    "no seed": (
        on_reset(lambda reset, seed, options: reset(seed=None)),
        r"reset\(seed=3\) must lead to the same steps again",
    ),
    "forgetful": (
        on_reset(
            lambda reset, seed, _: reset(
                seed=int(np.random.default_rng().integers(9**9)) if seed is None else seed
            )
        ),
        "the reset after a seeded one must be the same again",
    ),
    "list": (
        on_reset(lambda reset, seed, _: reset(seed=seed[::-1] if type(seed) is list else seed)),
        "a list of seeds s, s . 1, ... must do what the seed s does",
    ),
    "neighbours": (leaning_on_neighbours, "row 1 of seed 3 must be row 0 of seed 4"),
    "images": (
        with_attribute("render", lambda env: lambda: [np.zeros((8, 8, 3), np.uint8)]),
        "3 i",
    ),
    "grey images": (with_attribute("render", lambda env: lambda: [np.zeros((8, 8))] * 3), "uint8"),
    "close": (closing_once, "close must work twice.*already closed"),
    "same: mask": (on_step(no_final_mask, SAME), r"infos\['_final_obs'\] must be true where"),
    "same: none": (on_step(no_final_obs, SAME), r"infos\['_final_obs'\] must be true where"),
    "same: dtype": (on_step(final_of_float64, SAME), r"infos\['final_obs'\]\[\d\] must lie in Box"),
    "same: stays": (on_step(final_shown_again, SAME), "must show the first observation of the nex"),
    "same: memory": (on_step(final_in_the_same_memory, SAME), "must not share memory"),
    "next: reward": (on_step(reward_of_the_reset), "the step after an end must give reward 0"),
    "next: action": (on_step(acting_on_what_is_over), "the step after an end must ignore the acti"),
    "next: stays": (staying_at_the_end(), "the step after an end must show a new episode"),
    "masked: none": (accepts_no_rows, r"a reset_mask of bool \(3,\) that chooses none"),
    "masked: mask": (masked(changes_the_mask), "reset must not change the reset_mask"),
    "masked: nothing": (masked(ignores_the_mask), "must begin the rows of reset_mask anew"),
    "masked: all": (
        masked(resets_all),
        "a reset must not touch the rows outside|infos of a masked",
    ),
    "masked: infos": (
        masked(speaks_of_all),
        "infos of a masked reset must speak of its rows alone",
    ),
    "masked: later": (masked(disturbs_later), "a reset must not touch the rows outside reset_mask"),
}


@pytest.mark.filterwarnings(POPS)
@pytest.mark.parametrize(("broken", "rule"), BROKEN.values(), ids=BROKEN)
def test_each_broken_rule_is_found(broken, rule):
    with pytest.raises(AssertionError, match=rule) as found:
        check_vector_env(broken())
    assert "\n" not in str(found.value)


def test_what_is_allowed_but_dangerous_is_warned_of():
    with pytest.warns(UserWarning, match="reset takes reset_mask out of the options"):
        check_vector_env(walks(NONE))
    with pytest.warns(UserWarning, match="all instances of Shared share one metadata"):
        check_vector_env(walks(batch=Shared))
    for mode in (SAME, NEXT):
        with pytest.warns(UserWarning, match="no episode ended within 20 steps"):
            check_vector_env(walks(mode, Endless), steps=20)


def test_tensors_that_share_memory_are_found():
    env = Tensors(walks())
    step, buffer = env.step, torch.zeros(3, 2)

    def broken(actions):
        observation, *others = step(actions)
        return (buffer.copy_(observation), *others)

    env.step = broken
    with pytest.raises(AssertionError, match="must not share memory"):
        check_vector_env(env)
