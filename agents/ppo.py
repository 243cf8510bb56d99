"""Stable-Baselines3's PPO, trained in the dream alone."""

from collections.abc import Callable
from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from srvp_world.checkpoint import World
from srvp_world.envs.sb3 import DreamVecEnv
from srvp_world.envs.starts import StartPool

SETTINGS: dict[str, Any] = {  # chosen on dreams of Pendulum-v1, where gamma 0.97 did far worse
    "n_steps": 32,
    "batch_size": 256,
    "n_epochs": 10,
    "gamma": 0.9,
    "learning_rate": lambda left: 1e-3 * left,  # without decay the last policies swing to and fro
}


def train_ppo(
    world: World,
    *,
    steps: int = 100_000,
    num_envs: int = 64,
    horizon: int = 50,
    temperature: float = 0.5,
    penalty: float = 0.0,
    max_uncertainty: float | None = None,
    seed: int = 0,
    pool: StartPool | None = None,
    on_rollout: Callable[[PPO], None] | None = None,
    progress: bool = True,
    **settings: Any,
) -> PPO:
    """Train PPO on the latents of a world, which never touches the real environment.

    Args:
        world: With a reward head.
        steps: Dream steps, over all environments.
        num_envs: Dreams side by side.
        horizon: Steps of a dream; short ones cover more starts and stay close to the data.
        temperature: Factor of the prior's standard deviation in the dreams; calmer dreams than the
            world's own gave better agents in the few trials on Pendulum-v1 that chose it.
        penalty: What uncertainty costs, in deviations of the data's rewards for each unit above 1.
        max_uncertainty: Dreams whose step is more uncertain than this are cut.
        seed: Of the policy and of the dreams.
        pool: Start states, by default those of the world's own clips.
        on_rollout: Called with the model after each rollout.
        progress: Whether to show a bar.
        settings: Arguments of `PPO` that replace ours.
    """
    scale = 1.0 / float(world.model.reward_normaliser.std)
    dream = DreamVecEnv(
        num_envs,
        world,
        obs="latent",
        horizon=horizon,
        temperature=temperature,
        penalty=penalty / scale,
        max_uncertainty=max_uncertainty,
        pool=pool,
        reward_scale=scale,
    )
    model = PPO("MlpPolicy", dream, seed=seed, device="cpu", **{**SETTINGS, **settings})
    dream.bootstrap_with(model)
    with tqdm(total=steps, unit="step", desc="PPO in the dream", disable=not progress) as bar:
        model.learn(steps, callback=_Progress(bar, on_rollout))
    return model


class _Progress(BaseCallback):
    """Moves a bar and passes the model on after each rollout."""

    def __init__(self, bar: "tqdm[Any]", on_rollout: Callable[[PPO], None] | None):
        super().__init__()
        self._bar, self._on_rollout = bar, on_rollout

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._bar.update(min(self.num_timesteps, self._bar.total) - self._bar.n)
        returns = [episode["r"] for episode in self.model.ep_info_buffer or []]
        if returns:
            self._bar.set_postfix_str(f"return {sum(returns) / len(returns):.1f} a dream")
        if self._on_rollout is not None and isinstance(self.model, PPO):
            self._on_rollout(self.model)
