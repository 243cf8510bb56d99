"""KTH actions, from the avi files or the zip archives that they come in.

25 persons, six actions, four scenarios, 25 frames a second of 160 x 120; one of the 600 does not
exist. As in the original, persons 21 to 25 are for testing, videos are whole, also where nobody is
to be seen, and `ffmpeg -r 25 -s 64x64` has made the frames: squashed by libswscale's bicubic filter
and turned into RGB, of which the first channel is kept.
"""

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from einops import rearrange

from srvp_world.data.conversion import LONGEST, LeftOut, Plan, RawVideo, require_raw, validated_on
from srvp_world.data.episodes import Episode
from srvp_world.data.info import DatasetInfo
from srvp_world.data.raw_files import no_videos, raw_files, unreadable
from srvp_world.data.video import decode, frame_rate
from srvp_world.errors import DataError, OutputError

ACTIONS = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
MIN_FRAMES = 40  # of the paper's test clips

_SIZE, _RATE = 64, 25
_NOWHERE = "person13_handclapping_d3"
_EXAMPLE = "person01_boxing_d1_uncomp.avi"
_NAME = re.compile(rf"(person(\d\d)_({'|'.join(ACTIONS)})_d[1-4])_uncomp\.avi", re.IGNORECASE)
_LARGEST = 100_000_000  # bytes of an avi file in an archive; KTH's have a few millions

INFO = DatasetInfo(
    frame_size=_SIZE,
    channels=1,
    source="KTH actions, whole videos, squashed to 64 x 64 by libswscale's bicubic filter",
    frame_rate=_RATE,
)


def plan_kth(raw: Path) -> Plan:
    """Say what is to become of the videos in a folder, at any depth, and in its zip archives.

    Raises:
        DataError: Where there is none.
    """
    require_raw(raw)
    found, left_out = _found(raw)
    if not found:
        message = f"{raw} holds no video of KTH, such as {_EXAMPLE}: see docs/datasets.md"
        raise no_videos(message, left_out)
    train, test = (
        [
            f"person{person:02d}_{action}_d{scenario}"
            for action in ACTIONS
            for person in persons
            for scenario in range(1, 5)
        ]
        for persons in (range(1, 21), range(21, 26))
    )
    train.remove(_NOWHERE)
    held_out = validated_on(len(train))
    splits = {name: "validation" if i in held_out else "train" for i, name in enumerate(train)}
    splits |= dict.fromkeys(test, "test")
    missing = (name for name in splits if name not in found)
    if _NOWHERE in found:
        left_out.append(LeftOut(_NOWHERE, f"{found[_NOWHERE]} is not in KTH, which lacks this one"))
    return Plan(
        info=INFO,
        videos=[
            RawVideo(name, split, partial(_read, found[name], name))
            for name, split in splits.items()
            if name in found
        ],
        left_out=[*left_out, *(LeftOut(name, f"{name} is not in {raw}", True) for name in missing)],
    )


@dataclass(frozen=True)
class _Source:
    """An avi file, or one in a zip archive."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return str(self.path if self.member is None else self.path / self.member)

    @contextmanager
    def unpacked(self) -> Iterator[Path]:
        """Give the file, which is gone afterwards if it came from an archive."""
        if self.member is None:
            yield self.path
            return
        content = self._content(self.member)  # a few millions of bytes
        with ExitStack() as stack:
            # Apart from what reading can meet: no room here is no fault of the archive.
            try:
                path = Path(stack.enter_context(TemporaryDirectory()), Path(self.member).name)
                path.write_bytes(content)
            except OSError as error:
                raise OutputError(
                    f"cannot unpack {self} into the temporary folder ({error.strerror}): make "
                    "room there, or name another one in the environment variable TMPDIR"
                ) from None
            try:
                yield path
            except DataError as error:  # which would name a file that is gone afterwards
                raise DataError(str(error).replace(str(path), str(self))) from None

    def _content(self, member: str) -> bytes:
        """Unpack a file of the archive into memory."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                if archive.getinfo(member).file_size > _LARGEST:
                    raise DataError(f"{self} is too large to be KTH's: leave it out")
                return archive.read(member)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise DataError(f"{self} cannot be unpacked ({error}): download it again") from None


def _found(raw: Path) -> tuple[dict[str, _Source], list[LeftOut]]:
    """Find the videos by name, files before those in archives, and what is called otherwise."""
    sources: list[_Source] = []
    left_out: list[LeftOut] = []
    files = raw_files(raw, left_out)
    sources += [_Source(path) for path in files if path.suffix.lower() == ".avi"]
    for path in files:
        if path.suffix == ".part" and path.with_suffix("") not in files:
            again = f"run `srvp-world data download kth --out {path.parent}` again"
            left_out.append(LeftOut(str(path), f"{path} is an unfinished download: {again}"))
        if path.suffix.lower() == ".zip":
            try:
                with zipfile.ZipFile(path) as archive:
                    sources += [_Source(path, name) for name in archive.namelist()]
            except PermissionError as error:
                left_out.append(unreadable(path, error))
            except (OSError, zipfile.BadZipFile) as error:
                reason = f"{path} is no whole zip archive ({error}): download it again"
                left_out.append(LeftOut(str(path), reason))
    found: dict[str, _Source] = {}
    for source in sources:
        name = Path(source.member or source.path).name
        match = _NAME.fullmatch(name)
        if match and 1 <= int(match[2]) <= 25:
            found.setdefault(match[1].lower(), source)
        elif name.lower().endswith(".avi") and not name.startswith("."):
            reason = f"{source} is no name of KTH, such as {_EXAMPLE}: rename it"
            left_out.append(LeftOut(str(source), reason))
    return found, left_out


def _read(source: _Source, name: str) -> Mapping[str, Episode]:
    """Read the one episode of a video."""
    with source.unpacked() as path:
        rate = frame_rate(path)
        if rate is None or abs(rate - _RATE) > 0.01:
            raise DataError(f"{source} has {rate} frames a second, but KTH has {_RATE}")
        frames = []
        for image in _at_constant_rate(decode(path)):
            frames.append(image)
            if len(frames) > LONGEST:
                raise DataError(f"{source} has more than {LONGEST:,} frames: this is not KTH")
    if len(frames) < MIN_FRAMES:
        raise DataError(f"{source} has {len(frames)} frames, but {MIN_FRAMES} are needed")
    stacked = rearrange(np.stack(frames), "t h w -> t h w 1")
    provenance = {"source": Path(source.member or source.path).name}
    return {name: Episode(frames=stacked, provenance=provenance)}


def _at_constant_rate(frames: Iterable[av.VideoFrame]) -> Iterator[np.ndarray]:
    """Yield small images (h, w) 25 times a second; as ffmpeg does, repeat some in gaps."""
    due, before = 0, None
    for frame in frames:
        late = 0.0 if frame.time is None else frame.time * _RATE - due
        small = frame.reformat(_SIZE, _SIZE, "rgb24", interpolation="BICUBIC").to_ndarray()
        image = small[..., 0].copy()
        copies = 1 + max(round(late), 0)
        for i in range(copies):
            still = late > 1.1 and i < round(late - 0.6)
            yield before if still and before is not None else image
        due, before = due + copies, image
