"""Keys for the actions of a space, in the form that `gymnasium.utils.play` wants them."""

from collections.abc import Sequence
from contextlib import closing
from itertools import chain, combinations, product
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from srvp_world.checkpoint import World
from srvp_world.config import PixelConfig
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.errors import SRVPWorldError

_NAMED = 1 << 30  # SDL numbers keys without a character by their scancode and this bit
RIGHT, LEFT, DOWN, UP = (_NAMED | scancode for scancode in (79, 80, 81, 82))
_ARROWS_OF_PYGAME_1 = {273: UP, 274: DOWN, 275: RIGHT, 276: LEFT}  # as MountainCar's still are
_NAMES = {UP: "up", DOWN: "down", LEFT: "left", RIGHT: "right"}
_NAMES |= {ord(" "): "space", ord("\r"): "return", ord("\t"): "tab", 27: "escape"}

CONTROLS: dict[str, tuple[int, ...]] = {
    "pause": (ord("p"), ord(" ")),
    "one step while paused": (ord("e"), ord(".")),
    "begin anew": (ord("r"), ord("\r")),
    "person or policy": (ord("m"), ord("\t")),
    "start or stop a GIF": (ord("g"),),
    "quit": (27,),
}
"""What steers a session, and its keys; those that an environment acts with are left to it."""

HELD = 3  # components that can be moved at once; all would be too many combinations to list
_PAIRS = ((LEFT, RIGHT), (DOWN, UP), *((ord(one), ord(two)) for one, two in ("ad", "sw", "jl")))
_PAIRS += tuple((ord(one), ord(two)) for one, two in ("ki", "fh"))
_SINGLES = (*chain.from_iterable(_PAIRS), *map(ord, "1234567890"))
_CHOICES = tuple(map(ord, "0123456789qtyuiofhjklzxcvbn"))
_DIRECTIONS = {2: (LEFT, RIGHT), 3: (LEFT, DOWN, RIGHT)}  # more choices have all four arrows
_LETTERS = {LEFT: ord("a"), RIGHT: ord("d"), DOWN: ord("s"), UP: ord("w")}


class Keyboard(NamedTuple):
    """What keys do.

    Attributes:
        actions: The action of each combination of keys, by their sorted codes.
        noop: The action while none of these is pressed.
    """

    actions: dict[tuple[int, ...], Any]
    noop: Any


def world_keyboard(world: World, space: gym.Space[Any]) -> Keyboard:
    """Give the keys that the world's real environment itself offers, or else ours for the space."""
    own = None if world.pixels is None else _own_keyboard(world.pixels, space)
    return own or space_keyboard(space)


def space_keyboard(space: gym.Space[Any]) -> Keyboard:
    """Choose keys for a space.

    Choices have digits, and the first ones arrows and a, s, d, w; from five choices on the first
    is what happens while nothing is pressed, and the arrows are the next four. Each component of a
    box has a pair of keys, for its lowest and its highest value, and is zero or in its middle
    otherwise. Each component of several choices has a key for all but the first of its values.
    There are keys for 7 components of a box, or 24 values; what is left has none.
    """
    if isinstance(space, gym.spaces.Discrete):
        return _choice_keyboard(int(space.n))
    if isinstance(space, gym.spaces.Box):
        inside = (space.low <= 0) & (space.high >= 0)
        rest = np.where(inside, 0, space.low / 2 + space.high / 2).astype(space.dtype)
        bounds = zip(_PAIRS, space.low.flat, space.high.flat, strict=False)
        return _combined(rest, [((one, low), (two, high)) for (one, two), low, high in bounds])
    assert isinstance(space, gym.spaces.MultiDiscrete | gym.spaces.MultiBinary)
    choices = space.nvec if isinstance(space, gym.spaces.MultiDiscrete) else np.full(space.shape, 2)
    free = iter(_SINGLES)
    parts = [
        [(key, value) for value, key in zip(range(1, n), free, strict=False)] for n in choices.flat
    ]
    return _combined(np.zeros(space.shape, space.dtype), parts)


