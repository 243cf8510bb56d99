"""Acting in reality on what the world infers: the same features that a policy saw in its dream."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from einops import rearrange

from srvp_world.checkpoint import World
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.errors import ConfigError, DataError
from srvp_world.model.state import SRVPState
from srvp_world.spaces import ActionSpec
from srvp_world.world import Observation


class Watcher:
    """Follows one real episode with the posterior, frame by frame, by its means."""

    def __init__(self, world: World):
        """Watch with a world's model."""
        self.model = world.model
        self.state: SRVPState | None = None

    @torch.no_grad()
    def begin(self, frame: np.ndarray) -> np.ndarray:
        """See the first frame (h, w, c) of an episode; return the features (d,).

        Raises:
            DataError: If the frame is not a uint8 image of the world's shape.
        """
        model = self.model
        actions = None
        if model.action:
            empty = np.empty((1, 0, *model.action.shape), model.action.dtype)
            actions = torch.as_tensor(empty, device=model.device)
        start = torch.ones(1, dtype=torch.bool, device=model.device)
        frames = Observation(self._frames(frame)[:, None])
        self.state = model.encode(frames, actions, episode_start=start, sample=False)
        return self._features(self.state)

    @torch.no_grad()
    def follow(self, frame: np.ndarray, action: Any) -> np.ndarray:
        """See the frame that followed an action; return the features (d,).

        Raises:
            ConfigError: If no episode was begun.
            DataError: If the frame is not a uint8 image of the world's shape.
            SpaceError: If the action is not one of the world's.
        """
        if self.state is None:
            raise ConfigError("begin with the first frame of an episode")
        model, taken = self.model, None
        if model.action:
            row = np.array(action, model.action.dtype)[None]
            model.action.check(row, "the action")
            taken = torch.as_tensor(row, device=model.device)
        seen = Observation(self._frames(frame))
        self.state = model.observe(self.state, seen, taken, sample=False)
        return self._features(self.state)

    def _frames(self, frame: np.ndarray) -> torch.Tensor:
        c, h, w = self.model.frame_shape
        if frame.shape != (h, w, c) or frame.dtype != np.uint8:
            raise DataError(
                f"the world watches uint8 frames ({h}, {w}, {c}), got {frame.dtype} {frame.shape}: "
                "make the env with make_real_env(world)"
            )
        pixels = torch.tensor(frame[None], device=self.model.device)
        return rearrange(pixels, "b h w c -> b c h w").float() / 255

    def _features(self, state: SRVPState) -> np.ndarray:
        return self.model.features(state)[0].cpu().numpy()


class LatentObservation(gym.Wrapper[np.ndarray, Any, np.ndarray, Any]):
    """Shows a policy the normalised features of a world instead of the frames of an environment.

    A policy that was trained on a dream's latents acts in reality through this wrapper. Rewards,
    ends and the action space stay as they are.
    """

    def __init__(self, env: gym.Env[np.ndarray, Any], world: World):
        """Wrap an environment whose observations are frames of the world's shape.

        Raises:
            ConfigError: If frames or actions do not fit the world.
            SpaceError: If the env's action space is of a kind that no world takes.
        """
        super().__init__(env)
        c, h, w = world.model.frame_shape
        shown = env.observation_space
        if shown.shape != (h, w, c) or shown.dtype != np.uint8:
            raise ConfigError(
                f"the env shows {shown}, the world watches uint8 frames ({h}, {w}, {c}): "
                "make the env with make_real_env(world)"
            )
        if world.action is not None and ActionSpec.from_space(env.action_space) != world.action:
            raise ConfigError(
                f"the env takes {env.action_space}, the world takes {world.action.space}: "
                "make the env with make_real_env(world)"
            )
        self.watcher = Watcher(world)
        self.observation_space = gym.spaces.Box(
            -np.inf, np.inf, (world.model.feature_dim,), np.float32
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode and see its first frame."""
        frame, info = self.env.reset(seed=seed, options=options)
        return self.watcher.begin(frame), info

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """Act, and see the frame that follows."""
        frame, reward, terminated, truncated, info = self.env.step(action)
        return self.watcher.follow(frame, action), reward, terminated, truncated, info


def make_real_env(world: World, obs: str = "latent") -> gym.Env[np.ndarray, Any]:
    """Build the real environment of a world from the world's own metadata.

    Args:
        world: A world that was learnt from an environment.
        obs: `latent` for a policy trained on latents, `pixels` for the frames alone.

    Raises:
        ConfigError: If the world was learnt from video, or `obs` is unknown.
    """
    if world.pixels is None:
        raise ConfigError("this world was learnt from video: it has no real environment to act in")
    if obs not in ("latent", "pixels"):
        raise ConfigError(f"obs={obs!r} is unknown: use 'latent' or 'pixels'")
    env = make_pixel_env(world.pixels)
    return LatentObservation(env, world) if obs == "latent" else env
