"""SB3 learns from (o_t, a_t, r_{t+1}, done_{t+1}, o_{t+1}), with numbers that are known."""

import numpy as np
import pytest
import torch
from diary import ACTION, AGE, CHOICES, OVER, TOTAL, Rules, record
from knowing import BOX, knowing_world
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback

from srvp_world.envs.sb3 import DreamVecEnv

ROWS, HORIZON, GAMMA = 4, 3, 0.9
RULES = Rules(length=5, delay=1)
MINUTES, LED, LEVEL = 0.5, 0.25, 2.0  # the value of a page is MINUTES age + LED action + LEVEL


@pytest.fixture(scope="module", params=["discrete", "box"])
def world(request, tmp_path_factory):
    data = record(tmp_path_factory.mktemp("data"), RULES.pixels, episodes=5)
    options = {"spec": BOX} if request.param == "box" else {}
    return knowing_world(RULES, data, horizon=HORIZON, **options)


def expect(pages: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the pages (t, n, 5) that actions (t, n) lead to, and the rewards on arrival."""
    after = RULES.turn(pages, actions)
    return after, (after - pages)[..., TOTAL]


def elapsed(ended: torch.Tensor) -> torch.Tensor:
    """Count the steps (t, n) since dreams began, the first of which are as young as the buffer."""
    count, counts = torch.zeros(ended.shape[1]), []
    for row in ended:
        count = count + 1
        counts.append(count)
        count = torch.where(row, 0, count)
    return torch.stack(counts)


def close(one, other):
    torch.testing.assert_close(torch.as_tensor(one).float(), other.float(), atol=0.05, rtol=0)


def test_replay_buffers(world):
    """Of an algorithm that has learnt for a while, and has drawn its own actions."""
    kind = DQN if world.action.kind == "discrete" else SAC
    env = DreamVecEnv(ROWS, world, obs="latent", reward_scale=0.5)
    options = {"buffer_size": 400, "learning_starts": 40, "batch_size": 8, "train_freq": 8}
    model = kind("MlpPolicy", env, seed=0, device="cpu", **options).learn(160)
    buffer = model.replay_buffer
    stop = buffer.pos
    pages, following = (
        torch.tensor(part[:stop]) for part in (buffer.observations, buffer.next_observations)
    )
    actions = torch.tensor(buffer.actions[:stop, :, 0]).float()
    if kind is SAC:  # which keeps them in [-1, 1]
        actions = (actions + 1) / 2 * (CHOICES - 1)
    after, rewards = expect(pages, actions)
    close(following, after)
    close(buffer.rewards[:stop], 0.5 * rewards)
    dones, timeouts = (torch.tensor(x[:stop]) > 0.5 for x in (buffer.dones, buffer.timeouts))
    over, cut = after[..., OVER] > 0.5, elapsed(dones) == HORIZON
    assert torch.equal(dones, over | cut)
    assert torch.equal(timeouts, cut & ~over)
    assert (over & cut).any() and (over & ~cut).any() and (cut & ~over).any()
    # The next observation of a step that ended none is what the next step begins with.
    close(pages[1:][~dones[:-1]], following[:-1][~dones[:-1]])
    assert (pages[1:][dones[:-1]][:, OVER] < 0.5).all()
    # Samples, which is what it learns from: bootstrapped but where the world itself ended.
    sample = buffer.sample(64)
    ended = sample.next_observations[:, OVER] > 0.5
    assert torch.equal(sample.dones[:, 0] > 0.5, ended)


class Keep(BaseCallback):
    """Copies a rollout before its training flattens it."""

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        buffer = self.model.rollout_buffer
        names = ("observations", "actions", "rewards", "episode_starts", "values", "returns")
        self.kept = {name: torch.tensor(getattr(buffer, name)).float() for name in names}
        self.last = torch.tensor(self.model._last_obs)


def value(pages: torch.Tensor) -> torch.Tensor:
    return MINUTES * pages[..., AGE] + LED * pages[..., ACTION] + LEVEL


@pytest.mark.parametrize("bootstrap", [True, False], ids=["ours", "sb3"])
def test_rollout_buffers(world, bootstrap):
    env = DreamVecEnv(ROWS, world, obs="latent")
    options = {"n_steps": 24, "batch_size": 48, "n_epochs": 1, "learning_rate": 0.0, "seed": 0}
    options |= {"gamma": GAMMA, "gae_lambda": 1.0, "policy_kwargs": {"net_arch": []}}
    model = PPO("MlpPolicy", env, device="cpu", **options)
    with torch.no_grad():
        critic = model.policy.value_net
        critic.weight.zero_()
        critic.weight[0, AGE], critic.weight[0, ACTION], critic.bias[0] = MINUTES, LED, LEVEL
    if bootstrap:
        env.bootstrap_with(model)
    keep = Keep()
    model.learn(ROWS * 24, callback=keep)
    pages, starts = keep.kept["observations"], keep.kept["episode_starts"] > 0.5
    actions = keep.kept["actions"][..., 0].clamp(0, CHOICES - 1)  # as the env is given them
    after, rewards = expect(pages, actions)
    begun = torch.cat([starts[1:], torch.tensor(model._last_episode_starts)[None]])
    over, cut = after[..., OVER] > 0.5, elapsed(begun) == HORIZON
    assert torch.equal(begun, over | cut)
    assert (over & cut).any() and (over & ~cut).any() and (cut & ~over).any()
    rewards = rewards + GAMMA * (cut & ~over) * value(after)
    close(keep.kept["rewards"], rewards)
    close(keep.kept["values"], value(pages))
    shown = torch.cat([pages[1:], keep.last[None]])
    close(shown[~begun], after[~begun])
    assert (shown[begun][:, OVER] < 0.5).all()
    returns = value(keep.last)
    for t in reversed(range(24)):
        returns = rewards[t] + GAMMA * returns * ~begun[t]
        close(keep.kept["returns"][t], returns)


def test_evaluating_a_model_of_sb3_sums_whole_dreams(world):
    """The summaries that end dreams are the sums of their own rewards."""
    env = DreamVecEnv(ROWS, world, obs="latent", start="first")
    pages = torch.tensor(env.reset())
    totals, lengths = np.zeros(ROWS), np.zeros(ROWS, int)
    for action in range(7):
        given = np.full((ROWS, *env.action_space.shape), action)
        after = RULES.turn(pages, torch.full((ROWS,), float(action)))
        totals += (after - pages)[:, TOTAL].numpy()
        lengths += 1
        shown, _, dones, infos = env.step(given)
        for i in np.flatnonzero(dones):
            assert infos[i]["episode"]["r"] == pytest.approx(totals[i], abs=0.05)
            assert infos[i]["episode"]["l"] == lengths[i]
        totals[dones] = lengths[dones] = 0
        pages = torch.tensor(shown)
