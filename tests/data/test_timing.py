"""A dot that actions push: the right convention is borne out, each wrong one is contradicted."""

import numpy as np
import pytest
from gymnasium import spaces

from srvp_world.data.experience import from_npz
from srvp_world.data.timing import Timing
from srvp_world.spaces import ActionSpec

PUSH = ActionSpec.from_space(spaces.Box(-1, 1, (2,), np.float32))


def dot(steps=400, seed=0, policy=None):
    """Frames (steps + 1, 32, 32, 1) of a soft dot that moves by up to 4 pixels an action."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    place, frames, actions = np.full(2, 16.0), [], []
    for _ in range(steps + 1):
        squared = (y - place[0]) ** 2 + (x - place[1]) ** 2
        frames.append(255 * np.exp(-squared / 18))
        action = rng.uniform(-1, 1, 2) if policy is None else policy(place, rng)
        actions.append(action)
        place = np.clip(place + 4 * action, 6, 26)
    return np.stack(frames)[..., None].astype(np.uint8), np.array(actions[:-1], np.float32)


def judged(frames, actions, action=PUSH):
    timing = Timing()
    half = len(actions) // 2  # as two episodes
    timing.add(frames[: half + 1], action, actions[:half])
    timing.add(frames[half:], action, actions[half:])
    return timing


def test_the_right_action_explains_the_frames():
    timing = judged(*dot())
    gains = timing.gains()
    assert gains[0] > 0.4 and max(gains[-1], gains[1]) < 0.1
    assert timing.contradiction() is None


@pytest.mark.parametrize(("early", "word"), [(True, "before"), (False, "after")])
def test_actions_of_another_row_are_contradicted(early, word):
    frames, actions = dot()
    timing = judged(frames[:-1], actions[1:]) if early else judged(frames[1:], actions[:-1])
    assert f"the action of the row {word} explains" in timing.contradiction()


def test_choices_count_as_well():
    moves = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
    frames, actions = dot(policy=lambda place, rng: moves[rng.integers(4)])
    choices = (actions[:, None] == moves).all(axis=2).argmax(axis=1)
    spec = ActionSpec(kind="discrete", nvec=(4,))
    assert judged(frames, choices, spec).gains()[0] > 0.4
    assert "after" in judged(frames[1:], choices[:-1], spec).contradiction()


def test_a_policy_that_looks_at_the_frames_is_no_contradiction():
    frames, actions = dot(
        policy=lambda place, rng: np.clip((16 - place) / 10 + rng.normal(0, 0.5, 2), -1, 1)
    )
    assert judged(frames, actions).contradiction() is None


def test_little_evidence_and_still_frames_say_nothing():
    frames, actions = dot(40)
    assert judged(frames, actions).gains() is None
    still = np.zeros((401, 32, 32, 1), np.uint8)
    assert judged(still, dot()[1]).contradiction() is None


def test_an_import_with_the_wrong_convention_is_warned_of(tmp_path):
    frames, actions = dot()
    stored = np.concatenate([actions, np.zeros((1, 2), np.float32)])  # taken at the frames
    np.savez(tmp_path / "a.npz", image=frames, action=stored)
    with pytest.warns(UserWarning, match="the row before explains .* check the convention"):
        result = from_npz(
            tmp_path / "a.npz", tmp_path / "wrong", convention="arrival", progress=False
        )
    assert len(result.warnings) == 1
    right = from_npz(tmp_path / "a.npz", tmp_path / "right", convention="dreamerv3", progress=False)
    assert right.warnings == ()
