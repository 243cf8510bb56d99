"""A person at the keyboard drives a dream, or the real environment, in Gymnasium's player."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gymnasium as gym
import matplotlib
import numpy as np
from einops import rearrange, repeat

from srvp_world.data.files import make_folder
from srvp_world.envs.keys import Keyboard, controls
from srvp_world.envs.policies import Policy
from srvp_world.errors import ConfigError
from srvp_world.pictures import write_movie

BAR = 28  # pixels below the frame, for a line of text
LONGEST_FILM = 1000  # frames; what is longer goes on in another file
_FILM_WIDTH = 256
_INK, _PAPER = (235, 235, 235), (25, 25, 25)


@dataclass(frozen=True, kw_only=True)
class PlaySettings:
    """How to play.

    Attributes:
        title: Of the window; names of recordings begin with it.
        out: Folder of recordings, made when one begins.
        seed: Of the session: the same keys at the same steps give the same session.
        fps: Steps per second.
        scale: How many pixels wide and high a pixel is shown.
    """

    title: str
    out: Path
    seed: int
    fps: float
    scale: int


class Session(gym.Wrapper[Any, Any, Any, Any]):
    """What a person sees and steers, as an environment that Gymnasium's player can step.

    The player knows only the keys of actions, and begins every episode with the same seed. So the
    session takes the other keys itself whenever it shows itself, begins new episodes, each with
    other noise, when it is stepped after an end, and tells the player of no end.

    Attributes:
        by_policy: Whether the policy acts, not the person.
        paused: Whether steps wait.
        returns: Of the episodes that ended.
        recordings: Files that were written.
    """

    _observation: Any
    _frame: np.ndarray
    _steps: int  # of this episode
    _return: float
    _ending: str
    _info: dict[str, Any]  # of the last step
    _may_step: bool

    def __init__(
        self,
        env: gym.Env[Any, Any],
        keyboard: Keyboard,
        settings: PlaySettings,
        policy: Policy | None,
    ):
        """Play an environment.

        Args:
            env: A dream, or the real side of one, with render mode `rgb_array`.
            keyboard: The keys of its actions.
            settings: How to play.
            policy: Acts on the env's observations where it takes turns; None leaves the person.
        """
        super().__init__(env)
        self.keyboard, self.settings, self.policy = keyboard, settings, policy
        self.by_policy = self.paused = False
        self.returns: list[float] = []
        self.recordings: list[Path] = []
        self._episodes = 0
        self._film: list[np.ndarray] | None = None
        # The real side shows what the world would see, not the environment's own large image.
        framed = env.has_wrapper_attr("frame")
        self._look: Callable[[], Any] = env.get_wrapper_attr("frame" if framed else "render")
        verbs = {
            "pause": self._pause,
            "one step while paused": self._step_once,
            "begin anew": self._begin,
            "person or policy": self._switch,
            "start or stop a GIF": self._record,
        }
        left = controls(keyboard)
        self._verbs = {key: verb for name, verb in verbs.items() for key in left[name]}

    @property
    def status(self) -> str:
        """One line for the person."""
        who = "policy" if self.by_policy else "person"
        parts = [who if self.keyboard.actions else "the world plays"]
        parts += [f"step {self._steps}", f"return {self._return:.1f}"]
        if "uncertainty" in self._info:
            parts.append(f"uncertainty {self._info['uncertainty']:.1f}")
        parts += [self._ending] * bool(self._ending) + ["paused"] * self.paused
        if self._film is not None:
            parts.append(f"recording {len(self._film)}")
        return "   ".join(parts)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin the session; the player asks twice, and the second time changes nothing."""
        if not self._episodes:
            self._begin()
        return self._observation, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take a step, by person or policy, or begin anew after an end; nothing while paused."""
        if self.paused and not self._may_step:
            return self._observation, 0.0, False, False, {}
        self._may_step = False
        if self._ending:
            self._begin()
            return self._observation, 0.0, False, False, {}
        if self.by_policy and self.policy is not None:
            action = self.policy.act(self._observation)
        self._observation, reward, terminated, truncated, self._info = self.env.step(action)
        self._steps += 1
        self._return += float(reward)
        self._show()
        if terminated or truncated:
            self._ending = "terminated" if terminated else "truncated"
            self.returns.append(self._return)
        return self._observation, float(reward), False, False, {}

    def render(self) -> np.ndarray:
        """Take the keys that steer, then show the last frame above the status, (h, w, 3) uint8."""
        self._take_keys()
        scale = self.settings.scale
        large = repeat(self._frame, "h w c -> (h i) (w j) c", i=scale, j=scale)
        return np.concatenate([large, self._bar(large.shape[1])])

    def save(self) -> None:
        """Write the running recording, if there is one, and end it.

        Raises:
            OutputError: If it cannot be written.
        """
        film, self._film = self._film, None
        if not film:
            return
        frames = np.stack(film)
        if (frames == frames[..., :1]).all():
            frames = frames[..., :1]  # grey has 256 levels in a GIF, colour has not
        name, number = self.settings.title, 0
        while (path := self.settings.out / f"{name}-{number:03d}.gif").exists():
            number += 1
        scale = max(1, _FILM_WIDTH // frames.shape[2])
        write_movie(path, frames, self.settings.fps, scale=scale)
        self.recordings.append(path)

    def _take_keys(self) -> None:
        """Act on the keys that steer; leave all other events to the player, in their order."""
        import pygame

        if not pygame.display.get_init():
            return
        for event in pygame.event.get():
            if event.type == pygame.KEYDOWN and event.key in self._verbs:
                self._verbs[event.key]()
            else:
                pygame.event.post(event)

    def _pause(self) -> None:
        self.paused = not self.paused

    def _step_once(self) -> None:
        self._may_step = self.paused

    def _switch(self) -> None:
        self.by_policy = self.policy is not None and not self.by_policy

    def _record(self) -> None:
        if self._film is not None:
            self.save()
        else:
            make_folder(self.settings.out)  # so that a mistake shows before anything is recorded
            self._film = [self._frame]

    def _begin(self) -> None:
        """Begin an episode; those after the first go on with the noise of the first one's seed."""
        seed = self.settings.seed
        self._observation, _ = self.env.reset(seed=None if self._episodes else seed)
        if self.policy is not None:
            self.policy.reset(seed + self._episodes)
        self._episodes += 1
        self._steps, self._return, self._ending = 0, 0.0, ""
        self._info, self._may_step = {}, False
        self._show()

    def _show(self) -> None:
        """Look at the env, and record what is seen."""
        frame = self._look()
        self._frame = np.broadcast_to(frame, (*frame.shape[:2], 3))
        if self._film is not None:
            self._film.append(self._frame)
            if len(self._film) == LONGEST_FILM:
                self.save()
                self._film = []

    def _bar(self, width: int) -> np.ndarray:
        """Write the status on a line as wide as the frame."""
        import pygame

        canvas = pygame.Surface((width, BAR))
        canvas.fill(_PAPER)
        canvas.blit(pygame.font.Font(None, 22).render(self.status, True, _INK), (8, 7))
        bar: np.ndarray = rearrange(pygame.surfarray.array3d(canvas), "w h c -> h w c")
        return bar


