"""What is seen in observations of any layout: one image becomes the frame, flat keys the vector."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from einops import rearrange

from srvp_world.config import FRAME_SIZES, PixelConfig
from srvp_world.data.frame_format import FrameFormat
from srvp_world.data.info import DatasetInfo
from srvp_world.errors import ConfigError, DataError, did_you_mean
from srvp_world.spaces import ActionSpec

ALONE = "observation"  # the key of an observation that is no Dict
OWN_VECTOR = "vector"  # the key that our own observations have

Layouts = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]  # of one observation, by key

_DEFAULT_SIZE = 64
_SMALLEST = 8  # pixels; what is smaller is no image


@dataclass(frozen=True, kw_only=True)
class ExperienceConfig:
    """How observations become frames and vectors.

    Attributes:
        frame_size: Height and width of a frame; None keeps 32, 64 and 128, and makes 64 of others.
        channels: 1 makes grey, 3 colour; None keeps what there is.
        crop: (top, left, height, width) of the image to keep; None keeps all.
        image: Key of the image; None takes the only one that there is.
        vector: Keys of the numbers beside the frames, in this order; None takes `vector` where
            there is such a key, and () nothing.
        stack: Images that are stacked in the channels of one; the last, newest, is kept.
        pixels: How the images were made from a real env, where that is known.
    """

    frame_size: int | None = None
    channels: int | None = None
    crop: tuple[int, int, int, int] | None = None
    image: str | None = None
    vector: tuple[str, ...] | None = None
    stack: int = 1
    pixels: PixelConfig | None = None

    def __post_init__(self) -> None:
        """Refuse what no frame can be.

        Raises:
            ConfigError: Naming the value.
        """
        if self.stack < 1:
            raise ConfigError(f"stack must be at least 1, got {self.stack}")
        FrameFormat(self.frame_size or _DEFAULT_SIZE, self.channels or 1, self.crop)


@dataclass(frozen=True)
class ObservationFormat:
    """How the observations of one source become frames and vectors.

    Attributes:
        image: Key of the image.
        order: Its axes, such as `h w c`.
        frame: What the image is turned into.
        vector: Keys of the vector, joined in this order.
        vector_dim: Size of the vector.
        left_out: Keys that are not used.
        stack: Images in the channels of one.
    """

    image: str
    order: str
    frame: FrameFormat
    vector: tuple[str, ...]
    vector_dim: int
    left_out: tuple[str, ...]
    stack: int

    @classmethod
    def of(cls, layouts: Layouts, config: ExperienceConfig, what: str) -> "ObservationFormat":
        """Find image and vector.

        Args:
            layouts: Shape and dtype of one observation, by key.
            config: What is wanted.
            what: How errors name the source.

        Raises:
            DataError: Where there is no image, more than one, one of another dtype or shape, or a
                vector key that is none.
        """
        image = _image_key(layouts, config.image, what)
        shape = layouts[image][0]
        order, channels = _order(shape, config.stack, f"{what}: {image!r}")
        height, width = (shape[order.split().index(axis)] for axis in "hw")
        whole = config.crop is None and height == width and height in FRAME_SIZES
        size = config.frame_size or (height if whole else _DEFAULT_SIZE)
        vector = _vector_keys(layouts, config.vector, what)
        return cls(
            image=image,
            order=order,
            frame=FrameFormat(size, config.channels or channels, config.crop),
            vector=vector,
            vector_dim=sum(int(np.prod(layouts[key][0])) for key in vector),
            left_out=tuple(key for key in layouts if key not in (image, *vector)),
            stack=config.stack,
        )

    def frames(self, observations: Mapping[str, np.ndarray], what: str) -> np.ndarray:
        """Turn the images of n observations into frames (n, h, w, c) uint8, in memory of their own.

        Raises:
            DataError: Where the image is missing, or of another dtype or shape than it was.
        """
        images = _present(observations, self.image, what)
        axes = len(self.order.split())
        if images.dtype != np.uint8 or images.ndim != axes + 1:
            raise DataError(
                f"{what}: {self.image!r} is {images.dtype} {images.shape[1:]}, which is no uint8 "
                f"image like those before: leave it out"
            )
        images = rearrange(images, f"n {self.order} -> n h w {'c' if axes == 3 else '1'}")
        if self.stack > 1:
            images = images[..., -(images.shape[-1] // self.stack) :]
        return np.stack([self.frame.apply(np.ascontiguousarray(image), what) for image in images])

    def vectors(self, observations: Mapping[str, np.ndarray], what: str) -> np.ndarray | None:
        """Join the keys of the vector (n, d) float32; None where there are none.

        Raises:
            DataError: Where a key is missing.
        """
        if not self.vector:
            return None
        parts = [_present(observations, key, what) for key in self.vector]
        flat = [rearrange(part.astype(np.float32), "n ... -> n (...)") for part in parts]
        return np.concatenate(flat, axis=1)

    def info(
        self, action: ActionSpec, *, rewards: bool, pixels: PixelConfig | None, source: str
    ) -> DatasetInfo:
        """Describe the data set that becomes of such observations."""
        if pixels is not None:
            pixels = replace(pixels, frame_size=self.frame.frame_size, channels=self.frame.channels)
        return DatasetInfo(
            frame_size=self.frame.frame_size,
            channels=self.frame.channels,
            action=action,
            rewards=rewards,
            vector_dim=self.vector_dim,
            pixels=pixels,
            source=source,
        )


def by_key(observations: Any) -> dict[str, np.ndarray]:
    """Name the arrays of observations: nested keys become `outer/inner`, a lone array `ALONE`."""
    if not isinstance(observations, Mapping | tuple):
        return {ALONE: np.asarray(observations)}
    pairs = (
        observations.items()
        if isinstance(observations, Mapping)
        else ((str(i), value) for i, value in enumerate(observations))
    )
    named: dict[str, np.ndarray] = {}
    for key, value in pairs:
        nested = isinstance(value, Mapping | tuple)
        inner = by_key(value) if nested else {"": np.asarray(value)}
        named |= {f"{key}/{name}" if name else str(key): array for name, array in inner.items()}
    return named


def layouts_of(observations: Mapping[str, np.ndarray]) -> Layouts:
    """Shape and dtype of one observation, from arrays of n."""
    return {key: (array.shape[1:], array.dtype) for key, array in observations.items()}


def _image_key(layouts: Layouts, wanted: str | None, what: str) -> str:
    """Find the key of the image, or say why there is none."""
    shown = ", ".join(f"{key} {dtype} {shape}" for key, (shape, dtype) in layouts.items())
    if wanted is not None and wanted not in layouts:
        raise DataError(f"{what} has no key {wanted!r}: {did_you_mean(wanted, layouts)}")
    keys = list(layouts) if wanted is None else [wanted]
    shaped = [key for key in keys if _like_an_image(layouts[key][0])]
    images = [key for key in shaped if layouts[key][1] == np.uint8]
    if len(images) == 1:
        return images[0]
    if images:
        raise DataError(f"{what} has images under {', '.join(images)}: name one as the image")
    if shaped:
        raise DataError(
            f"{what} has an image under {shaped[0]!r}, but of {layouts[shaped[0]][1]}: "
            "store it as uint8 from 0 to 255"
        )
    raise DataError(
        f"{what} has no pixels, but {shown or 'nothing'}: show the env as frames "
        "(srvp_world.envs.pixels.PixelObservation) or record it with `srvp-world collect`"
    )


def _like_an_image(shape: tuple[int, ...]) -> bool:
    """Whether a shape may be (h, w), (h, w, c) or (c, h, w)."""
    large = sum(size >= _SMALLEST for size in shape)
    return len(shape) in (2, 3) and large >= 2


def _order(shape: tuple[int, ...], stack: int, what: str) -> tuple[str, int]:
    """Name the axes of an image, and count the channels of the newest image in it."""
    if len(shape) == 2 and stack == 1:
        return "h w", 1
    for order, count in (("h w c", shape[-1]), ("c h w", shape[0])):
        if len(shape) == 3 and count in (stack, 3 * stack):
            return order, count // stack
    raise DataError(
        f"{what} has the shape {shape}, but an image has 1 or 3 channels, first or last"
        f"{'' if stack == 1 else f', times {stack}'}: say how many images are stacked in one"
    )


def _vector_keys(layouts: Layouts, wanted: tuple[str, ...] | None, what: str) -> tuple[str, ...]:
    """Give the keys of the vector after looking at each."""
    keys = (OWN_VECTOR,) if wanted is None and OWN_VECTOR in layouts else wanted or ()
    for key in keys:
        if key not in layouts:
            raise DataError(f"{what} has no key {key!r}: {did_you_mean(key, layouts)}")
        shape, dtype = layouts[key]
        if dtype.kind not in "fiub" or len(shape) > 1:
            raise DataError(
                f"{what}: {key!r} is {dtype} {shape}, but a vector is flat: name other keys"
            )
    return keys


def _present(observations: Mapping[str, np.ndarray], key: str, what: str) -> np.ndarray:
    if key not in observations:
        raise DataError(f"{what} has no key {key!r}, which others have: leave it out")
    return observations[key]
