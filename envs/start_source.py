"""Where each dream begins: drawn from a pool of states whose frames are decoded once."""

import torch
from torch import Tensor

from srvp_world.checkpoint import World
from srvp_world.envs.noise import Draw
from srvp_world.envs.starts import StartPool, start_pool
from srvp_world.envs.view import Shown, View
from srvp_world.errors import ConfigError
from srvp_world.world import State

_SHOWN_AT_MOST = 1024  # start states; larger pools are not decoded before they are needed
_SHOWN_AT_ONCE = 64  # start states; more would not be decoded faster


class StartSource:
    """Draws start states: of any age (`data`), of age 0 (`first`), or from the `prior`."""

    def __init__(self, world: World, kind: str, pool: StartPool | None):
        """Draw from a pool, or from the world's own start clips.

        Raises:
            ConfigError: If the pool is of another world.
        """
        self.kind = kind
        self._model = world.model
        states, first = (pool or start_pool(world)).to(world.device)
        try:
            self._model.features(states.index(first[:1]))
        except (RuntimeError, AttributeError):  # other sizes, or another kind
            raise ConfigError(
                "the pool is of another world: watch clips with this one's model"
            ) from None
        self._own = self.pool = StartPool(states.forget(), first)  # less to copy at each start
        self._shown: Shown | None = None
        self.normals = self._model.start_noise_dim if kind == "prior" else 0  # for each start

    def draw(self, draw: Draw) -> tuple[State, Tensor]:
        """Choose a state for each row by its normal and its first uniform numbers.

        Returns:
            The states, and their places in the pool (n,).
        """
        normal, uniform = draw
        rows = self.pool.first if self.kind == "first" else None
        count = self.pool.states.batch_size if rows is None else len(rows)
        place = (uniform[:, 0] * count).long()
        place = place if rows is None else rows[place]
        states = self.pool.states.index(place)
        if self.kind == "prior":
            states = self._model.prior_start(states, normal)
        return states, place

    def show(self, states: State, place: Tensor, obs: str) -> Shown:
        """Show states that were drawn, if the pool's are decoded already, for nothing."""
        many = self.pool.states.batch_size > _SHOWN_AT_MOST
        if self.kind == "prior" or obs == "latent" or many:
            return View(self._model, states).show(obs)
        if self._shown is None:
            everything = self.pool.states
            rows = torch.arange(everything.batch_size, device=place.device)
            parts = [
                View(self._model, everything.index(some)).show(obs)
                for some in torch.split(rows, _SHOWN_AT_ONCE)
            ]
            self._shown = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return {name: value[place] for name, value in self._shown.items()}

    def share(self, states: State) -> State:
        """Let the pool and other states, of which some are new, use one bank of content."""
        self.pool, shared = self._own.sharing(states)  # not of the last one, which would pile up
        return shared
