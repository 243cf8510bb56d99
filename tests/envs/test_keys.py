"""Keys for every kind of action space."""

import gymnasium as gym
import numpy as np
import pygame
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from worlds import tiny_model, tiny_world

from srvp_world.config import PixelConfig
from srvp_world.envs import keys
from srvp_world.envs.keys import DOWN, LEFT, RIGHT, UP, controls, describe, space_keyboard
from srvp_world.envs.single import DreamEnv

SPACES = [
    Discrete(1),
    Discrete(2),
    Discrete(3),
    Discrete(6),
    Discrete(200),
    Box(-2, 2, (1,)),
    Box(np.float32([-1, 0, 3]), np.float32([1, 1, 5])),
    Box(-1, 1, (4, 5)),
    MultiDiscrete([3, 2]),
    MultiDiscrete([50, 4]),
    MultiBinary(3),
    MultiBinary(2000),
]


def test_codes_are_those_of_the_installed_pygame():
    arrows = (pygame.K_RIGHT, pygame.K_LEFT, pygame.K_DOWN, pygame.K_UP)
    assert arrows == (RIGHT, LEFT, DOWN, UP)
    known = {pygame.K_SPACE, pygame.K_PERIOD, pygame.K_RETURN, pygame.K_TAB, pygame.K_ESCAPE}
    assert known <= {code for codes in keys.CONTROLS.values() for code in codes}


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_every_action_lies_in_the_space_and_every_control_keeps_its_keys(space):
    keyboard = space_keyboard(space)
    assert all(action in space for action in [keyboard.noop, *keyboard.actions.values()])
    assert all(codes == tuple(sorted(set(codes))) != () for codes in keyboard.actions)
    assert controls(keyboard) == keys.CONTROLS
    assert len(keyboard.actions) < 5000
    for name in keys.CONTROLS:
        assert f" {name}\n" in describe(keyboard) + "\n"


@pytest.mark.parametrize("n", [2, 3, 4, 5, 18, 27])
def test_every_choice_has_a_key(n):
    assert set(space_keyboard(Discrete(n)).actions.values()) == set(range(n))


def test_few_choices_lie_on_the_arrows_from_left_to_right():
    two, three, five = (space_keyboard(Discrete(n)) for n in (2, 3, 5))
    assert [two.actions[key,] for key in (LEFT, RIGHT, ord("a"), ord("1"))] == [0, 1, 0, 1]
    assert [three.actions[key,] for key in (LEFT, DOWN, RIGHT)] == [0, 1, 2]
    assert [five.actions[key,] for key in (LEFT, DOWN, RIGHT, UP)] == [1, 2, 3, 4]
    assert (two.noop, three.noop, five.noop) == (0, 1, 0)


def test_boxes_go_to_their_bounds_and_rest_at_zero_or_in_the_middle():
    box = space_keyboard(Box(np.float32([[-2, 0], [3, -1]]), np.float32([[4, 1], [5, 1]])))
    np.testing.assert_array_equal(box.noop, [[0, 0], [4, 0]])
    np.testing.assert_array_equal(box.actions[LEFT,], [[-2, 0], [4, 0]])
    np.testing.assert_array_equal(box.actions[RIGHT,], [[4, 0], [4, 0]])
    together = tuple(sorted((RIGHT, UP, ord("a"))))
    np.testing.assert_array_equal(box.actions[together], [[4, 1], [3, 0]])
    four = tuple(sorted((RIGHT, UP, ord("a"), ord("w"))))
    assert four not in box.actions  # of one component or two, or three at most
    assert (LEFT, RIGHT) not in box.actions


