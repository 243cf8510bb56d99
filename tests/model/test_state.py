"""The verbs of a state are those of its tensors, and banks are shared."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from worlds import random_actions, random_frames, tiny_model

from srvp_world.errors import StateError
from srvp_world.model.srvp import SRVP
from srvp_world.model.state import SRVPState
from srvp_world.world import Observation


@pytest.fixture(scope="module")
def model() -> SRVP:
    return tiny_model("box", skips=True).requires_grad_(False)


def encode(model: SRVP, b: int, seed: int) -> SRVPState:
    frames, actions = random_frames(b, 3, model, seed), random_actions(model.action, b, 2, seed)
    return model.encode(Observation(frames), actions, sample=False)


def tensors(state: SRVPState) -> list[Tensor]:
    """Everything that a row of a state stands for, with no bank."""
    return [state.y, state.w, *state.skips, *(state.memory or ())]


def same(state: SRVPState, expected: list[Tensor]) -> None:
    torch.testing.assert_close(tensors(state), expected, rtol=0, atol=0)


ROWS = [
    torch.tensor([2, 0, 2, 3]),
    torch.tensor([True, False, False, True]),
    torch.tensor([], dtype=torch.long),
]


@pytest.mark.parametrize("rows", ROWS, ids=["long", "bool", "empty"])
def test_index(model: SRVP, rows: Tensor):
    state = encode(model, 4, 0)
    chosen = state.index(rows)
    same(chosen, [tensor[rows] for tensor in tensors(state)])
    assert chosen.bank is state.bank
    assert chosen.batch_size == len(chosen.y)


def test_repeat(model: SRVP):
    state = encode(model, 3, 0)
    repeated = state.repeat(2)
    same(repeated, [tensor.repeat_interleave(2, 0) for tensor in tensors(state)])
    assert repeated.bank is state.bank


def where_of(mask: Tensor, one: list[Tensor], two: list[Tensor]) -> list[Tensor]:
    return [
        torch.stack([a if m else b for m, a, b in zip(mask, x, y, strict=True)])
        for x, y in zip(one, two, strict=True)
    ]


@pytest.mark.parametrize("shared", [True, False])
def test_where(model: SRVP, shared: bool):
    whole = encode(model, 6, 0)
    one = whole.index(torch.tensor([4, 1, 5, 0]))
    two = whole.index(torch.tensor([2, 3, 0, 1])) if shared else encode(model, 4, 1)
    mask = torch.tensor([True, False, False, True])
    mixed = one.where(mask, two)
    same(mixed, where_of(mask, tensors(one), tensors(two)))
    assert (mixed.bank is whole.bank) == shared


@pytest.mark.parametrize("shared", [True, False])
def test_cat(model: SRVP, shared: bool):
    whole = encode(model, 6, 0)
    one, two = whole.index(torch.tensor([4, 1])), whole.index(torch.tensor([2, 3, 0]))
    other = whole if shared else encode(model, 3, 1)
    joined = SRVPState.cat([one, other, two])
    parts = zip(tensors(one), tensors(other), tensors(two), strict=True)
    same(joined, [torch.cat(part) for part in parts])
    assert (joined.bank is whole.bank) == shared
    assert len(joined.bank.w) == (6 if shared else 9), "a bank that occurs twice is joined once"


def test_states_of_different_sizes_do_not_mix(model: SRVP):
    with pytest.raises(StateError, match="4 and 3 rows"):
        encode(model, 4, 0).where(torch.ones(4, dtype=torch.bool), encode(model, 3, 0))


def test_memory_survives_only_where_every_row_has_it(model: SRVP):
    state = encode(model, 3, 0)
    imagined = state.imagined(state.y + 1)
    mask = torch.tensor([True, False, True])
    assert state.memory is not None
    assert imagined.memory is None
    assert state.where(mask, state).memory is not None
    assert state.where(mask, imagined).memory is None
    assert imagined.where(mask, state).memory is None
    assert SRVPState.cat([state, imagined]).memory is None
    assert SRVPState.cat([state, state]).memory is not None
    assert imagined.index(mask).repeat(2).detach().memory is None
    assert imagined.bank is state.bank


VERBS: list[Callable[[SRVPState], SRVPState]] = [lambda x: x.detach(), lambda x: x.to("cpu")]


@pytest.mark.parametrize("verb", VERBS, ids=["detach", "to"])
def test_moving_nothing_keeps_the_bank(model: SRVP, verb: Callable[[SRVPState], SRVPState]):
    state = encode(model, 3, 0)
    moved = verb(state)
    same(moved, tensors(state))
    assert moved.bank is state.bank


def test_detach_cuts_the_graph():
    trained = tiny_model("box", skips=True)
    state = encode(trained, 3, 0)
    assert all(tensor.requires_grad for tensor in tensors(state))
    cut = state.detach()
    assert not any(tensor.requires_grad for tensor in tensors(cut))
    same(cut, [tensor.detach() for tensor in tensors(state)])


def test_to_moves_everything(model: SRVP):
    moved = encode(model, 3, 0).to("meta")
    assert moved.device.type == "meta"
    assert {tensor.device.type for tensor in tensors(moved)} == {"meta"}


def test_the_state_alone_determines_what_follows(model: SRVP):
    """Branches of a state do not know of each other."""
    state, action = encode(model, 3, 0), random_actions(model.action, 3, 1)[:, 0]
    noise = torch.zeros(3, model.noise_dim)
    before = [tensor.clone() for tensor in tensors(state)]
    one = model.step(state, action, noise=noise)[0]
    model.step(model.step(state, -action, noise=noise + 1)[0], action, noise=noise)
    model.observe(state, Observation(random_frames(3, 1, model)[:, 0]), action)
    same(state, before)
    assert torch.equal(model.step(state, action, noise=noise)[0].y, one.y)