def check_screen() -> None:
    """Make sure that a window can be opened; call it before anything that draws off screen.

    Raises:
        ConfigError: If pygame is missing, or there is no screen.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError:
        raise ConfigError("playing needs pygame: pip install pygame") from None
    driver = os.environ.get("SDL_VIDEODRIVER")
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    reason = "neither DISPLAY nor WAYLAND_DISPLAY is set"
    found = bool(driver or screen or not sys.platform.startswith("linux"))
    if found:
        try:
            pygame.display.init()
            # Where no driver works, SDL draws to nowhere and nobody could stop the session.
            found, reason = bool(driver) or pygame.display.get_driver() != "offscreen", "none works"
        except pygame.error as error:
            found, reason = False, str(error)
    if not found:
        raise ConfigError(
            f"no screen to play on ({reason}): run it where there is one, or set "
            "SDL_VIDEODRIVER=dummy to play unseen"
        )


def play(session: Session) -> None:
    """Open a window and play until it is closed; a running recording is saved, come what may.

    Raises:
        OutputError: If a recording cannot be written.
    """
    import pygame

    with patch.object(matplotlib, "use"):  # its import would make TkAgg the backend of everything
        from gymnasium.utils.play import play as play_env
    try:
        pygame.display.init()
        pygame.font.init()
        pygame.display.set_caption(session.settings.title)
        actions, noop = session.keyboard
        # Its annotation wants whole frames per second; pygame's clock takes any.
        fps: Any = session.settings.fps
        play_env(session, fps=fps, keys_to_action=actions, noop=noop)
    finally:
        try:
            session.save()
        finally:
            pygame.quit()
