"""Stable-Baselines3's algorithms, trained in the dream alone."""

import math
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from tqdm import tqdm

from srvp_world.agents.learning_curve import LearningCurve
from srvp_world.agents.sb3_model import build, check_seed, check_settings
from srvp_world.agents.sb3_policy import policy_from_sb3
from srvp_world.checkpoint import World
from srvp_world.envs.options import is_number
from srvp_world.envs.sb3 import DreamVecEnv
from srvp_world.envs.starts import StartPool
from srvp_world.errors import ConfigError, UnknownNameError, did_you_mean

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"PPO": PPO, "A2C": A2C, "SAC": SAC, "DQN": DQN}
KINDS = {  # of action spaces
    "PPO": ("box", "discrete", "multidiscrete", "multibinary"),
    "A2C": ("box", "discrete", "multidiscrete", "multibinary"),
    "SAC": ("box",),
    "DQN": ("discrete",),
}
_REPLAY = {  # a step of all dreams, then 4 updates: about a minute for 100,000 dream steps
    "train_freq": 1,
    "gradient_steps": 4,
    "batch_size": 256,
    "learning_starts": 1_000,
    "buffer_size": 100_000,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "PPO": {  # chosen on dreams of Pendulum-v1
        "n_steps": 32,
        "batch_size": 256,
        "n_epochs": 10,
        "gamma": 0.9,
        "learning_rate": lambda left: 1e-3 * left,  # without decay the last policies swing
    },
    "A2C": {
        "n_steps": 4,
        "gamma": 0.9,
        "gae_lambda": 0.9,
        "normalize_advantage": True,
        "learning_rate": lambda left: 3e-3 * left,
    },
    "SAC": {
        **_REPLAY,
        "gamma": 0.95,
        "learning_rate": lambda left: 2e-3 * left,
        "ent_coef": "auto_0.05",  # from 1 it takes long to fall to where rewards count
        "policy_kwargs": {"net_arch": [64, 64]},
    },
    "DQN": {
        **_REPLAY,
        "gamma": 0.95,
        "learning_rate": lambda left: 1e-3 * left,
        "target_update_interval": 2_000,
        "exploration_fraction": 0.3,
    },
}


def train_in_dream(
    world: World,
    algorithm: str | type[BaseAlgorithm] = "PPO",
    *,
    steps: int = 100_000,
    num_envs: int = 64,
    horizon: int = 50,
    temperature: float = 0.5,
    penalty: float = 0.0,
    max_uncertainty: float | None = None,
    seed: int = 0,
    pool: StartPool | None = None,
    log: str | Path | None = None,
    evaluate_every: int | None = None,
    real_episodes: int = 5,
    on_rollout: Callable[[Any], None] | None = None,
    progress: bool = True,
    **settings: Any,
) -> BaseAlgorithm:
    """Train an algorithm of SB3 on the latents of a world, away from the real environment.

    With a `log` folder its dream and real returns are written side by side, before, during and
    after: scalars for TensorBoard, and `curve.json`. Evaluation does not change what is learnt.

    >>> model = train_in_dream(srvp_world.load(), "SAC", steps=50_000, log="runs/sac")
    >>> policy_from_sb3(model, srvp_world.load()).save("agent.safetensors")

    Args:
        world: With a reward head.
        algorithm: PPO, A2C, SAC (boxes only) or DQN (discrete only); name or class.
        steps: Dream steps, over all environments.
        num_envs: Dreams side by side.
        horizon: Steps of a dream; short ones cover more starts and stay close to the data.
        temperature: Factor of the prior's standard deviation in the dreams; calmer dreams than the
            world's own gave better agents in the few trials on Pendulum-v1 that chose it.
        penalty: What uncertainty costs, in deviations of the data's rewards for each unit above 1.
        max_uncertainty: Dreams whose step is more uncertain than this are cut.
        seed: Of the policy and of the dreams.
        pool: Start states, by default those of the world's own clips.
        log: Folder for returns; None measures and writes nothing.
        evaluate_every: Dream steps between two evaluations; None evaluates at begin and end only.
        real_episodes: Real episodes of each evaluation, always of the same seeds; 0 for none.
        on_rollout: Called with the model after each rollout.
        progress: Whether to show a bar.
        settings: Arguments of the algorithm that replace ours.

    Raises:
        UnknownNameError: For other algorithms.
        ConfigError: For an algorithm that does not take the world's actions, settings that it does
            not have or refuses, a world without rewards, and numbers that make no training.
        OutputError: If the folder cannot be written.
    """
    _check_steps(steps, log, evaluate_every)
    model = prepare(
        world,
        algorithm,
        num_envs=num_envs,
        horizon=horizon,
        temperature=temperature,
        penalty=penalty,
        max_uncertainty=max_uncertainty,
        seed=seed,
        pool=pool,
        **settings,
    )
    with ExitStack() as opened:
        name = type(model).__name__
        title = f"{name} in the dream"
        bar = opened.enter_context(tqdm(total=steps, unit="step", desc=title, disable=not progress))
        callbacks: list[BaseCallback] = [_Progress(bar, on_rollout)]
        if log is not None:
            about = {"algorithm": name, "seed": seed, "num_envs": num_envs, "horizon": horizon}
            curve = LearningCurve(
                Path(log), world, pool=pool, real_episodes=real_episodes, about=about
            )
            opened.enter_context(closing(curve))
            callbacks.append(_Evaluation(curve, evaluate_every))
        model.learn(steps, callback=callbacks)
    return model


