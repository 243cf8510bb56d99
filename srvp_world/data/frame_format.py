"""How an image of any size becomes a frame: crop, grey or colour, resize."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from einops import rearrange, repeat
from PIL import Image

from srvp_world.config import FRAME_SIZES
from srvp_world.errors import ConfigError

Resample = Literal["box", "bicubic", "lanczos"]


@dataclass(frozen=True)
class FrameFormat:
    """What images are turned into, the same for real environments and for videos.

    Attributes:
        frame_size: Height and width; what is not square is squashed.
        channels: 1 for grey, 3 for colour.
        crop: (top, left, height, width) of the image to keep, or None for all of it.
        resample: Filter that resizes. `box` averages areas; the paper's Human3.6M was made with
            `lanczos`.
    """

    frame_size: int
    channels: int
    crop: tuple[int, int, int, int] | None = None
    resample: Resample = "box"

    def __post_init__(self) -> None:
        """Refuse what no model takes.

        Raises:
            ConfigError: Naming the value.
        """
        if self.frame_size not in FRAME_SIZES:
            raise ConfigError(f"frame_size must be one of {FRAME_SIZES}, got {self.frame_size}")
        if self.channels not in (1, 3):
            raise ConfigError(f"channels must be 1 (grey) or 3 (colour), got {self.channels}")
        if self.resample not in get_args(Resample):
            raise ConfigError(
                f"resample must be one of {get_args(Resample)}, got {self.resample!r}"
            )

    def apply(self, image: np.ndarray, name: str) -> np.ndarray:
        """Turn an image (h, w, 1 or 3) uint8 into a frame (size, size, channels) uint8.

        Args:
            image: Of any height and width.
            name: What the error calls the origin of the image.

        Raises:
            ConfigError: If the crop does not lie inside the image.
        """
        image = self._cropped(image, name)
        grey = image.shape[2] == 1
        picture = Image.fromarray(rearrange(image, "h w 1 -> h w") if grey else image)
        # Grey first: one channel is resized instead of three, which halves the time of the rest.
        if self.channels == 1:
            picture = picture.convert("L")
        size = (self.frame_size, self.frame_size)
        filter_ = Image.Resampling[self.resample.upper()]
        small = np.array(picture.resize(size, filter_))  # a copy of our own, so writable
        return small if small.ndim == 3 else repeat(small, "h w -> h w c", c=self.channels).copy()

    def _cropped(self, image: np.ndarray, name: str) -> np.ndarray:
        if self.crop is None:
            return image
        top, left, height, width = self.crop
        rows, columns = image.shape[:2]
        inside = 0 <= top < top + height <= rows and 0 <= left < left + width <= columns
        if not inside:
            raise ConfigError(
                f"crop {self.crop} (top, left, height, width) does not lie inside the "
                f"{rows} x {columns} image of {name}: choose a smaller one"
            )
        return image[top : top + height, left : left + width]
