"""A toy whose goal rests for a whole episode, so that a world must keep it in its content `w`."""

from typing import Any

import gymnasium as gym
import numpy as np

from srvp_world.envs.pixels import Observed, frame_and_vector

CELLS, CELL, MARGIN, SIZE = 5, 6, 1, 32
BRIGHT, DIM = 255, 128
MOVES = np.array([[0, 0], [-1, 0], [0, 1], [1, 0], [0, -1]])  # stay, up, right, down, left


class GoalEnv(gym.Env[np.ndarray, Any]):
    """A bright dot walks in a box of 5 x 5 cells towards a dim goal that rests; `SRVPGoal-v0`.

    The reward of a step is how many cells closer it leads, so that the return of an episode is the
    first distance less the last one. The best return is the first distance, 3.33 in the mean; who
    does not know the goal can do no better than to wait in the middle, for 0.93 in the mean.

    Its own observation holds the row and the column of the dot and of the goal, in [-1, 1].
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space: gym.Space[np.ndarray] = gym.spaces.Box(-1, 1, (4,), np.float32)
    action_space: gym.Space[Any] = gym.spaces.Discrete(len(MOVES))

    def __init__(self, render_mode: str | None = None):
        """Show images if `render_mode` is `rgb_array`."""
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Put dot and goal into two cells at random."""
        super().reset(seed=seed)
        cells = self.np_random.choice(CELLS**2, size=2, replace=False)
        self.dot, self.goal = np.stack(np.divmod(cells, CELLS), axis=1)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Walk one cell; walls hold the dot back."""
        before = self._distance()
        self.dot = np.clip(self.dot + MOVES[action], 0, CELLS - 1)
        return self._observe(), float(before - self._distance()), False, False, {}

    def render(self) -> Any:
        """Draw the box (32, 32, 3) uint8; the dot hides the goal when it is there."""
        if self.render_mode is None:
            return None
        image = np.zeros((SIZE, SIZE, 3), np.uint8)
        for cell, brightness in ((self.goal, DIM), (self.dot, BRIGHT)):
            top, left = MARGIN + CELL * cell
            image[top : top + CELL, left : left + CELL] = brightness
        return image

    def _distance(self) -> int:
        return int(np.abs(self.dot - self.goal).sum())

    def _observe(self) -> np.ndarray:
        half = (CELLS - 1) / 2
        return np.concatenate([self.dot, self.goal]).astype(np.float32) / half - 1


class GoalWalker:
    """The best policy of `GoalEnv` on its grey frames: remembers the goal, and walks there."""

    def reset(self, seed: int) -> None:
        """Begin a new episode."""
        self._goal: np.ndarray | None = None

    def act(self, shown: Observed) -> Any:
        """Walk towards the goal, rows first, and stay there."""
        frame, _ = frame_and_vector(shown)
        cells = frame[MARGIN : SIZE - MARGIN : CELL, MARGIN : SIZE - MARGIN : CELL, 0]
        if self._goal is None:
            self._goal = np.argwhere(cells == DIM)[0]
        away = self._goal - np.argwhere(cells == BRIGHT)[0]
        step = np.sign(away) * ([1, 0] if away[0] else [0, 1])
        return np.flatnonzero((step == MOVES).all(axis=1))[0]
