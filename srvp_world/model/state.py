"""SRVP's state: what moves is stored per row; what rests lies in a bank; a row has its index."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from srvp_world.errors import StateError
from srvp_world.model.dynamics import Context
from srvp_world.model.gaussian import Gaussian
from srvp_world.model.inference import Memory


@dataclass(frozen=True, eq=False)
class ContentBank:
    """Content of n clips, shared and never copied by all states that descend from them.

    Attributes:
        w: (n, inference_hidden).
        skips: Maps (n, c, h, w) for the decoder, coarsest first; empty if the model has no skips.
    """

    w: Tensor
    skips: tuple[Tensor, ...] = ()

    @classmethod
    def cat(cls, banks: Sequence["ContentBank"]) -> "ContentBank":
        """Join banks row after row."""
        skips = tuple(torch.cat(maps) for maps in zip(*(bank.skips for bank in banks), strict=True))
        return cls(torch.cat([bank.w for bank in banks]), skips)

    def map(self, move: Callable[[Tensor], Tensor]) -> "ContentBank":
        """Move all tensors; the bank stays itself, and shared, where there is nothing to do."""
        w, skips = move(self.w), tuple(move(maps) for maps in self.skips)
        same = w is self.w and all(new is old for new, old in zip(skips, self.skips, strict=True))
        return self if same else ContentBank(w, skips)


@dataclass(frozen=True, eq=False)
class SRVPState:
    """A batch of latent states; see `world.State` for the verbs.

    Attributes:
        y: (b, state_dim).
        bank: Contents of the clips that the rows come from.
        slot: (b,) long, each row's place in the bank.
        memory: The filter's memory (b, inference_hidden) twice; None once a state was imagined.
    """

    y: Tensor
    bank: ContentBank
    slot: Tensor
    memory: Memory | None = None

    @property
    def batch_size(self) -> int:
        """Number of rows."""
        return self.y.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the state lies."""
        return self.y.device

    @property
    def w(self) -> Tensor:
        """Content of each row, (b, inference_hidden)."""
        return self.bank.w[self.slot]

    @property
    def skips(self) -> list[Tensor] | None:
        """Maps of each row for the decoder, gathered from the bank on demand."""
        return [maps[self.slot] for maps in self.bank.skips] or None

    def where(self, mask: Tensor, other: Self) -> Self:
        """Take row i of self where `mask[i]`, else row i of other; memory survives if both have it.

        Raises:
            StateError: If the states have different numbers of rows.
        """
        b = self.batch_size
        if other.batch_size != b:
            raise StateError(
                f"cannot mix states of {b} and {other.batch_size} rows: index one of them first"
            )
        left, right = self, other
        if self.bank is not other.bank:
            joined, rows = self.cat([self, other]), torch.arange(2 * b, device=self.device)
            left, right = joined.index(rows[:b]), joined.index(rows[b:])
        column = mask[:, None]
        memory = None
        if left.memory and right.memory:
            (h, c), (other_h, other_c) = left.memory, right.memory
            memory = torch.where(column, h, other_h), torch.where(column, c, other_c)
        slot = torch.where(mask, left.slot, right.slot)
        return replace(left, y=torch.where(column, left.y, right.y), slot=slot, memory=memory)

    def index(self, rows: Tensor) -> Self:
        """Take rows by a (n,) long or (b,) bool tensor."""
        memory = self.memory and (self.memory[0][rows], self.memory[1][rows])
        return replace(self, y=self.y[rows], slot=self.slot[rows], memory=memory)

    def repeat(self, times: int) -> Self:
        """Repeat each row `times` times, next to each other."""
        rows = torch.arange(self.batch_size, device=self.device)
        return self.index(rows.repeat_interleave(times))

    def detach(self) -> Self:
        """Cut the state off the graph."""
        return self._map(lambda tensor: tensor.detach() if tensor.requires_grad else tensor)

    def to(self, device: torch.device | str) -> Self:
        """Move the state and its bank to a device."""
        return self._map(lambda tensor: tensor.to(device))

    @classmethod
    def cat(cls, states: Sequence[Self]) -> Self:
        """Join states row after row; memory survives if all have it."""
        offsets: dict[ContentBank, int] = {}
        total = 0
        for state in states:
            if state.bank not in offsets:
                offsets[state.bank] = total
                total += state.bank.w.shape[0]
        banks = list(offsets)
        bank = banks[0] if len(banks) == 1 else ContentBank.cat(banks)
        slot = torch.cat([state.slot + offsets[state.bank] for state in states])
        memories = [state.memory for state in states if state.memory]
        memory = None
        if len(memories) == len(states):
            memory = torch.cat([h for h, _ in memories]), torch.cat([c for _, c in memories])
        return cls(torch.cat([state.y for state in states]), bank, slot, memory)

    def compact(self) -> Self:
        """Drop content that no row refers to, so that states that are joined again do not grow."""
        used, slot = torch.unique(self.slot, return_inverse=True)
        bank = ContentBank(self.bank.w[used], tuple(maps[used] for maps in self.bank.skips))
        return replace(self, bank=bank, slot=slot)

    def forget(self) -> Self:
        """Drop the filter's memory, which only `observe` needs."""
        return replace(self, memory=None)

    def imagined(self, y: Tensor) -> Self:
        """Follow the state by an imagined one: same content, no memory to observe with."""
        return type(self)(y, self.bank, self.slot)

    def _map(self, move: Callable[[Tensor], Tensor]) -> Self:
        memory = self.memory and (move(self.memory[0]), move(self.memory[1]))
        return replace(
            self, y=move(self.y), bank=self.bank.map(move), slot=move(self.slot), memory=memory
        )


@dataclass(frozen=True, eq=False)
class Inference:
    """What the posterior says of b clips of t frames.

    Attributes:
        y: (b, t, state_dim) states at whole times.
        substates: (b, (t - 1) * substeps, state_dim) states after each Euler step.
        residuals: (b, (t - 1) * substeps, state_dim) of each Euler step.
        z: (b, t - 1, innovation_dim).
        q_y1: q(y_1 | x_1..x_k).
        q_z: Posterior of z_2..z_t, (b, t - 1, innovation_dim).
        p_z: Prior of the same.
        codes: (b, t, code_dim).
        content: Of the b clips.
        context: Encoded actions (b, t - 1, ...) and content of the transitions.
        memory: Of the filter after the last frame.
    """

    y: Tensor
    substates: Tensor
    residuals: Tensor
    z: Tensor
    q_y1: Gaussian
    q_z: Gaussian
    p_z: Gaussian
    codes: Tensor
    content: ContentBank
    context: Context
    memory: Memory

    @property
    def last(self) -> SRVPState:
        """The state at the last frame, from which one may step or observe."""
        slot = torch.arange(self.y.shape[0], device=self.y.device)
        return SRVPState(self.y[:, -1], self.content, slot, self.memory)
