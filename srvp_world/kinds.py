"""The kinds of models that worlds are made of."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import nn

from srvp_world.baselines.svg import SVG
from srvp_world.baselines.svg_config import SVGConfig
from srvp_world.baselines.svg_sampling import SVGFutures
from srvp_world.config import ModelConfig, from_json
from srvp_world.model.normaliser import Normaliser
from srvp_world.model.sampling import Futures
from srvp_world.model.srvp import SRVP
from srvp_world.world import Trainable, WorldModel

AnyConfig = ModelConfig | SVGConfig


class Network(WorldModel[Any], Trainable, Protocol):
    """What a world holds: a model of any kind, which is an `nn.Module`, too."""

    @property
    def config(self) -> AnyConfig:
        """Its shape."""
        ...

    @property
    def reward_normaliser(self) -> Normaliser:
        """Statistics of the rewards that it learnt from, where it predicts rewards."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Parameters and buffers by name."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters by name."""
        ...

    def to(self, device: torch.device) -> Self:
        """Move it to a device."""
        ...


class Kind(NamedTuple):
    """A kind of model.

    Attributes:
        config: Of its shape.
        network: Builds it from its configuration and a `seed`.
        futures: Makes what draws many futures of clips of it; see `benchmark.video.VideoModel`.
    """

    config: type[AnyConfig]
    network: Callable[..., SRVP | SVG]
    futures: Callable[..., Any]


KINDS = {"srvp": Kind(ModelConfig, SRVP, Futures), "svg": Kind(SVGConfig, SVG, SVGFutures)}


def kind_of(config: AnyConfig) -> str:
    """Give the name of the kind that a configuration is of."""
    return next(name for name, kind in KINDS.items() if type(config) is kind.config)


def read_config(kind: str, data: Mapping[str, Any]) -> AnyConfig:
    """Build the configuration of a kind from its JSON.

    Raises:
        ConfigError: For unknown or missing fields and for values of another type.
    """
    return from_json(KINDS[kind].config, data)
