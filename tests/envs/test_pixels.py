import os
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

from srvp_world.config import PixelConfig
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.errors import ConfigError, SpaceError, UnknownNameError


def counter(env_id="counter_world:Counter-v0", **settings):
    return PixelConfig(env_id=env_id, frame_size=settings.pop("frame_size", 32), **settings)


def area_weights(pixels, cells):
    """Row i holds how much of each pixel cell i covers; rows sum to 1."""
    edges = np.arange(cells + 1)[:, None] * pixels / cells
    left, right = (
        np.maximum(edges[:-1], np.arange(pixels)),
        np.minimum(edges[1:], np.arange(pixels) + 1),
    )
    overlap = np.maximum(right - left, 0)
    return overlap / overlap.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_are_area_averages_of_what_the_env_renders(env_id, channels):
    env = make_pixel_env(PixelConfig(env_id=env_id, channels=channels))
    frame, _ = env.reset(seed=3)
    assert frame in env.observation_space and frame.shape == (64, 64, channels)
    assert frame.flags.writeable  # torch warns of arrays that are not
    image = env.unwrapped.render().astype(float)
    if channels == 1:
        image = image @ [[0.299], [0.587], [0.114]]
    rows, columns = area_weights(image.shape[0], 64), area_weights(image.shape[1], 64)
    expected = np.einsum("ih, hwc, jw -> ijc", rows, image, columns, optimize=True)
    difference = np.abs(expected - frame)
    assert difference.max() < 20 and difference.mean() < 0.25  # the nearest pixels: 74 and 0.32
    env.close()


def test_a_crop_keeps_exactly_its_part():
    config = counter(crop=(10, 4, 12, 20))
    env = make_pixel_env(config)
    env.reset(seed=0)
    frame, *_ = env.step(77)
    start = env.unwrapped.start
    # rows 10..15 of the image show the count, rows 16..21 the action: half of the crop each
    assert (frame[:15] == start + 1).all() and (frame[17:] == 77).all()
    env.close()


def test_repeat_sums_rewards_renders_once_and_stops_at_the_end():
    env = make_pixel_env(counter(action_repeat=2, env_kwargs={"length": 5}))
    env.reset(seed=0)
    env.unwrapped.renders = 0
    decisions = [env.step(9) for _ in range(3)]
    assert [reward for _, reward, *_ in decisions] == [1 + 2, 3 + 4, 5]
    assert [terminated for _, _, terminated, *_ in decisions] == [False, False, True]
    assert [info["real_steps"] for *_, info in decisions] == [2, 2, 1]
    assert env.unwrapped.renders == 3
    env.close()


def test_time_limits_count_real_steps():
    config = counter("counter_world:Timed-v0", action_repeat=2, env_kwargs={"length": 99})
    env = make_pixel_env(config)
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(3)] == [False, False, True]
    env.close()


def test_frames_do_not_change_when_the_env_goes_on():
    env = make_pixel_env(counter())
    frame, _ = env.reset(seed=0)
    before = frame.copy()
    env.step(50)
    assert (frame == before).all()
    env.close()


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        (counter("Pendulun-v1"), UnknownNameError, "did you mean 'Pendulum-v1'"),
        (counter("Pendulum-v7"), UnknownNameError, "did you mean 'Pendulum-v1'"),
        (counter("Xyzzyplugh-v0"), UnknownNameError, "module:Name-v0"),
        (counter("not an id"), ConfigError, "Malformed"),
        (counter("nomodule:Env-v0"), ConfigError, "pip install 'nomodule'"),
        (counter(env_kwargs={"size": 3}), ConfigError, "size"),
        (counter(env_kwargs={"render_mode": "human"}), ConfigError, "render_mode"),
        (counter(crop=(0, 0, 33, 32)), ConfigError, "32 x 32"),
        (counter(crop=(-1, 0, 8, 8)), ConfigError, "crop"),
        (counter(crop=(0, 0, 0, 8)), ConfigError, "crop"),
        (counter("counter_world:Blind-v0"), SpaceError, "ansi"),
        (counter("counter_world:Modeless-v0"), SpaceError, "render_mode"),
        (counter("counter_world:Garbled-v0"), SpaceError, r"float32 \(4, 4\)"),
    ],
)
def test_mistakes_are_named_in_one_line(config, error, words):
    with pytest.raises(error, match=words) as caught:
        make_pixel_env(config)
    assert type(caught.value) is error and "\n" not in str(caught.value)


def test_a_missing_package_comes_with_its_pip_line(monkeypatch):
    def missing(*_, **__):
        raise gym.error.DependencyNotInstalled("Box2D is missing, run `pip install swig`")

    monkeypatch.setattr(gym, "make", missing)
    with pytest.raises(ConfigError, match="LunarLander-v3 .*pip install swig"):
        make_pixel_env(PixelConfig(env_id="LunarLander-v3"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is a screen")
@pytest.mark.parametrize(("display", "driver"), [("", "dummy"), (":0", "None")])
def test_only_without_a_screen_pygame_draws_off_screen(display, driver):
    script = (
        "import os; from srvp_world.config import PixelConfig;"
        "from srvp_world.envs.pixels import make_pixel_env;"
        "make_pixel_env(PixelConfig(env_id='Pendulum-v1'));"
        "print(os.environ.get('SDL_VIDEODRIVER'))"
    )
    absent = ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY", "DISPLAY")
    environment = {name: value for name, value in os.environ.items() if name not in absent}
    if display:
        environment["DISPLAY"] = display
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == driver
