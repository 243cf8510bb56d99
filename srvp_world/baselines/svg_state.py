"""SVG's state: the frame that it goes on from, and the memories of its three LSTMs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from srvp_world.errors import StateError
from srvp_world.model.state import ContentBank

_MOVING = ("frame", "predictor", "prior", "posterior")


@dataclass(frozen=True, eq=False)
class SVGState:
    """A batch of states; see `world.State` for the verbs.

    Memories are (b, layers, 2, recurrent_hidden): hidden and cell state of each LSTM.

    Attributes:
        frame: (b, c, h, w), the one that was watched or imagined last.
        predictor: Memory of the frame predictor, before it knows what follows `frame`.
        prior: Memory of the prior, which has not seen `frame` yet.
        bank: Maps for the decoder, of the clips that the rows come from; there is no w.
        slot: (b,) long, each row's place in the bank.
        posterior: Memory of the posterior; None once a state was imagined.
    """

    frame: Tensor
    predictor: Tensor
    prior: Tensor
    bank: ContentBank
    slot: Tensor
    posterior: Tensor | None = None

    @property
    def batch_size(self) -> int:
        """Number of rows."""
        return self.frame.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the state lies."""
        return self.frame.device

    @property
    def skips(self) -> list[Tensor]:
        """Maps of each row for the decoder, gathered from the bank on demand."""
        return [maps[self.slot] for maps in self.bank.skips]

    def where(self, mask: Tensor, other: Self) -> Self:
        """Take row i of self where `mask[i]`, else row i of other; see `cat` for the memories.

        Raises:
            StateError: If the states have different numbers of rows.
        """
        b = self.batch_size
        if other.batch_size != b:
            raise StateError(
                f"cannot mix states of {b} and {other.batch_size} rows: index one of them first"
            )
        rows = torch.arange(b, device=self.device)
        return self.cat([self, other]).index(torch.where(mask, rows, rows + b))

    def index(self, rows: Tensor) -> Self:
        """Take rows by a (n,) long or (b,) bool tensor."""
        return self._with(lambda tensor: tensor[rows], self.bank)

    def repeat(self, times: int) -> Self:
        """Repeat each row `times` times, next to each other."""
        rows = torch.arange(self.batch_size, device=self.device)
        return self.index(rows.repeat_interleave(times))

    @classmethod
    def cat(cls, states: Sequence[Self]) -> Self:
        """Join states row after row; what only watching needs survives if all have it."""
        offsets: dict[ContentBank, int] = {}
        total = 0
        for state in states:
            if state.bank not in offsets:
                offsets[state.bank] = total
                total += len(state.bank.w)
        banks = list(offsets)
        watching = all(state.posterior is not None for state in states)
        names = _MOVING if watching else _MOVING[:-1]
        return cls(
            **{name: torch.cat([getattr(state, name) for state in states]) for name in names},
            bank=banks[0] if len(banks) == 1 else ContentBank.cat(banks),
            slot=torch.cat([state.slot + offsets[state.bank] for state in states]),
        )

    def compact(self) -> Self:
        """Drop maps that no row refers to, so that states that are joined again do not grow."""
        used, slot = torch.unique(self.slot, return_inverse=True)
        return replace(self, bank=self.bank.map(lambda maps: maps[used]), slot=slot)

    def forget(self) -> Self:
        """Drop the posterior's memory, which only `observe` needs."""
        return replace(self, posterior=None)

    def detach(self) -> Self:
        """Cut the state off the graph."""
        return self._map(lambda tensor: tensor.detach() if tensor.requires_grad else tensor)

    def to(self, device: torch.device | str) -> Self:
        """Move the state and its bank to a device."""
        return self._map(lambda tensor: tensor.to(device))

    def _map(self, move: Callable[[Tensor], Tensor]) -> Self:
        return self._with(move, self.bank.map(move))

    def _with(self, change: Callable[[Tensor], Tensor], bank: ContentBank) -> Self:
        """Change every tensor that has a row for each state, and take a bank."""
        return replace(
            self,
            frame=change(self.frame),
            predictor=change(self.predictor),
            prior=change(self.prior),
            posterior=None if self.posterior is None else change(self.posterior),
            slot=change(self.slot),
            bank=bank,
        )
