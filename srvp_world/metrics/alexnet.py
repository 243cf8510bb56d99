"""The convolutions of AlexNet, as far as LPIPS looks at them."""

from torch import Tensor, nn
from torch.nn import functional


class AlexNet(nn.Module):
    """The feature part of torchvision's AlexNet (Krizhevsky, arXiv 1404.5997), of random weights.

    Attributes:
        channels: Of the feature maps that it gives.
    """

    channels = (64, 192, 384, 256, 256)

    def __init__(self) -> None:
        """Make the five convolutions."""
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, stride=4, padding=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the maps after each of the five ReLUs.

        Args:
            x: (n, 3, h, w), normalised with the mean and deviation of ImageNet; h and w are 31 at
                least.

        Returns:
            Five of (n, c, h', w'), from fine to coarse.
        """
        maps = []
        for i, convolution in enumerate(self.convolutions):
            if i in (1, 2):
                x = functional.max_pool2d(x, kernel_size=3, stride=2)
            x = convolution(x).relu()
            maps.append(x)
        return maps
