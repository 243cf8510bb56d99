import signal
from itertools import groupby

import numpy as np
import pytest
from command import ENVS, run
from keyboard import down, tap, typed
from PIL import Image, ImageSequence
from worlds import tiny_model, tiny_world

from srvp_world.agents.policy import LatentPolicy
from srvp_world.checkpoint import load
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.play import Session
from srvp_world.envs.single import DreamEnv

NOTHING: list = []
FAST = "--fps 1000 --seed 3 --scale 2"


@pytest.fixture
def played(shop, tmp_path, monkeypatch):
    """Play through the command with a script of keys; give all pictures, and each step's action."""
    monkeypatch.syspath_prepend(str(ENVS))

    def play(line, script):
        pictures, actions = [], []
        render, step = Session.render, Session.step

        def look(self):
            pictures.append(render(self))
            return pictures[-1]

        def act(self, action):
            actions.append(np.asarray(action).tolist())
            return step(self, action)

        with typed(monkeypatch, script), monkeypatch.context() as patch:
            patch.setattr(Session, "render", look)
            patch.setattr(Session, "step", act)
            code = run(f"play {line} --out {tmp_path}/films")
        return code, pictures[1:], actions  # the player looks once to see how large it is

    return play


def read(path):
    with Image.open(path) as film:
        return [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(film)]


def test_a_session_tells_keys_returns_and_recordings(shop, played, tmp_path, capsys):
    script = [NOTHING, tap("g"), [down("7")], NOTHING, NOTHING, tap("g"), NOTHING]
    code, pictures, actions = played(f"{shop.world} {FAST} --horizon 4", script)
    told = capsys.readouterr().out.splitlines()
    assert code == 0 and actions == [0, 0, 0, 7, 7, 7, 7]
    assert told[0] == "world: a dream, 1000 steps per second, --seed 3"
    assert "  7                  7" in told and "  p or space         pause" in told
    film = tmp_path / "films" / "world-000.gif"
    assert told[-1] == f"recorded {film}"
    assert told[-2].startswith("episodes that ended: 1, mean return ")
    assert len(pictures) == 8 and pictures[0].shape == (64 + 28, 64, 3)
    # All pictures from that in which g took effect to that in which it did again; a GIF shows
    # neighbours that are equal as one.
    shown = [picture[:64:2, ::2, 0].tobytes() for picture in pictures[2:7]]
    recorded = [frame[::8, ::8].tobytes() for frame in read(film)]
    assert recorded == [frame for frame, _ in groupby(shown)]


def test_a_seed_gives_the_dream_that_it_gives_elsewhere(shop, played):
    _, pictures, _ = played(f"{shop.world} {FAST} --start first --temperature 0", [NOTHING])
    env = DreamEnv(
        world=str(shop.world),
        obs="latent",
        start="first",
        temperature=0.0,
        render_mode="rgb_array",
    )
    env.reset(seed=3)
    np.testing.assert_array_equal(pictures[0][:64:2, ::2], env.render())
    env.step(0)
    np.testing.assert_array_equal(pictures[1][:64:2, ::2], env.render())


def test_a_policy_sees_the_features_that_it_was_trained_on(shop, played, monkeypatch):
    seen, stepped = [], []
    choose, step = LatentPolicy.choose, DreamVectorEnv.step

    def note(self, features, generator=None):
        action = choose(self, features, generator)
        seen.append((features.clone(), action))
        return action

    def note_step(self, actions):
        stepped.append((self.model.features(self.state).clone(), actions))
        return step(self, actions)

    monkeypatch.setattr(LatentPolicy, "choose", note)
    monkeypatch.setattr(DreamVectorEnv, "step", note_step)
    script = [tap("m"), NOTHING, NOTHING]
    assert played(f"{shop.world} --policy {shop.policy} {FAST}", script)[0] == 0
    assert len(seen) == 2 and len(stepped) == 3
    for (features, action), (state, taken) in zip(seen, stepped[1:], strict=True):
        np.testing.assert_array_equal(features, state)
        np.testing.assert_array_equal(action, taken)


def test_the_real_environment_can_be_played_with_the_same_keys(shop, played, capsys):
    script = [[down("7")], NOTHING, NOTHING, tap("m"), NOTHING, NOTHING]
    for policy in ("", f"--policy {shop.policy}"):
        code, pictures, _ = played(f"{shop.world} --real {policy} {FAST}", script)
        assert code == 0
        assert "world-real: the real environment" in capsys.readouterr().out
        # The upper half of its frames counts steps, the lower half shows the action.
        counts = [int(picture[0, 0, 0]) for picture in pictures]
        assert np.diff(counts).tolist() == [1] * 6
        assert [int(picture[60, 0, 0]) for picture in pictures[:5]] == [0, 0, 7, 7, 7]


def test_worlds_without_actions_play_or_are_steered_by_noise(played, tmp_path, capsys):
    world = tiny_world(model=tiny_model("none", continuation=False))
    path = world.save(tmp_path / "video.safetensors")
    script = [[down("right")], NOTHING, NOTHING]
    assert played(f"{path} {FAST}", script)[2] == [0, 0, 0]
    assert "nothing pressed" not in capsys.readouterr().out
    actions = played(f"{path} {FAST} --actions noise", script)[2]
    assert actions == [[0, 0, 0], [3, 0, 0], [3, 0, 0]]


def test_ctrl_c_keeps_a_running_recording(shop, played, tmp_path, capsys, terminal):
    script = [tap("g"), NOTHING, [lambda: signal.raise_signal(signal.SIGINT)], NOTHING]
    assert played(f"{shop.world} {FAST}", script)[0] == 130
    out, err = capsys.readouterr()
    assert err == f"srvp-world: stopped: recordings in {tmp_path}/films: 1\n"
    assert out.splitlines()[-1] == f"recorded {tmp_path}/films/world-000.gif"


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("--fps 0", ["--fps", "got 0"]),
        ("--fps nan", ["--fps", "nan"]),
        ("--scale 0", ["--scale", "got 0"]),
        ("--scale 1000", ["--scale 1000", "at most 128"]),
        ("--seed -1", ["--seed", "-1"]),
        ("--horizon 1", ["at least 2", "got 1"]),
        ("--temperature -1", ["temperature", "-1"]),
        ("--actions noise", ["'noise'", "'world'"]),
        ("--start frist", ["'frist'", "first"]),
        ("--policy gone.safetensors", ["gone.safetensors"]),
        ("--real --horizon 9", ["--horizon is for dreams"]),
        ("--out {shop.policy}", ["is no folder"]),
    ],
)
def test_wrong_options_are_refused(refused, shop, rest, words):
    refused(f"play {shop.world} {rest.format(shop=shop)}", *words)


def test_wrong_worlds_and_policies_are_refused(refused, shop, tmp_path):
    refused("play pendulun", "did you mean 'pendulum'?")
    refused(f"play {tmp_path}/gone.safetensors", "gone.safetensors")
    refused(f"play {shop.policy}", "not a world")
    refused(f"play {shop.world} --policy {shop.world}", "no policy")
    refused(f"play pendulum --policy {shop.policy}", load("pendulum").fingerprint)
    video = tiny_world(model=tiny_model("none")).save(tmp_path / "video.safetensors")
    refused(f"play {video} --policy {shop.policy}", "takes no actions")
    refused(f"play {video} --real", "learnt from video")


def test_no_screen_is_told_at_once(refused, monkeypatch):
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    refused("play pendulum", "no screen to play on", "SDL_VIDEODRIVER=dummy")
