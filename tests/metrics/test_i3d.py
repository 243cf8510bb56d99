import copy

import pytest
import torch

from srvp_world.metrics.i3d import CLASSES, I3D, SHORTEST, SIZE, pad_same


@pytest.fixture(scope="module")
def network() -> I3D:
    torch.manual_seed(0)
    network = I3D()
    for name, value in network.state_dict().items():  # so that what goes through keeps its size
        if name.endswith("running_var"):
            value.fill_(0.05)
    return network


def test_as_many_numbers_as_the_original_has(network: I3D) -> None:
    """12.7 million variables are in DeepMind's checkpoint; normalisation there has no scale."""
    variables = [
        value.numel()
        for name, value in network.state_dict().items()
        if not name.endswith(("norm.weight", "num_batches_tracked"))
    ]
    assert len(variables) == 230 and sum(variables) == 12_704_544
    assert sum(1 for name in network.state_dict() if "conv.weight" in name) == 57
    # A block's outputs are the next one's inputs.
    assert network.trunk.mixed_5c.branches[2][1].conv.weight.shape == (128, 48, 3, 3, 3)


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "before", "after"),
    [(64, 7, 2, 2, 3), (9, 7, 2, 3, 3), (5, 3, 1, 1, 1), (112, 3, 2, 0, 1), (3, 2, 2, 0, 1)]
    + [(4, 2, 2, 0, 0), (7, 1, 1, 0, 0), (1, 7, 2, 3, 3)],
)
def test_padding_is_that_of_tensorflow(n, kernel, stride, before, after) -> None:
    padded = pad_same(torch.ones(n), (kernel,), (stride,))
    assert padded.tolist() == before * [0.0] + n * [1.0] + after * [0.0]
    steps = (len(padded) - kernel) // stride + 1
    assert steps == -(-n // stride)


def test_padding_of_several_axes() -> None:
    padded = pad_same(torch.ones(2, 3, 5, 6, 4), (1, 3, 2), (1, 2, 2))
    assert padded.shape == (2, 3, 5, 7, 4)
    assert padded[..., -1, :].sum() == 0 and padded[..., 0, :].all()


def test_eight_frames_become_a_step_and_any_length_will_do(network: I3D) -> None:
    for frames in (9, 16, 17, 30, 40):
        found = network.trunk(torch.zeros(1, 3, frames, 16, 16))
        assert found.shape == (1, 1024, -(-frames // 8), 1, 1)


def test_time_is_convolved(network: I3D) -> None:
    """What happens eight frames later shows one step later, away from the ends."""
    torch.manual_seed(0)
    trunk = copy.deepcopy(network.trunk).double()  # rounding differs between lengths
    clip = torch.rand(1, 3, 8 * 30, 16, 16, dtype=torch.float64)
    whole, later = trunk(clip).squeeze(), trunk(clip[:, :, 8:]).squeeze()
    torch.testing.assert_close(later[:, 10:20], whole[:, 11:21])
    assert (whole[:, 11] - whole[:, 12]).abs().max() > 0.01


def test_the_shortest_clip_has_a_single_row_of_logits(network: I3D) -> None:
    with torch.no_grad():
        logits = network(torch.zeros(1, 3, SHORTEST, SIZE, SIZE))
    assert logits.shape == (1, CLASSES, 1) and logits.isfinite().all()
    with pytest.raises(AssertionError):
        network(torch.zeros(1, 3, SHORTEST - 1, SIZE, SIZE))


def test_normalisation_adds_a_thousandth_to_the_variance() -> None:
    """As in the graph of TF-Hub; some ports add 1e-5."""
    unit = I3D().trunk.conv3d_2b_1x1
    unit.conv.weight.copy_(torch.eye(64)[..., None, None, None])
    unit.norm.running_var.fill_(0.003)
    found = unit(torch.ones(1, 64, 1, 1, 1))
    torch.testing.assert_close(found, torch.full_like(found, 0.004**-0.5))


def test_it_stays_in_evaluation_mode_without_gradients(network: I3D) -> None:
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
