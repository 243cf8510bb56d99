"""What rollouts are worth: lambda-returns, and the scale that they come in.

Rows are rollouts and columns time, (b, h): in column t stands the state y_t where an action was
taken, its value, and the reward and continuation of the arrival that followed at y_{t+1}.

    value   v_0       v_1       v_2  = last_value
    state   y_0 -a_0-> y_1 -a_1-> y_2
    column     0: r, c   1: r, c
"""

import torch
from torch import Tensor, nn

_LOW, _HIGH = 0.05, 0.95
_RATE = 0.01


def lambda_returns(
    rewards: Tensor,
    continues: Tensor,
    values: Tensor,
    last_value: Tensor,
    gamma: float,
    lam: float,
) -> Tensor:
    """Mix the n-step returns of every length, as TD(lambda) does.

    R_t = r_t + gamma c_t ((1 - lam) v_{t+1} + lam R_{t+1}), and R_h = v_h. Less the values it is
    the generalised advantage.

    Args:
        rewards: (b, h) of the arrivals.
        continues: (b, h), 0 where the arrival ended the episode; a probability will do.
        values: (b, h) of the states that the actions were taken in; the first is not used.
        last_value: (b,) of the state at which the rollout was cut.
        gamma: Discount of a step.
        lam: 0 trusts the values after one step, 1 only the last.

    Returns:
        (b, h) returns of the states that the actions were taken in.
    """
    following = torch.cat([values[:, 1:], last_value[:, None]], dim=1)
    ahead, returns = last_value, []
    for t in range(rewards.shape[1] - 1, -1, -1):
        mixed = (1 - lam) * following[:, t] + lam * ahead
        ahead = rewards[:, t] + gamma * continues[:, t] * mixed
        returns.append(ahead)
    return torch.stack(returns[::-1], dim=1)


def survival(continues: Tensor) -> Tensor:
    """Give the probability (b, h) that an episode still runs when each action is taken."""
    alive = torch.cat([torch.ones_like(continues[:, :1]), continues[:, :-1]], dim=1)
    return alive.cumprod(dim=1)


class ReturnNormaliser(nn.Module):
    """Follows the spread of returns from their 5th to their 95th percentile, as DreamerV3's.

    An entropy bonus then weighs the same whatever an environment pays. Nothing waits for the
    device.
    """

    spread: Tensor
    weight: Tensor
    levels: Tensor

    def __init__(self) -> None:
        """Begin with nothing seen."""
        super().__init__()
        self.register_buffer("spread", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))
        self.register_buffer("levels", torch.tensor([_LOW, _HIGH]), persistent=False)

    @torch.no_grad()
    def update(self, returns: Tensor) -> None:
        """See returns (b, h) of one update."""
        low, high = torch.quantile(returns.flatten(), self.levels)
        self.spread.lerp_(high - low, _RATE)
        self.weight.lerp_(torch.ones_like(self.weight), _RATE)

    @property
    def scale(self) -> Tensor:
        """What to divide returns by: the mean spread so far, and never below 1.

        So returns that hardly differ, as those of the first updates or of sparse rewards, are not
        blown up.
        """
        return (self.spread / self.weight.clamp(min=_RATE)).clamp(min=1)
