"""Worlds behind the protocol of which the best plans are known."""

import torch
from oracle import Count
from torch import Tensor

from srvp_world.spaces import ActionSpec
from srvp_world.world import Prediction

BOX = ActionSpec(kind="box", shape=(2,), low=(-3.0, -1.0), high=(3.0, 2.0))
UNIT = ActionSpec(kind="box", shape=(1,), low=(-1.0,), high=(1.0,))
BIT = ActionSpec(kind="discrete", nvec=(2,))


class Toy:
    """What all of them share: a state of numbers (b, ...), rewards, and nothing else."""

    frame_shape = (1, 32, 32)
    noise_dim = start_noise_dim = feature_dim = fewest_rows = 1
    vector_dim = 0
    has_reward = True
    has_continuation = has_uncertainty = False
    device = torch.device("cpu")
    action = UNIT

    def features(self, state: Count) -> Tensor:
        return state.number.reshape(state.batch_size, -1)


class Quadratic(Toy):
    """x' = A x + B a costs |x' - goal|^2 + price |a|^2; a state is x and goal side by side."""

    action = BOX
    price = 0.1

    def __init__(self):
        self.a = torch.tensor([[1.0, 0.4], [-0.2, 0.9]])
        self.b = torch.tensor([[0.3, -0.5], [0.6, 0.4]])

    def step(self, state: Count, action: Tensor, **_: object) -> tuple[Count, Prediction]:
        x, goal = state.number.split(2, dim=1)
        # Sums of products, not matrix products, whose rounding depends on the size of the batch.
        x = (x[:, None] * self.a).sum(-1) + (action[:, None] * self.b).sum(-1)
        cost = (x - goal).square().sum(1) + self.price * action.square().sum(1)
        return Count(torch.cat([x, goal], dim=1)), Prediction(-cost, None)

    def best(self, state: Count, horizon: int, gamma: float) -> tuple[Tensor, Tensor]:
        """Solve for the best actions (b, t, 2), and what they are worth (b,)."""
        a, b = self.a.double(), self.b.double()
        power = [torch.linalg.matrix_power(a, k) for k in range(horizon + 1)]
        rows = [
            torch.cat([power[t - s] @ b if s <= t else 0 * b for s in range(horizon)], dim=1)
            for t in range(horizon)
        ]
        reach = torch.cat(rows)  # x_{t+1} for all t, from all actions
        discount = (gamma ** torch.arange(horizon).double()).repeat_interleave(2)
        normal = reach.T @ (discount[:, None] * reach) + self.price * discount.diag()
        sequences, values = [], []
        for x, goal in zip(*state.number.double().split(2, dim=1), strict=True):
            gap = goal.repeat(horizon) - torch.cat([power[t + 1] @ x for t in range(horizon)])
            u = torch.linalg.solve(normal, reach.T @ (discount * gap))
            cost = (gap - reach @ u).square() + self.price * u.square()
            sequences.append(u.reshape(horizon, 2))
            values.append(-(discount * cost).sum())
        return torch.stack(sequences).float(), torch.stack(values).float()


class Lock(Toy):
    """A chain of places, 1 for each time that all choices fit the code of the row and the place.

    A state is (place, key); a choice that fits leads on, one that does not leads back to place 0.
    Only who makes it to the last place is paid, and a crumb lies at place 0.
    """

    def __init__(self, action: ActionSpec, places: int = 3):
        self.action, self.places = action, places

    def code(self, place: Tensor, key: Tensor) -> Tensor:
        """Give the choices (b, k) that lead on."""
        component = torch.arange(len(self.action.nvec))
        mixed = place[:, None] * (component + 2) + key[:, None] * (component + 1)
        return mixed.long() % torch.tensor(self.action.nvec)

    def step(self, state: Count, action: Tensor, **_: object) -> tuple[Count, Prediction]:
        place, key = state.number.unbind(1)
        chosen = action[:, None] if self.action.kind == "discrete" else action
        fits = (chosen == self.code(place, key)).all(1)
        place = torch.where(fits, (place + 1).clamp(max=self.places), 0)
        reward = (place == self.places) + 0.1 * (place == 0)
        return Count(torch.stack([place, key], dim=1)), Prediction(reward, None)


class Cliff(Toy):
    """A walk on a line; every step pays 1, and beyond `edge` the episode ends."""

    has_continuation = True
    action = BIT
    edge = 3

    def __init__(self, pays: bool = True):
        self.has_reward = pays

    def step(self, state: Count, action: Tensor, **_: object) -> tuple[Count, Prediction]:
        place = state.number + 2 * action - 1
        reward = torch.ones_like(place) if self.has_reward else None
        return Count(place), Prediction(reward, (place <= self.edge).float())


class Clock(Toy):
    """Counts steps; pays the action on the step that arrives at `payday`, and ends at `end`."""

    has_continuation = True
    action = BIT

    def __init__(self, payday: int, end: int = 99, going_on: float = 1.0):
        self.payday, self.end, self.going_on = payday, end, going_on

    def step(self, state: Count, action: Tensor, **_: object) -> tuple[Count, Prediction]:
        number = state.number + 1
        continuation = torch.where(number == self.end, 0.0, self.going_on)
        return Count(number), Prediction((number == self.payday) * action.float(), continuation)


class Chance(Toy):
    """Pays the action times the innovation; the more it does, the less it knows."""

    has_uncertainty = True

    def step(
        self, state: Count, action: Tensor, *, noise: Tensor, temperature: float, **_: object
    ) -> tuple[Count, Prediction]:
        return state, Prediction(action[:, 0] * temperature * noise[:, 0], None)

    def uncertainty(self, state: Count, action: Tensor) -> Tensor:
        return 1 + action[:, 0].abs()


class Fragile(Toy):
    """Pays the action, but what is worth more than a half breaks the dream."""

    def __init__(self, broken: float):
        self.broken = broken

    def step(self, state: Count, action: Tensor, **_: object) -> tuple[Count, Prediction]:
        pay = action[:, 0]
        return state, Prediction(torch.where(pay > 0.5, self.broken, pay), None)


class Cart(Toy):
    """A mass on a line, (place, speed), pushed by at most 1; pays -place^2, and ends nowhere."""

    def step(self, state: Count, action: Tensor, **_: object) -> tuple[Count, Prediction]:
        place, speed = state.number.unbind(1)
        speed = speed + 0.2 * action[:, 0]
        place = place + 0.2 * speed
        return Count(torch.stack([place, speed], dim=1)), Prediction(-place.square(), None)
