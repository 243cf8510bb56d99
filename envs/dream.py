"""The dream: a batch of imagined worlds as a Gymnasium vector environment. The only copy of the step logic."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from einops import rearrange
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from srvp_world.checkpoint import DEFAULT_WORLD, World, load
from srvp_world.envs.noise import RowNoise
from srvp_world.envs.starts import StartPool, start_pool
from srvp_world.errors import ConfigError, did_you_mean

CHOICES = {
    "obs": ("pixels", "latent"),
    "start": ("data", "first", "prior"),
    "end": ("threshold", "sample"),
    "actions": ("world", "none", "noise"),
    "output": ("numpy", "torch"),
}
NOISE_BOUND = 3.0  # standard deviations that an agent may steer the innovation by


class DreamVectorEnv(VectorEnv[Any, Any, Any]):
    """N dreams of one world, stepped together on one device.

    Rows are independent: each has its own stream of noise from its own seed, whatever N is. Resets select by mask
    among start states that were computed once, and content is never copied.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        num_envs: int = 1,
        world: str | Path | World = DEFAULT_WORLD,
        *,
        obs: Literal["pixels", "latent"] = "pixels",
        start: Literal["data", "first", "prior"] = "data",
        end: Literal["threshold", "sample"] = "threshold",
        actions: Literal["world", "none", "noise"] | None = None,
        output: Literal["numpy", "torch"] = "numpy",
        horizon: int | None = None,
        temperature: float = 1.0,
        stagger: bool = False,
        device: torch.device | str = "cpu",
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        pool: StartPool | None = None,
    ):
        """Open a world as a vector environment.

        Args:
            num_envs: Number of dreams.
            world: Path, name or `World`.
            obs: uint8 frames (h, w, c), or normalised features for policies.
            start: `data`: states of any age on the start clips; `first`: where real episodes began; `prior`: y from
                N(0, I) with the content of a random start clip.
            end: Terminate where continuation is less likely than not, or by drawing.
            actions: The world's own; `none` lets it play; `noise` makes the standardised innovation the action.
            output: NumPy arrays, or tensors on the device with no host copy.
            horizon: Steps until truncation; by default as many as a real episode has.
            temperature: Factor of the prior's standard deviation.
            stagger: Spread the first horizons evenly, so that rows do not end together.
            device: Where to dream.
            autoreset_mode: Any of Gymnasium's three.
            render_mode: None or `rgb_array`.
            max_episode_steps: Gymnasium's name for a horizon; the smaller one counts.
            pool: Start states of your own, for instance of more episodes than the world carries.

        Raises:
            ConfigError: For values that make no dream.
        """
        given = {"obs": obs, "start": start, "end": end, "actions": actions or "world", "output": output}
        for name, value in given.items():
            if value not in CHOICES[name]:
                raise ConfigError(f"{name}={value!r} is unknown: {did_you_mean(str(value), CHOICES[name])}")
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, got {num_envs}")
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(f"render_mode={render_mode!r} is unknown: use None or 'rgb_array'")
        self.world = world if isinstance(world, World) else load(world, device)
        self.model = self.world.model
        self.device = self.world.device
        self.num_envs, self.obs, self.start, self.end, self.output = num_envs, obs, start, end, output
        self.temperature = temperature
        self.actions = actions or ("world" if self.model.action else "none")
        if (self.actions == "world") != (self.model.action is not None):
            raise ConfigError(f"actions={self.actions!r} does not fit a world that takes {self.model.action}")
        limits = [limit for limit in (horizon or self.world.episode_length, max_episode_steps) if limit]
        self.horizon = min(limits, default=50)
        if self.horizon < 2 or temperature < 0:
            raise ConfigError(f"need horizon >= 2 and temperature >= 0, got {self.horizon} and {temperature}")
        self.stagger, self.pool = stagger, pool
        self.render_mode = render_mode
        mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": mode, "render_fps": self.world.fps, "srvp_torch": True}
        self.autoreset_mode = mode
        self.single_observation_space, self.single_action_space = self._spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.noise: RowNoise | None = None

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin new dreams, in the rows of `options["reset_mask"]` or in all.

        An int seeds row i with seed + i; rows without a seed continue their streams.
        """
        seed = int(seed) if isinstance(seed, np.integer) else seed
        super().reset(seed=seed if isinstance(seed, int) else None)
        mask = self._reset_mask(options)
        self._seed_rows(seed, mask)
        self._begin(mask)
        if self.stagger and options is None:
            self.elapsed = torch.arange(self.num_envs, device=self.device) * self.horizon // self.num_envs
            self.elapsed = self.elapsed.clamp(max=self.horizon - 2)
        return self._out(self._observe()), self._start_info(mask)

    @torch.no_grad()
    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Imagine one frame in every row.

        Returns:
            Observations, rewards (n,) float32, terminations and truncations (n,) bool, and infos. With SAME_STEP,
            `infos["final_obs"]` holds the last observations of the rows in `infos["_final_obs"]`: an object array as
            Gymnasium's own, or one dense tensor with torch output.
        """
        if self.noise is None:
            raise ConfigError("reset the dream before its first step")
        noise, given = self.noise.normal(self.model.noise_dim), self._actions(actions)
        temperature = self.temperature
        if self.actions == "noise" and given is not None:
            noise, given, temperature = given, None, 1.0
        following, prediction = self.model.step(self.state, given, noise=noise, temperature=temperature)
        reward = torch.zeros(self.num_envs, device=self.device) if prediction.reward is None else prediction.reward
        terminated = self._ends(prediction.continuation)
        elapsed = self.elapsed + 1
        truncated = elapsed >= self.horizon
        if self.autoreset_mode == AutoresetMode.NEXT_STEP:  # rows that ended last time only begin now
            idle = self.ended
            reward, terminated, truncated = reward.masked_fill(idle, 0), terminated & ~idle, truncated & ~idle
            self.state, self.elapsed = following, elapsed
            self._begin(idle)
        else:
            self.state, self.elapsed = following, elapsed
        self.ended = terminated | truncated
        infos: dict[str, Any] = {}
        observation = self._observe()
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            observation, infos = self._same_step(observation)
        out = [self._out(value) for value in (observation, reward.float(), terminated, truncated)]
        return out[0], out[1], out[2], out[3], infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """Show every row as a uint8 (h, w, 3) image."""
        if self.render_mode is None:
            return None
        frames = self._frames().cpu().numpy()
        return tuple(np.repeat(frame, 3 // frame.shape[-1], axis=-1) for frame in frames)

    # Parts

    def _spaces(self) -> tuple[gym.Space[Any], gym.Space[Any]]:
        c, h, w = self.model.frame_shape
        observation: gym.Space[Any] = gym.spaces.Box(0, 255, (h, w, c), np.uint8)
        if self.obs == "latent":
            observation = gym.spaces.Box(-np.inf, np.inf, (self.model.feature_dim,), np.float32)
        if self.model.action is not None:
            return observation, self.model.action.space
        if self.actions == "none":
            return observation, gym.spaces.Discrete(1)
        return observation, gym.spaces.Box(-NOISE_BOUND, NOISE_BOUND, (self.model.noise_dim,), np.float32)

    def _actions(self, actions: Any) -> Tensor | None:
        """Bring actions to the device; boxes are clipped to their bounds."""
        if self.actions == "none":
            return None
        given = torch.as_tensor(actions, device=self.device)
        space = self.single_action_space
        if isinstance(space, gym.spaces.Box):
            low, high = (torch.as_tensor(bound, device=self.device) for bound in (space.low, space.high))
            return given.float().clamp(low, high)
        return given

    def _reset_mask(self, options: dict[str, Any] | None) -> Tensor:
        mask = (options or {}).get("reset_mask")
        if mask is None:
            return torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        mask = torch.as_tensor(mask, device=self.device)
        if mask.dtype != torch.bool or mask.shape != (self.num_envs,):
            raise ConfigError(f"reset_mask must be bool ({self.num_envs},), got {mask.dtype} {tuple(mask.shape)}")
        return mask

    def _seed_rows(self, seed: int | Sequence[int | None] | None, mask: Tensor) -> None:
        if self.noise is None:
            fresh = self.np_random.integers(0, 2**31, self.num_envs) if not isinstance(seed, int) else 0
            self.noise = RowNoise(torch.as_tensor(fresh, device=self.device).expand(self.num_envs).long())
            self.elapsed = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
            self.ended = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
            self.pool = self.pool or start_pool(self.world)
            self.state = self.pool.states.index(self.elapsed)
        if seed is None:
            return
        seeds: Sequence[int | None] = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        if len(seeds) != self.num_envs:
            raise ConfigError(f"got {len(seeds)} seeds for {self.num_envs} dreams: give one a row, or an int")
        known = torch.tensor([value is not None for value in seeds], device=self.device)
        self.noise.reseed(mask & known, torch.tensor([value or 0 for value in seeds], device=self.device))

    def _begin(self, mask: Tensor) -> None:
        """Put new start states into the rows of `mask`."""
        assert self.noise is not None and self.pool is not None
        rows = self.pool.first if self.start == "first" else None
        count = self.pool.states.batch_size if rows is None else len(rows)
        place = (self.noise.uniform() * count).long()
        fresh = self.pool.states.index(place if rows is None else rows[place])
        if self.start == "prior":
            fresh = self.model.prior_start(fresh, self.noise.normal(self.model.start_noise_dim))
        self.state = fresh.where(mask, self.state)
        self.elapsed = torch.where(mask, 0, self.elapsed)
        self.ended = self.ended & ~mask

    def _ends(self, continuation: Tensor | None) -> Tensor:
        assert self.noise is not None
        if continuation is None:
            return torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        return continuation < (0.5 if self.end == "threshold" else self.noise.uniform())

    def _same_step(self, last: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Begin anew where rows ended; give the new observations, and the last ones in infos."""
        ended = self.ended
        if self.output == "numpy" and not ended.any():
            return last, {}
        self._begin(ended)
        infos = {"_final_obs": self._out(ended), "final_obs": self._out(last)}
        if self.output == "numpy":
            final = np.full(self.num_envs, None, dtype=object)
            for i in np.flatnonzero(infos["_final_obs"]):
                final[i] = infos["final_obs"][i]
            infos["final_obs"] = final
        return self._observe(), infos

    @torch.no_grad()
    def _observe(self) -> Tensor:
        return self._frames() if self.obs == "pixels" else self.model.features(self.state)

    @torch.no_grad()
    def _frames(self) -> Tensor:
        """Decode the current states to uint8 (n, h, w, c)."""
        frames = rearrange(self.model.decode(self.state), "n c h w -> n h w c")
        return (frames * 255).round().to(torch.uint8)

    def _start_info(self, mask: Tensor) -> dict[str, Any]:
        return {"start": np.full(self.num_envs, self.start, dtype=object), "_start": mask.cpu().numpy()}

    def _out(self, value: Tensor) -> Any:
        return value.cpu().numpy().copy() if self.output == "numpy" else value
