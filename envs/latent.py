"""Acting in reality on what the world infers: the same features that a policy saw in its dream."""

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from einops import rearrange

from srvp_world.checkpoint import World
from srvp_world.envs.pixels import Observed, frame_and_vector, make_pixel_env, shown_space
from srvp_world.errors import ConfigError, DataError, did_you_mean
from srvp_world.spaces import ActionSpec
from srvp_world.world import Observation, State

OBSERVATIONS = ("latent", "pixels", "dict")


class Watcher:
    """Follows one real episode with the posterior, frame by frame, by its means."""

    def __init__(self, world: World):
        """Watch with a world's model."""
        self.model = world.model
        self.state: State | None = None

    @torch.no_grad()
    def begin(self, shown: Observed) -> np.ndarray:
        """See the first frame (h, w, c) of an episode; return the features (d,).

        Raises:
            DataError: If the frame is not a uint8 image of the world's shape, or the vector beside
                it does not fit.
        """
        model = self.model
        actions = None
        if model.action:
            empty = np.empty((1, 0, *model.action.shape), model.action.dtype)
            actions = torch.as_tensor(empty, device=model.device)
        start = torch.ones(1, dtype=torch.bool, device=model.device)
        seen = self._look(shown)
        vector = None if seen.vector is None else seen.vector[:, None]
        clip = Observation(seen.frames[:, None], vector)
        self.state = model.encode(clip, actions, episode_start=start, sample=False)
        return self._features(self.state)

    @torch.no_grad()
    def follow(self, shown: Observed, action: Any) -> np.ndarray:
        """See the frame that followed an action; return the features (d,).

        Raises:
            ConfigError: If no episode was begun.
            DataError: If the frame is not a uint8 image of the world's shape, or the vector beside
                it does not fit.
            SpaceError: If the action is not one of the world's.
        """
        if self.state is None:
            raise ConfigError("begin with the first frame of an episode")
        model, taken = self.model, None
        if model.action:
            row = np.asarray(action)[None]
            model.action.check(row, "the action")
            taken = torch.tensor(row.astype(model.action.dtype), device=model.device)
        self.state = model.observe(self.state, self._look(shown), taken, sample=False)
        return self._features(self.state)

    def _look(self, shown: Observed) -> Observation:
        """Check what an env shows; give it as floats, a row of (1, ...)."""
        frame, vector = frame_and_vector(shown)
        (c, h, w), size = self.model.frame_shape, self.model.vector_dim
        if frame.shape != (h, w, c) or frame.dtype != np.uint8:
            raise DataError(
                f"the world watches uint8 frames ({h}, {w}, {c}), got {frame.dtype} {frame.shape}: "
                "make the env with make_real_env(world)"
            )
        pixels = torch.tensor(frame[None], device=self.model.device)
        frames = rearrange(pixels, "b h w c -> b c h w").float() / 255
        if not size:
            return Observation(frames)
        if vector is None or vector.shape != (size,) or not np.isfinite(vector).all():
            given = "none" if vector is None else " ".join(str(vector).split())
            raise DataError(
                f"the world watches {size} finite numbers beside each frame, got {given}: "
                "make the env with make_real_env(world)"
            )
        beside = torch.tensor(vector[None], dtype=torch.float32, device=self.model.device)
        return Observation(frames, beside)

    def _features(self, state: State) -> np.ndarray:
        return self.model.features(state)[0].cpu().numpy()


class LatentObservation(gym.Wrapper[np.ndarray, Any, Observed, Any]):
    """Shows a policy the normalised features of a world instead of the frames of an environment.

    A policy that was trained on a dream's latents acts in reality through this wrapper. Rewards,
    ends and the action space stay as they are.
    """

    def __init__(self, env: gym.Env[Any, Any], world: World):
        """Wrap an environment that shows frames of the world's shape, and a vector if it has one.

        Raises:
            ConfigError: If frames, vector or actions do not fit the world.
            SpaceError: If the env's action space is of a kind that no world takes.
        """
        super().__init__(env)
        c, h, w = world.model.frame_shape
        wanted = shown_space((h, w, c), world.model.vector_dim)
        if _layout(env.observation_space) != _layout(wanted):
            size = world.model.vector_dim
            beside = f" and {size} numbers beside each" if size else ""
            raise ConfigError(
                f"the env shows {env.observation_space}, the world watches uint8 frames "
                f"({h}, {w}, {c}){beside}: make the env with make_real_env(world)"
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
        shown, info = self.env.reset(seed=seed, options=options)
        return self.watcher.begin(shown), info

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """Act, and see the frame that follows."""
        shown, reward, terminated, truncated, info = self.env.step(action)
        return self.watcher.follow(shown, action), reward, terminated, truncated, info


def _layout(space: gym.Space[Any]) -> Any:
    """Say what matters to a model in a space: shapes and dtypes, but no bounds."""
    if isinstance(space, gym.spaces.Dict):
        return {name: _layout(part) for name, part in space.items()}
    return space.shape, space.dtype


def make_real_env(world: World, obs: str = "latent") -> gym.Env[Any, Any]:
    """Build the real environment of a world from the world's own metadata.

    Args:
        world: A world that was learnt from an environment.
        obs: `latent` for a policy trained on latents, `pixels` for the frames alone, `dict` for
            frames and the vector beside them.

    Raises:
        ConfigError: If the world was learnt from video, `obs` is unknown, or there is no vector.
    """
    if world.pixels is None:
        raise ConfigError("this world was learnt from video: it has no real environment to act in")
    if obs not in OBSERVATIONS:
        raise ConfigError(f"obs={obs!r} is unknown: {did_you_mean(obs, OBSERVATIONS)}")
    if obs == "dict" and not world.pixels.vector:
        raise ConfigError(
            "obs='dict' shows a vector beside the frames, but this world has none: "
            "use 'latent' or 'pixels', or learn from data collected with --vector"
        )
    if obs == "pixels":
        return make_pixel_env(replace(world.pixels, vector=False))
    env = make_pixel_env(world.pixels)
    return LatentObservation(env, world) if obs == "latent" else env
