"""The weights of LPIPS and FVD: which files these are, where they come from, how they are known.

There is one LPIPS v0.1 and one FVD. Other weights give other numbers, so they are refused by name.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from srvp_world.errors import DataError


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """A published file, known by the hash that its publisher gives.

    Attributes:
        name: As published.
        what: For people.
        url: Where it lies; repositories are named at a commit.
        size: In bytes.
        algorithm: SHA-256 of the content, or the SHA-1 by which git names it in its repository.
        digest: In hexadecimal.
    """

    name: str
    what: str
    url: str
    size: int
    algorithm: Literal["sha256", "git"]
    digest: str


ALEXNET = WeightsFile(
    name="alexnet-owt-7be5be79.pth",
    what="torchvision's AlexNet",
    url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    size=244_408_911,
    algorithm="sha256",
    digest="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
)
LINEAR = WeightsFile(
    name="alex.pth",
    what="the linear weights of LPIPS v0.1 for AlexNet",
    url="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/"
    "082bb24f84c091ea94de2867d34c4544f68e0963/lpips/weights/v0.1/alex.pth",
    size=6_009,
    algorithm="sha256",
    digest="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
)
RGB_SCRATCH = WeightsFile(
    name="model.ckpt.data-00000-of-00001",
    what="DeepMind's I3D rgb_scratch",
    url="https://raw.githubusercontent.com/google-deepmind/kinetics-i3d/"
    "0667e889a5904b4dc122e0ded4c332f49f8df42c/data/checkpoints/rgb_scratch/"
    "model.ckpt.data-00000-of-00001",
    size=50_818_176,
    algorithm="git",
    digest="fa7df95674dbf3579e7fccd954e51e706b4734c1",
)
FILES: Mapping[str, tuple[WeightsFile, ...]] = {"lpips": (ALEXNET, LINEAR), "i3d": (RGB_SCRATCH,)}

WRONG = {  # what else lies around under these names, or in these shapes
    "18720f55913d0af89042f13faa7e536a6ce1444a0914e6db9461355ece1e8cd5": "the linear weights of "
    "LPIPS v0.0, which give other distances",
    "2958652e0c9c48a65010c0ebda5c9cfd4edc7c18": "DeepMind's rgb_imagenet, which is another "
    "network than that of FVD",
}


def check_file(path: Path, file: WeightsFile) -> None:
    """Check that a file is the published one.

    Raises:
        DataError: If it is missing, or another file.
    """
    kind = next(kind for kind, files in FILES.items() if file in files)
    way_out = f"download it with {download_command(kind, path)}"
    if not path.is_file():
        raise DataError(f"{path.parent} lacks {path.name}, {file.what}: {way_out}")
    fault = what_is_wrong(path, file)
    if fault:
        raise DataError(f"{path} {fault}: delete it and {way_out}")


def download_command(kind: str, given: Path) -> str:
    """Write the command that downloads the files of a kind, for a path that was given for them.

    What is no folder, but is a file or has a suffix like one, is looked for in its folder.
    """
    file = not given.is_dir() and (given.suffix or given.exists())
    return f"`srvp-world data download {kind} --out {given.parent if file else given}`"


def what_is_wrong(path: Path, file: WeightsFile) -> str:
    """Say what a file is if it is not the published one, or nothing.

    Raises:
        DataError: If it cannot be read.
    """
    found = file_digest(path, file.algorithm)
    if found == file.digest:
        return ""
    is_it = f"is {WRONG[found]}" if found in WRONG else f"has the hash {found[:12]}..."
    return f"{is_it}; what is needed is {file.what} ({file.digest[:12]}...)"


def file_digest(path: Path, algorithm: Literal["sha256", "git"]) -> str:
    """Hash a file; git's hash is the SHA-1 of a header and the content.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        size = path.stat().st_size
        begin = hashlib.sha256 if algorithm == "sha256" else partial(git_digest, size)
        with path.open("rb") as content:
            return hashlib.file_digest(content, begin).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}): copy it again") from None


def git_digest(size: int) -> "hashlib._Hash":
    """Begin the hash by which git names a content of so many bytes."""
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


def put_weights(network: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Copy weights into a network, after checking names, shapes, types and values.

    Args:
        network: Whose names the weights must have, each of them.
        weights: Others are left aside.
        where: They come from, for errors.

    Raises:
        DataError: Naming the first tensor that does not fit.
    """
    expected = network.state_dict()
    for name, own in expected.items():
        if name not in weights:
            raise DataError(f"{where} lacks the tensor {name!r}: it is of another network")
        found = weights[name]
        if found.shape != own.shape or found.dtype != own.dtype:
            raise DataError(
                f"{where}: {name!r} is {found.dtype} {tuple(found.shape)}, not {own.dtype} "
                f"{tuple(own.shape)}: it is of another network, or was converted"
            )
        if not found.isfinite().all():
            raise DataError(f"{where}: {name!r} holds NaN or infinite values: copy it again")
    network.load_state_dict({name: weights[name] for name in expected})
