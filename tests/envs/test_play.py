"""A person at the keyboard, in Gymnasium's player."""

import sys

import gymnasium as gym
import matplotlib
import numpy as np
import pygame
import pytest
from keyboard import CLOSE, down, tap, typed, up
from oracle import counting_world
from PIL import Image, ImageSequence
from worlds import tiny_model, tiny_world

from srvp_world.envs import play as playing
from srvp_world.envs.keys import world_keyboard
from srvp_world.envs.play import BAR, PlaySettings, Session, check_screen, play
from srvp_world.envs.single import DreamEnv
from srvp_world.errors import ConfigError, OutputError


class Spy(gym.Wrapper):
    """Writes down what reaches the dream."""

    def __init__(self, env):
        super().__init__(env)
        self.actions, self.seeds, self.starts = [], [], []

    def reset(self, *, seed=None, options=None):
        observation, info = self.env.reset(seed=seed, options=options)
        self.seeds.append(seed)
        self.starts.append(observation.item())
        return observation, info

    def step(self, action):
        self.actions.append(np.asarray(action).item())
        return self.env.step(action)


class Five:
    """Acts with 5 and remembers on what."""

    def __init__(self):
        self.seeds, self.seen = [], []

    def reset(self, seed):
        self.seeds.append(seed)

    def act(self, shown):
        self.seen.append(shown.item())
        return np.float32([5])


@pytest.fixture
def session(tmp_path):
    """Open a session on a dream that counts up from somewhere in the middle of 1 to 200."""

    def opened(*starts, seed=3, horizon=50, policy=None):
        world = counting_world(*(starts or range(1, 200)))
        options = {"obs": "latent", "render_mode": "rgb_array", "horizon": horizon}
        env = Spy(DreamEnv(world=world, **options))
        settings = PlaySettings(title="count", out=tmp_path / "out", seed=seed, fps=1000, scale=2)
        return Session(env, world_keyboard(world, env.action_space), settings, policy)

    return opened


@pytest.fixture
def drive(monkeypatch):
    """Play a session with a script of keys; give the status below each picture."""

    def driven(session, script):
        lines = []
        with typed(monkeypatch, script, lambda: lines.append(session.status)):
            play(session)
        return lines

    return driven


NOTHING: list = []


def test_keys_reach_the_dream_while_they_are_pressed(session, drive):
    game = session()
    lines = drive(game, [[down("right")], NOTHING, [up("right"), down("left")], NOTHING, tap("a")])
    # The player looks at keys after it shows a picture, and acts before the next one but one.
    assert game.env.actions == [0, 9, 9, -9, -9]
    start = game.env.starts[0]
    assert lines[0] == "person   step 0   return 0.0"
    total = 100 * sum(start + i for i in range(1, 6)) + sum(game.env.actions)
    assert lines[5] == f"person   step 5   return {total:.1f}"


def test_a_pause_stops_the_dream_and_single_steps_go_on(session, drive):
    game = session()
    pause = [[down("right")], NOTHING, tap("p")]
    lines = drive(game, [*pause, *[NOTHING] * 20, tap("e"), *[NOTHING] * 3, tap("period"), NOTHING])
    assert game.env.actions == [0, 9, 9, 9, 9]
    assert lines[-1].endswith("   paused") and "step 5 " in lines[-1]
    game = session()
    drive(game, [[*tap("e"), *tap("space")], NOTHING, NOTHING, tap("space"), NOTHING, NOTHING])
    assert len(game.env.actions) == 3  # e does nothing but in a pause, which ends as it began


def test_every_new_episode_begins_differently_and_a_seed_brings_all_back(session, drive):
    script = [NOTHING, tap("r"), NOTHING, tap("return"), tap("r")]
    games = [session(seed=seed) for seed in (3, 3, 4)]
    for game in games:
        drive(game, script)
    assert games[0].env.seeds == [3, None, None, None]
    assert len(set(games[0].env.starts)) == 4
    assert games[0].env.starts == games[1].env.starts != games[2].env.starts
    assert games[0].returns == []  # nothing came to its end


def test_an_end_stays_in_view_until_the_next_step(session, drive):
    game = session(10, horizon=2)
    lines = drive(game, [NOTHING] * 4 + [tap("p"), NOTHING, NOTHING, tap("e"), NOTHING])
    assert [line.split("   ")[1] for line in lines[:5]] == [f"step {i}" for i in (0, 1, 2, 0, 1)]
    assert "truncated" in lines[2] and "truncated" not in lines[3]
    assert game.returns == [2300.0, 2300.0]  # 1100 and 1200
    # It is paused when the second dream is over, and e begins the third.
    assert [line.split("   ")[1] for line in lines[5:]] == ["step 2"] * 4 + ["step 0"]


def test_m_switches_between_person_and_policy(session, drive):
    policy = Five()
    game = session(policy=policy)
    lines = drive(game, [tap("m"), NOTHING, NOTHING, tap("tab"), tap("r"), NOTHING])
    assert game.env.actions == [0, 5, 5, 5, 0, 0]
    start = game.env.starts[0]
    assert policy.seen == [start + 1, start + 2, start + 3]  # features of the state it acts in
    assert policy.seeds == [3, 4]
    assert lines[1].startswith("policy") and lines[4].startswith("person")