def prepare(
    world: World,
    algorithm: str | type[BaseAlgorithm],
    *,
    num_envs: int,
    horizon: int,
    temperature: float,
    penalty: float,
    max_uncertainty: float | None,
    seed: int = 0,
    pool: StartPool | None = None,
    **settings: Any,
) -> BaseAlgorithm:
    """Make what `train_in_dream` trains: an algorithm of SB3 on the dream, with nothing learnt yet.

    Raises:
        UnknownNameError: For other algorithms.
        ConfigError: As `train_in_dream`.
    """
    name = _which(algorithm)
    check_seed(seed)
    _check_world(name, world)
    kind = ALGORITHMS[name]
    check_settings(kind, settings, fixed=("policy", "env", "seed"))
    rewards = world.model.reward_normaliser
    if is_number(penalty):  # else the dream says what it wants
        penalty *= float(rewards.std)
    dream = DreamVecEnv(
        num_envs,
        world,
        obs="latent",
        horizon=horizon,
        temperature=temperature,
        penalty=penalty,
        max_uncertainty=max_uncertainty,
        pool=pool,
        reward_scale=1.0 / float(rewards.size),
    )
    chosen = {"device": "cpu", **SETTINGS[name], **settings}
    model = build(kind, "MlpPolicy", dream, seed=seed, **chosen)
    if isinstance(model, OnPolicyAlgorithm):
        dream.bootstrap_with(model)
    return model


def _which(algorithm: str | type[BaseAlgorithm]) -> str:
    """Give the name of an algorithm that is named or given as a class."""
    if isinstance(algorithm, str):
        name = algorithm.upper()
    else:
        name = next((n for n, kind in ALGORITHMS.items() if kind is algorithm), repr(algorithm))
    if name not in ALGORITHMS:
        raise UnknownNameError(
            f"no algorithm {algorithm!r} to train in dreams: {did_you_mean(name, ALGORITHMS)} "
            "(others can learn on envs.sb3.DreamVecEnv)"
        )
    return name


def _check_world(name: str, world: World) -> None:
    """Refuse worlds in which there is nothing to do or to earn."""
    if world.action is None:
        raise ConfigError(
            "this world takes no actions: to steer its innovations, learn on "
            "DreamVecEnv(actions='noise', reward_fn=...)"
        )
    if world.action.kind not in KINDS[name]:
        others = [other for other, kinds in KINDS.items() if world.action.kind in kinds]
        raise ConfigError(
            f"{name} does not take the world's actions, {world.action.space}: use "
            f"{' or '.join(others)}"
        )
    if not world.model.has_reward:
        raise ConfigError(
            "this world predicts no rewards: learn it from data with rewards, or learn on "
            "DreamVecEnv(reward_fn=...)"
        )


def _check_steps(steps: int, log: str | Path | None, evaluate_every: int | None) -> None:
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, got {steps}")
    if evaluate_every is None:
        return
    if evaluate_every < 1:
        raise ConfigError(f"evaluate_every must be at least 1 step, got {evaluate_every}")
    if log is None:
        raise ConfigError(f"evaluate_every={evaluate_every} needs a folder: give log as well")


class _Progress(BaseCallback):
    """Moves a bar and passes the model on after each rollout."""

    def __init__(self, bar: "tqdm[Any]", on_rollout: Callable[[Any], None] | None):
        super().__init__()
        self._bar, self._on_rollout = bar, on_rollout

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        returns = [episode["r"] for episode in self.model.ep_info_buffer or []]
        if returns:
            mean = sum(returns) / len(returns)
            self._bar.set_postfix_str(f"return {mean:.1f} a dream", refresh=False)
        self._bar.update(min(self.num_timesteps, self._bar.total) - self._bar.n)
        if self._on_rollout is not None:
            self._on_rollout(self.model)


class _Evaluation(BaseCallback):
    """Scores the policy before it learns, every so many steps, and at the end."""

    def __init__(self, curve: LearningCurve, every: int | None):
        super().__init__()
        self._curve, self._every = curve, every
        self._next: float = 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:  # when the last rollout has been learnt from
        if self.model.num_timesteps >= self._next:
            self._score()

    def _on_training_end(self) -> None:
        self._score()

    def _score(self) -> None:
        steps = self.model.num_timesteps
        self._curve.score(policy_from_sb3(self.model, self._curve.world), steps)
        self._next = math.inf if self._every is None else (steps // self._every + 1) * self._every
