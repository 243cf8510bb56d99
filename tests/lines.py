"""Worlds on a line, whose best policies are known: a point that is driven, and a chain of cells."""

import torch
from oracle import Count, counting_world
from torch import Tensor

from srvp_world.checkpoint import World
from srvp_world.envs.starts import StartPool
from srvp_world.model.normaliser import Normaliser
from srvp_world.spaces import ActionSpec
from srvp_world.world import Prediction

PUSH = ActionSpec(kind="box", shape=(1,), low=(-0.5,), high=(0.5,))
WALK = ActionSpec(kind="discrete", nvec=(3,))  # to the left, stay, to the right


class Line:
    """Shows where on a line it is. There is noise to draw, but it moves nothing."""

    frame_shape = (1, 32, 32)
    noise_dim = start_noise_dim = feature_dim = fewest_rows = 1
    vector_dim = 0
    has_reward = has_continuation = True
    has_uncertainty = False
    device = torch.device("cpu")

    def __init__(self, action: ActionSpec):
        self.action = action
        self.reward_normaliser = Normaliser(1)

    def features(self, state: Count) -> Tensor:
        return state.number[:, None]

    def state_dict(self) -> dict[str, Tensor]:
        return {"none": torch.zeros(1)}

    def step(self, state: Count, action: Tensor, **_: object) -> tuple[Count, Prediction]:
        arrival = self.move(state.number, action)
        return Count(arrival), Prediction(self.reward(arrival), self.going_on(arrival))

    def going_on(self, arrival: Tensor) -> Tensor | None:
        return None


class Point(Line):
    """Moves by its action, and pays the square of its distance from the origin."""

    def __init__(self) -> None:
        super().__init__(PUSH)

    def move(self, number: Tensor, action: Tensor) -> Tensor:
        return number + action[:, 0]

    def reward(self, arrival: Tensor) -> Tensor:
        return -arrival.square()


class Chain(Line):
    """Cells 0 to 5. The last pays 1 and ends it; the first pays a little, for ever."""

    def __init__(self, little: float = 0.02) -> None:
        super().__init__(WALK)
        self.little = little

    def move(self, number: Tensor, action: Tensor) -> Tensor:
        return (number + action - 1).clamp(0, 5)

    def reward(self, arrival: Tensor) -> Tensor:
        return (arrival == 5).float() + self.little * (arrival == 0)

    def going_on(self, arrival: Tensor) -> Tensor:
        return (arrival != 5).float()


def world_of(model: Line, starts: Tensor) -> tuple[World, StartPool]:
    """Make a world whose dreams begin at these places (n,)."""
    clips = counting_world(0).starts
    return World(model, clips, episode_length=10), StartPool(Count(starts), torch.arange(1))


def play(model: Line, starts: Tensor, act, steps: int) -> Tensor:
    """Give the returns (n,) of `act` on features (n, d), up to each row's end."""
    state, total, alive = Count(starts), torch.zeros(len(starts)), torch.ones(len(starts))
    for _ in range(steps):
        state, (reward, going) = model.step(state, act(model.features(state)))
        total = total + alive * reward
        alive = alive if going is None else alive * going
    return total