def test_worlds_without_actions_play_by_themselves(drive, tmp_path):
    world = tiny_world(model=tiny_model("none", continuation=False))
    env = DreamEnv(world=world, obs="latent", render_mode="rgb_array")
    settings = PlaySettings(title="video", out=tmp_path, seed=0, fps=1000, scale=1)
    game = Session(env, world_keyboard(world, env.action_space), settings, None)
    lines = drive(game, [[*tap("m"), *tap("left")], NOTHING])
    assert lines[-1].startswith("the world plays   step 2")


def films(game):
    """Read the brightness of each frame of each recording."""
    read = []
    for path in game.recordings:
        with Image.open(path) as film:
            assert film.size == (256, 256)
            read.append([np.asarray(f.convert("L"))[0, 0] for f in ImageSequence.Iterator(film)])
    return read


def test_a_recording_has_the_frames_that_were_shown(session, drive, tmp_path):
    game = session(50)
    script = [NOTHING, tap("g"), NOTHING, tap("p"), NOTHING, NOTHING, tap("p"), NOTHING, tap("g")]
    lines = drive(game, [*script, NOTHING, tap("g"), tap("r"), NOTHING])
    assert lines[3].endswith("recording 2") and lines[4].endswith("paused   recording 3")
    assert "recording" not in lines[10]
    # A pause is no part of a film; the second ends with the session, in another dream.
    assert films(game) == [[52, 53, 54, 55, 56], [58, 59, 50, 51]]
    names = ["count-000.gif", "count-001.gif"]
    assert [path.name for path in game.recordings] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names


def test_a_very_long_recording_goes_on_in_another_file(session, drive, monkeypatch):
    monkeypatch.setattr(playing, "LONGEST_FILM", 3)
    game = session(50)
    drive(game, [tap("g"), *[NOTHING] * 3, tap("g"), NOTHING])
    assert films(game) == [[51, 52, 53], [54, 55]]
    game = session(50)
    drive(game, [tap("g"), NOTHING, tap("g"), NOTHING])
    assert len(game.recordings) == 1  # nothing was shown after the first was full


@pytest.mark.parametrize("end", [[CLOSE], tap("escape")], ids=["close", "escape"])
def test_a_closed_window_ends_the_session_and_keeps_its_recording(session, drive, end):
    game = session(50)
    drive(game, [tap("g"), NOTHING, end, *[NOTHING] * 50])
    assert films(game) == [[51, 52, 53]]
    assert not pygame.display.get_init()


def test_ctrl_c_keeps_the_recording_too(session, drive):
    def ctrl_c():
        raise KeyboardInterrupt

    game = session(50)
    with pytest.raises(KeyboardInterrupt):
        drive(game, [tap("g"), NOTHING, [ctrl_c], NOTHING])
    assert films(game) == [[51, 52]]
    assert not pygame.display.get_init()


def test_a_folder_that_cannot_be_made_is_told(session, drive, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot make folder"):
        drive(session(), [tap("g"), NOTHING])


def test_the_picture_is_the_frame_above_the_status(session):
    game = session(77)
    game.reset()
    pygame.font.init()
    picture = game.render()
    assert picture.shape == (64 + BAR, 64, 3) and picture.dtype == np.uint8
    assert (picture[:64] == 77).all()
    assert len(np.unique(picture[64:])) > 2  # something is written there
    pygame.quit()


def test_how_unsure_the_world_is_stands_in_the_status(session):
    game = session(77)
    game.reset()
    step = game.env.step
    game.env.step = lambda action: (*step(action)[:4], {"uncertainty": 1.26})
    assert "uncertainty" not in game.status
    game.step(np.zeros(1))
    assert game.status == "person   step 1   return 7800.0   uncertainty 1.3"


@pytest.mark.parametrize("backend", ["svg", "pdf"])
def test_another_matplotlib_backend_is_left_alone(session, drive, monkeypatch, backend):
    before = matplotlib.get_backend()
    matplotlib.use(backend)
    monkeypatch.delitem(sys.modules, "gymnasium.utils.play", raising=False)
    drive(session(), [NOTHING])
    assert "gymnasium.utils.play" in sys.modules  # it asks for TkAgg when it is imported
    assert matplotlib.get_backend() == backend
    matplotlib.use(before)
    assert matplotlib.get_backend() == before


def test_where_there_is_no_screen_there_is_no_waiting(monkeypatch):
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ConfigError, match="no screen to play on .* SDL_VIDEODRIVER=dummy"):
        check_screen()
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    check_screen()
    pygame.quit()


def test_a_screen_that_does_not_answer_is_none(monkeypatch):
    monkeypatch.delenv("SDL_VIDEODRIVER")
    monkeypatch.setenv("DISPLAY", ":987")
    pygame.quit()
    with pytest.raises(ConfigError, match="no screen to play on"):
        check_screen()
    pygame.quit()


def test_a_missing_pygame_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(ConfigError, match="pip install pygame"):
        check_screen()
