"""The dream: imagined worlds as a Gymnasium vector environment. The only copy of the step logic."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from srvp_world.checkpoint import DEFAULT_WORLD, World, load
from srvp_world.envs.actions import DreamActions
from srvp_world.envs.infos import final_infos, row_info
from srvp_world.envs.judge import Judge, TransitionFn, which_function
from srvp_world.envs.noise import RowNoise
from srvp_world.envs.options import (
    Seeds,
    check_choices,
    check_dream,
    check_reset_options,
    reset_mask,
    row_seeds,
    which_horizon,
)
from srvp_world.envs.start_source import StartSource
from srvp_world.envs.starts import StartPool, given_clips, watch
from srvp_world.envs.view import Shown, Transition, View, observation_space
from srvp_world.errors import ConfigError, StateError
from srvp_world.world import Prediction, State

_PLACE, _END = 0, 1  # what the uniform numbers of a draw are for


class DreamVectorEnv(VectorEnv[Any, Any, Any]):
    """N dreams of one world, stepped together on one device.

    Rows are independent: each has its own stream of noise from its own seed, whatever N is. Resets
    select by mask among start states that were computed once, and content is never copied.
    """

    metadata: dict[str, Any] = {
        "render_modes": ["rgb_array"],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }
    elapsed: Tensor  # (n,) steps of each dream so far
    ended: Tensor  # (n,) whether its last step ended it

    def __init__(
        self,
        num_envs: int = 1,
        world: str | Path | World = DEFAULT_WORLD,
        *,
        obs: Literal["pixels", "latent", "dict"] = "pixels",
        start: Literal["data", "first", "prior"] = "data",
        end: Literal["threshold", "sample"] = "threshold",
        actions: Literal["world", "none", "noise"] | None = None,
        output: Literal["numpy", "torch"] = "numpy",
        horizon: int | None = None,
        temperature: float = 1.0,
        reward_fn: TransitionFn | str | None = None,
        termination_fn: TransitionFn | str | None = None,
        penalty: float = 0.0,
        max_uncertainty: float | None = None,
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
            obs: uint8 frames (h, w, c); normalised features for policies; or, where the world has a
                vector, a dict of `pixels` and `vector`.
            start: `data`: states of any age on the start clips; `first`: where real episodes began;
                `prior`: y from N(0, I) with the content of a random start clip.
            end: Terminate where continuation is less likely than not, or by drawing.
            actions: The world's own; `none` lets it play; `noise` makes the standardised innovation
                the action.
            output: NumPy arrays, or tensors on the device with no host copy.
            horizon: Steps until truncation; by default as many as a real episode has.
            temperature: Factor of the prior's standard deviation.
            reward_fn: Gives rewards (n,) of a `Transition` instead of the world's head; a callable,
                or `module:name`.
            termination_fn: Gives (n,) bool, whether a `Transition` ended its dream, likewise.
            penalty: What each unit of uncertainty above 1, the mean on the data, costs in reward.
            max_uncertainty: Truncate dreams whose step is more uncertain than this.
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
        if not isinstance(world, World):
            world = load(world, device or "cpu")
        self.world = world if device is None else world.to(device)
        self.model, self.device = self.world.model, self.world.device
        check_dream(self.model, num_envs, obs, start, temperature)
        self.num_envs = num_envs
        self.obs, self.start, self.output = obs, start, output
        self._taken = DreamActions(self.world, actions, num_envs)
        self.actions = self._taken.kind
        self.horizon = which_horizon(self.world, horizon, max_episode_steps)
        self.temperature, self.stagger, self.render_mode = temperature, stagger, render_mode
        self.judge = Judge(
            end=end,
            reward_fn=which_function("reward_fn", reward_fn),
            termination_fn=which_function("termination_fn", termination_fn),
            penalty=penalty,
            max_uncertainty=max_uncertainty,
        )
        self.judge.check(self.model)
        self.autoreset_mode = AutoresetMode(mode)
        self.metadata = {
            **self.metadata,
            "autoreset_mode": self.autoreset_mode,
            "render_fps": max(1, round(self.world.fps)),  # Gymnasium's player wants an int
            "srvp_torch": output == "torch",
        }
        self.single_observation_space = observation_space(self.model, obs)
        self.single_action_space = self._taken.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._pool = pool
        # On a GPU, to look whether a row ended would make the host wait.
        self._blind = output == "torch" and self.device.type != "cpu"
        self.noise: RowNoise | None = None

    @property
    def state(self) -> State:
        """Where the dreams are now."""
        return self._view.state

    @torch.no_grad()
    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin new dreams, in the rows of `options["reset_mask"]` or in all.

        An int seeds row i with seed + i; rows without a seed continue their streams. With
        `options["frames"]`, and the `actions` between them and the `vector` beside them where the
        world has these, dreams begin after these frames; see `starts.given_clips`.

        Raises:
            ConfigError: For seeds or options of another kind.
            DataError: For frames or vectors that the world cannot watch.
            SpaceError: For actions between frames that do not fit.
        """
        asked = check_reset_options(options)
        seeds, chosen = row_seeds(seed, self.num_envs), reset_mask(asked, self.num_envs)
        clips = given_clips(self.model, asked, self.num_envs)
        given = None if clips is None else watch(self.model, clips)
        mask = torch.ones(self.num_envs, dtype=torch.bool) if chosen is None else chosen
        mask = mask.to(self.device)
        super().reset(seed=int(seed) if isinstance(seed, (int, np.integer)) else None)
        noise = self.noise or self._wake(mask)
        if seeds is not None:
            known = torch.tensor([value is not None for value in seeds], device=self.device)
            values = torch.tensor([value or 0 for value in seeds], device=self.device)
            noise.reseed(known & mask, values)
        drawn = noise.reset(mask)
        if given is None:
            self._place(mask, self._draw_starts(*drawn)[0])
        else:
            self._place(mask, given)
            self._view = View(self.model, self._starts.share(self.state))
        if self.stagger and chosen is None:
            spread = torch.arange(self.num_envs, device=self.device) * self.horizon
            self.elapsed = (spread // self.num_envs).clamp(max=self.horizon - 2)
        begun = row_info("start", "frames" if given else self.start, self._out(mask))
        return self._observation(self._view.show(self.obs)), begun

    def refresh_starts(self, pool: StartPool | None = None) -> None:
        """Begin dreams from other states from now on; those under way go on.

        Args:
            pool: Of this world; None watches the world's own start clips, once for all dreams.
        """
        self._pool = pool
        if self.noise is not None:
            self._starts = StartSource(self.world, self.start, pool)
            self._view = View(self.model, self._starts.share(self.state))

    @torch.no_grad()
    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Imagine one frame in every row.

        Returns:
            Observations, rewards (n,) float32, terminations and truncations (n,) bool, and infos.
            With SAME_STEP, `infos["final_obs"]` holds the last observations of the rows in
            `infos["_final_obs"]`: an object array as Gymnasium's own, or dense tensors with torch
            output. `infos["uncertainty"]` (n,) is there if a penalty or a maximum asks for it.

        Raises:
            SpaceError: For actions of another shape, outside the space, NaN or infinite. Values of
                tensors are not looked at, for that would make the host wait.
            StateError: If a row has ended, autoreset is disabled and the output is NumPy.
            ConfigError: Before the first reset.
        """
        self._check_awake()
        assert self.noise is not None
        action, (normal, uniform) = self._taken.take(actions), self.noise.step()
        before = self._view
        state, prediction = self._imagine(action, normal)
        self._view, self.elapsed = View(self.model, state), self.elapsed + 1
        transition = Transition(before, action, self._view)
        reward, terminated, lost, uncertainty = self.judge(
            self.model, transition, prediction, uniform[:, _END]
        )
        truncated = self.elapsed >= self.horizon
        if lost is not None:
            truncated = truncated | lost
        idle = self.ended  # of NEXT_STEP: rows that ended last time only begin now
        if self.autoreset_mode == AutoresetMode.NEXT_STEP:
            reward = reward.masked_fill(idle, 0)
            terminated, truncated = terminated & ~idle, truncated & ~idle
            self._place(idle, self._draw_starts(normal, uniform)[0])
        self.ended = terminated | truncated
        infos: dict[str, Any] = {}
        if uncertainty is not None:
            infos = {"uncertainty": self._out(uncertainty)}
            infos["_uncertainty"] = self._out(~idle)
        if self.autoreset_mode == AutoresetMode.NEXT_STEP and self.output == "numpy":
            infos |= row_info("start", self.start, self._out(idle)) if idle.any() else {}
        observation = self._view.show(self.obs)
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            observation, infos = self._same_step(observation, infos, normal, uniform)
        out = [self._out(value) for value in (reward, terminated, truncated)]
        return self._observation(observation), out[0], out[1], out[2], infos

    @torch.no_grad()
    def render(self) -> tuple[np.ndarray, ...] | None:
        """Show every row as a uint8 (h, w, 3) image."""
        if self.render_mode is None:
            return None
        if self.noise is None:
            raise ConfigError("reset the dream before you render it")
        frames = self._view.pixels.cpu().numpy()
        return tuple(np.repeat(frame, 3 // frame.shape[-1], axis=-1) for frame in frames)

    def _check_awake(self) -> None:
        """Refuse steps before the first reset, and, where it costs no waiting, after an end."""
        if self.noise is None:
            raise ConfigError("reset the dream before its first step")
        disabled = self.autoreset_mode == AutoresetMode.DISABLED
        if disabled and self.output == "numpy" and self.ended.any():
            rows = self.ended.nonzero()[:, 0].tolist()
            raise StateError(f"the dreams in rows {rows} have ended: reset them before you step on")

    def _imagine(self, given: Tensor | None, noise: Tensor) -> tuple[State, Prediction]:
        temperature, noise = self.temperature, noise[:, : self.model.noise_dim]
        if self.actions == "noise" and given is not None:
            noise, given, temperature = given, None, 1.0
        return self.model.step(self._view.state, given, noise=noise, temperature=temperature)

    def _wake(self, mask: Tensor) -> RowNoise:
        """Prepare for the first reset: streams of noise, start states, counters."""
        if not mask.all():
            raise ConfigError("the first reset must be of all rows: leave reset_mask out")
        seeds = torch.from_numpy(self.np_random.integers(0, 2**31, self.num_envs))
        self._starts = StartSource(self.world, self.start, self._pool)
        self.elapsed = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.ended = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self._view = View(self.model, self._starts.pool.states.index(self.elapsed))
        normals = self.model.noise_dim + self._starts.normals
        self.noise = RowNoise(seeds.to(self.device), normals, uniforms=2)
        return self.noise

    def _draw_starts(self, normal: Tensor, uniform: Tensor) -> tuple[State, Tensor]:
        """Draw a start state for each row, with its place in the pool."""
        return self._starts.draw((normal[:, self.model.noise_dim :], uniform[:, _PLACE:]))

    def _place(self, mask: Tensor, fresh: State) -> None:
        """Put fresh states into the rows of `mask`, and leave the others as they are."""
        self._view = View(self.model, fresh.where(mask, self._view.state))
        self.elapsed = torch.where(mask, 0, self.elapsed)
        self.ended = self.ended & ~mask

    def _same_step(
        self, last: Shown, infos: dict[str, Any], normal: Tensor, uniform: Tensor
    ) -> tuple[Shown, dict[str, Any]]:
        """Begin anew where rows ended; give the new observations, and the last ones in infos."""
        ended = self.ended
        if not (self._blind or ended.any()):
            if self.output == "torch":  # always there, for only the host knows when to leave it out
                final = self._observation(last)
                infos = {**infos, "final_obs": final, "_final_obs": self._out(ended)}
            return last, infos
        fresh, place = self._draw_starts(normal, uniform)
        shown = self._starts.show(fresh, place, self.obs)
        observation = {
            name: torch.where(ended.reshape(-1, *[1] * (value.ndim - 1)), shown[name], value)
            for name, value in last.items()
        }
        self._place(ended, fresh)
        final = self._observation(last)
        if self.output == "torch":
            return observation, {**infos, "final_obs": final, "_final_obs": self._out(ended)}
        return observation, final_infos(final, ended.cpu().numpy(), infos, self.start)

    def _observation(self, shown: Shown) -> Any:
        """Give an observation as the space has it."""
        given = {name: self._out(value) for name, value in shown.items()}
        return given if self.obs == "dict" else given[self.obs]

    def _out(self, value: Tensor) -> Any:
        """Hand out a copy: what is done to it never reaches the dream."""
        return value.cpu().numpy().copy() if self.output == "numpy" else value.clone()
