"""The dream: imagined worlds as a Gymnasium vector environment. The only copy of the step logic."""

import math
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
from srvp_world.envs.options import (
    Seeds,
    check_choices,
    dream_spaces,
    reset_mask,
    row_seeds,
    which_actions,
    which_horizon,
)
from srvp_world.envs.starts import StartPool, start_pool
from srvp_world.errors import ConfigError, SpaceError, StateError
from srvp_world.model.state import SRVPState
from srvp_world.world import Prediction


class DreamVectorEnv(VectorEnv[Any, Any, Any]):
    """N dreams of one world, stepped together on one device.

    Rows are independent: each has its own stream of noise from its own seed, whatever N is. Resets
    select by mask among start states that were computed once, and content is never copied.
    """

    metadata: dict[str, Any] = {
        "render_modes": ["rgb_array"],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }
    state: SRVPState
    elapsed: Tensor  # (n,) steps of each dream so far
    ended: Tensor  # (n,) whether its last step ended it

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
        device: torch.device | str | None = None,
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
            start: `data`: states of any age on the start clips; `first`: where real episodes began;
                `prior`: y from N(0, I) with the content of a random start clip.
            end: Terminate where continuation is less likely than not, or by drawing.
            actions: The world's own; `none` lets it play; `noise` makes the standardised innovation
                the action.
            output: NumPy arrays, or tensors on the device with no host copy.
            horizon: Steps until truncation; by default as many as a real episode has.
            temperature: Factor of the prior's standard deviation.
            stagger: Spread the first horizons evenly, so that rows do not end together.
            device: Where to dream; by default where a `World` lies, or on the CPU.
            autoreset_mode: Any of Gymnasium's three.
            render_mode: None or `rgb_array`.
            max_episode_steps: Gymnasium's name for a horizon; the smaller one counts.
            pool: Start states of your own, for instance of more episodes than the world carries.

        Raises:
            ConfigError: For values that make no dream.
        """
        mode = str(getattr(autoreset_mode, "value", autoreset_mode))
        check_choices(
            obs=obs,
            start=start,
            end=end,
            actions=actions,
            output=output,
            render_mode=render_mode,
            autoreset_mode=mode,
        )
        if num_envs < 1 or not (math.isfinite(temperature) and temperature >= 0):
            raise ConfigError(
                f"need num_envs >= 1 and temperature >= 0, got {num_envs} and {temperature}"
            )
        if not isinstance(world, World):
            world = load(world, device or "cpu")
        self.world = world if device is None else world.to(device)
        self.model, self.device = self.world.model, self.world.device
        self.num_envs = num_envs
        self.obs, self.start, self.end, self.output = obs, start, end, output
        self.actions = which_actions(self.world, actions)
        self.horizon = which_horizon(self.world, horizon, max_episode_steps)
        self.temperature, self.stagger, self.render_mode = temperature, stagger, render_mode
        self.autoreset_mode = AutoresetMode(mode)
        self.metadata = {
            **self.metadata,
            "autoreset_mode": self.autoreset_mode,
            "render_fps": self.world.fps,
            "srvp_torch": output == "torch",
        }
        self.single_observation_space, self.single_action_space = dream_spaces(
            self.model, obs, self.actions
        )
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._bounds: tuple[Tensor, Tensor] | None = None
        if isinstance(self.single_action_space, gym.spaces.Box):
            bounds = (self.single_action_space.low, self.single_action_space.high)
            low, high = (torch.tensor(bound, device=self.device) for bound in bounds)
            self._bounds = low, high
        self.pool = pool and StartPool(pool.states.to(self.device), pool.first.to(self.device))
        self.noise: RowNoise | None = None

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin new dreams, in the rows of `options["reset_mask"]` or in all.

        An int seeds row i with seed + i; rows without a seed continue their streams.

        Raises:
            ConfigError: For seeds or options of another kind.
        """
        seeds, chosen = row_seeds(seed, self.num_envs), reset_mask(options, self.num_envs)
        mask = torch.ones(self.num_envs, dtype=torch.bool) if chosen is None else chosen
        mask = mask.to(self.device)
        super().reset(seed=int(seed) if isinstance(seed, (int, np.integer)) else None)
        noise = self.noise or self._wake(mask)
        if seeds is not None:
            known = torch.tensor([value is not None for value in seeds], device=self.device)
            values = torch.tensor([value or 0 for value in seeds], device=self.device)
            noise.reseed(known & mask, values)
        self._begin(mask)
        if self.stagger and chosen is None:
            spread = torch.arange(self.num_envs, device=self.device) * self.horizon
            self.elapsed = (spread // self.num_envs).clamp(max=self.horizon - 2)
        start = np.full(self.num_envs, self.start, dtype=object)
        return self._out(self._observe()), {"start": start, "_start": self._out(mask)}

    @torch.no_grad()
    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Imagine one frame in every row.

        Returns:
            Observations, rewards (n,) float32, terminations and truncations (n,) bool, and infos.
            With SAME_STEP, `infos["final_obs"]` holds the last observations of the rows in
            `infos["_final_obs"]`: an object array as Gymnasium's own, or one dense tensor with
            torch output.

        Raises:
            SpaceError: For actions of another shape, outside the space, NaN or infinite. Values of
                tensors are not looked at, for that would make the host wait.
            StateError: If a row has ended and autoreset is disabled.
            ConfigError: Before the first reset.
        """
        self._check_awake()
        following, prediction = self._imagine(self._actions(actions))
        idle = self.ended  # with NEXT_STEP, rows that ended last time only begin now
        self.state, self.elapsed = following, self.elapsed + 1
        reward = prediction.reward
        if reward is None:
            reward = torch.zeros(self.num_envs, device=self.device)
        terminated = self._ends(prediction.continuation)
        truncated = self.elapsed >= self.horizon
        if self.autoreset_mode == AutoresetMode.NEXT_STEP:
            reward = reward.masked_fill(idle, 0)
            terminated, truncated = terminated & ~idle, truncated & ~idle
            self._begin(idle)
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
        if self.noise is None:
            raise ConfigError("reset the dream before you render it")
        frames = self._frames().cpu().numpy()
        return tuple(np.repeat(frame, 3 // frame.shape[-1], axis=-1) for frame in frames)

    def _check_awake(self) -> None:
        """Refuse steps before the first reset, and, where it costs no waiting, after an end."""
        if self.noise is None:
            raise ConfigError("reset the dream before its first step")
        disabled = self.autoreset_mode == AutoresetMode.DISABLED
        if disabled and self.output == "numpy" and self.ended.any():
            rows = self.ended.nonzero()[:, 0].tolist()
            raise StateError(f"the dreams in rows {rows} have ended: reset them before you step on")

    def _actions(self, actions: Any) -> Tensor | None:
        """Bring actions to the device; boxes are clipped to their bounds."""
        if self.actions == "none":
            return None
        space = self.single_action_space
        given = actions if isinstance(actions, Tensor) else np.asarray(actions)
        expected = (self.num_envs, *(space.shape or ()))
        if tuple(given.shape) != expected:
            raise SpaceError(f"actions have shape {tuple(given.shape)}, the dream wants {expected}")
        if isinstance(given, np.ndarray):
            if self._bounds is None and self.model.action is not None:
                self.model.action.check(given)
            elif not np.isfinite(given).all():
                raise SpaceError("actions hold NaN or infinite values: look at what chose them")
            given = torch.tensor(given)
        given = given.to(self.device)
        return given if self._bounds is None else given.float().clamp(*self._bounds)

    def _imagine(self, given: Tensor | None) -> tuple[SRVPState, Prediction]:
        assert self.noise is not None
        noise, temperature = self.noise.normal(self.model.noise_dim), self.temperature
        if self.actions == "noise" and given is not None:
            noise, given, temperature = given, None, 1.0
        return self.model.step(self.state, given, noise=noise, temperature=temperature)

    def _wake(self, mask: Tensor) -> RowNoise:
        """Prepare for the first reset: streams of noise, start states, counters."""
        if not mask.all():
            raise ConfigError("the first reset must be of all rows: leave reset_mask out")
        seeds = torch.from_numpy(self.np_random.integers(0, 2**31, self.num_envs))
        self.pool = self.pool or start_pool(self.world)
        self.elapsed = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.ended = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self.state = self.pool.states.index(self.elapsed)
        self.noise = RowNoise(seeds.to(self.device))
        return self.noise

    @torch.no_grad()
    def _begin(self, mask: Tensor) -> None:
        """Put new start states into the rows of `mask`, and leave the others as they are."""
        assert self.noise is not None and self.pool is not None
        rows = self.pool.first if self.start == "first" else None
        count = self.pool.states.batch_size if rows is None else len(rows)
        place = (self.noise.uniform(mask) * count).long()
        fresh = self.pool.states.index(place if rows is None else rows[place])
        if self.start == "prior":
            noise = self.noise.normal(self.model.start_noise_dim, mask)
            fresh = self.model.prior_start(fresh, noise)
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
        # To look, the host waits for the device: cheaper than pixels twice, dearer than latents.
        blind = self.output == "torch" and self.obs == "latent"
        restart = blind or bool(ended.any())
        if self.output == "numpy" and not restart:
            return last, {}
        if restart:
            self._begin(ended)
        infos = {"_final_obs": self._out(ended), "final_obs": self._out(last)}
        if self.output == "numpy":
            final = np.full(self.num_envs, None, dtype=object)
            for i in np.flatnonzero(infos["_final_obs"]):
                final[i] = infos["final_obs"][i]
            infos["final_obs"] = final
        return self._observe() if restart else last, infos

    @torch.no_grad()
    def _observe(self) -> Tensor:
        return self._frames() if self.obs == "pixels" else self.model.features(self.state)

    @torch.no_grad()
    def _frames(self) -> Tensor:
        """Decode the current states to uint8 (n, h, w, c)."""
        frames = rearrange(self.model.decode(self.state), "n c h w -> n h w c")
        return (frames * 255).round().to(torch.uint8)

    def _out(self, value: Tensor) -> Any:
        return value.cpu().numpy().copy() if self.output == "numpy" else value