def test_components_of_choices_have_a_key_for_all_but_their_first_value():
    several = space_keyboard(MultiDiscrete([3, 2]))
    np.testing.assert_array_equal(several.actions[RIGHT,], [2, 0])
    np.testing.assert_array_equal(several.actions[tuple(sorted((LEFT, DOWN)))], [1, 1])
    assert len(several.actions) == 2 + 1 + 2
    one = space_keyboard(MultiDiscrete([1, 2]))  # the first component has no choice
    np.testing.assert_array_equal(one.actions[LEFT,], [0, 1])
    bits = space_keyboard(MultiBinary(3))
    np.testing.assert_array_equal(bits.actions[tuple(sorted((LEFT, RIGHT, DOWN)))], [1, 1, 1])
    np.testing.assert_array_equal(bits.noop, [0, 0, 0])
    assert bits.noop.dtype == np.int8


def test_a_person_is_told_each_key_once():
    lines = describe(space_keyboard(Box(-2, 2, (2,)))).splitlines()
    assert lines[:6] == [
        "  left               [-2.  0.]",
        "  right              [2. 0.]",
        "  down               [ 0. -2.]",
        "  up                 [0. 2.]",
        "  nothing pressed    [0. 0.]",
        "  several together   what each of them does",
    ]
    assert "  p or space         pause" in lines
    assert describe(space_keyboard(Discrete(2))).startswith("  left or a or 0 or nothing pressed 0")


class Keyed(gym.Env):
    """Offers keys of its own."""

    metadata = {"render_modes": ["rgb_array"]}
    observation_space = Box(0, 1, (1,))
    action_space = Discrete(3)

    def __init__(self, given="own", render_mode=None):
        self.render_mode = render_mode
        self.given = {
            "own": {(ord("w"), ord(" ")): 2, "w": 1, (None,): 0},
            "mountain car": {(): 1, (276,): 0, (275,): 2, (275, 276): 1},
            "other actions": {"w": 3},
            "no pause left": {"p": 1, " ": 2},
        }[given]

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def render(self):
        return np.zeros((32, 32, 3), np.uint8)

    def get_keys_to_action(self):
        return self.given


@pytest.fixture
def keys_of(monkeypatch):
    """Ask a dream of a keyed environment for its keys, through wrappers."""
    spec = gym.envs.registration.EnvSpec("Keyed-v0", entry_point=Keyed)
    monkeypatch.setitem(gym.registry, "Keyed-v0", spec)

    def keys_to_action(env_id="Keyed-v0", **env_kwargs):
        pixels = PixelConfig(env_id=env_id, frame_size=32, env_kwargs=env_kwargs)
        world = tiny_world("discrete", pixels=pixels)
        env = gym.wrappers.TimeLimit(DreamEnv(world=world), 5)
        given = keys.world_keyboard(world, env.action_space)
        assert env.get_wrapper_attr("get_keys_to_action")() == given.actions
        return given

    return keys_to_action


def test_the_real_environments_own_keys_come_first(keys_of):
    own = keys_of()
    assert own == ({(ord(" "), ord("w")): 2, (ord("w"),): 1}, 0)
    assert controls(own)["pause"] == (ord("p"),)  # the space bar is the environment's
    assert describe(own).splitlines()[0] == "  space + w          2"
    assert keys_of(given="mountain car") == ({(LEFT,): 0, (RIGHT,): 2, (RIGHT, LEFT): 1}, 1)


@pytest.mark.parametrize("given", ["other actions", "no pause left"])
def test_own_keys_that_cannot_be_used_are_left(keys_of, given):
    assert keys_of(given=given) == space_keyboard(Discrete(3))


@pytest.mark.parametrize("env_id", ["Gone-v0", "Acrobot-v1"])
def test_without_the_real_environment_or_its_keys_there_are_ours(keys_of, env_id):
    assert keys_of(env_id) == space_keyboard(Discrete(3))


def test_worlds_without_actions_have_keys_for_the_noise_or_none():
    world = tiny_world(model=tiny_model("none"))
    assert DreamEnv(world=world).get_keys_to_action() == {}
    env = DreamEnv(world=world, actions="noise")
    pressed = env.get_keys_to_action()
    np.testing.assert_array_equal(pressed[LEFT,], [-3, 0, 0])
    assert all(action in env.action_space for action in pressed.values())