def controls(keyboard: Keyboard) -> dict[str, tuple[int, ...]]:
    """Give the keys that are left to steer a session with."""
    taken = set(chain.from_iterable(keyboard.actions))
    return {name: tuple(key for key in keys if key not in taken) for name, keys in CONTROLS.items()}


def describe(keyboard: Keyboard) -> str:
    """Tell a person what each key does, one meaning a line."""
    alone = {codes[0] for codes in keyboard.actions if len(codes) == 1}
    lines: dict[str, list[str]] = {}
    for codes, action in keyboard.actions.items():
        if len(codes) == 1 or not alone.issuperset(codes):
            lines.setdefault(str(action), []).append(" + ".join(map(key_name, codes)))
    listed = sum(map(len, lines.values()))
    if keyboard.actions:
        lines.setdefault(str(keyboard.noop), []).append("nothing pressed")
    if listed < len(keyboard.actions):
        lines["what each of them does"] = ["several together"]
    for name, keys in controls(keyboard).items():
        lines[name] = [key_name(key) for key in keys]
    return "\n".join(f"  {' or '.join(keys):<18} {meaning}" for meaning, keys in lines.items())


def key_name(code: int) -> str:
    """Name a key."""
    return _NAMES.get(code) or (chr(code) if code < _NAMED else f"key {code}")


def _choice_keyboard(n: int) -> Keyboard:
    """Give each of n choices a digit or letter, and some an arrow; three have a middle to rest."""
    actions: dict[tuple[int, ...], Any] = {}
    arrows = _DIRECTIONS.get(n, (LEFT, DOWN, RIGHT, UP) if n > 3 else ())
    for choice, key in enumerate(arrows, start=int(n > 4)):
        actions[(key,)] = actions[(_LETTERS[key],)] = choice
    if n > 1:  # a single choice needs no key
        actions |= {(key,): choice for choice, key in zip(range(n), _CHOICES, strict=False)}
    return Keyboard(actions, noop=1 if n == 3 else 0)


def _combined(rest: np.ndarray, parts: Sequence[Sequence[tuple[int, Any]]]) -> Keyboard:
    """List every way to press up to three keys of different components.

    Args:
        rest: The action while nothing is pressed.
        parts: For each component, its keys, if it has any, and the values that they give.
    """
    actions: dict[tuple[int, ...], Any] = {}
    keyed = [place for place, part in enumerate(parts) if part]
    for held in range(1, HELD + 1):
        for places in combinations(keyed, held):
            for pressed in product(*(parts[place] for place in places)):
                action = rest.copy()
                for place, (_, value) in zip(places, pressed, strict=True):
                    action.flat[place] = value
                actions[tuple(sorted(key for key, _ in pressed))] = action
    return Keyboard(actions, noop=rest)


def _own_keyboard(pixels: PixelConfig, space: gym.Space[Any]) -> Keyboard | None:
    """Ask the real environment for its keys; None where it has none that can be used here."""
    try:
        with closing(make_pixel_env(pixels)) as env:
            if not env.has_wrapper_attr("get_keys_to_action"):
                return None
            given = env.get_wrapper_attr("get_keys_to_action")()
    except SRVPWorldError:  # its package may be missing: a dream can do without
        return None
    if not all(action in space for action in given.values()):
        return None
    actions = {_codes(keys): action for keys, action in given.items()}
    noop = actions.pop((), 0 if isinstance(space, gym.spaces.Discrete) else None)
    own = Keyboard(actions, space_keyboard(space).noop if noop is None else noop)
    return own if all(controls(own).values()) else None


def _codes(keys: Any) -> tuple[int, ...]:
    """Bring a combination of keys, in any form that Gymnasium knows, to sorted codes."""
    each = (keys,) if isinstance(keys, int) else keys
    codes = [ord(key) if isinstance(key, str) else key for key in each if key is not None]
    return tuple(sorted(_ARROWS_OF_PYGAME_1.get(code, code) for code in codes))
