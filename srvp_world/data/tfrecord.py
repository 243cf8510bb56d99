"""TFRecord files of `tf.train.Example` messages, read without TensorFlow.

A record is its length (uint64, little endian), the masked CRC-32C of these eight bytes, the data,
and the masked CRC-32C of the data. An Example is a protocol buffer: field 1, Features, is a map
from names to Feature, which is one of lists of bytes (1), float32 (2) or int64 (3), packed or not.
Fields that are not known are skipped, as the format wants it.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from srvp_world.data.crc32c import masked_crc32c
from srvp_world.errors import DataError

_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_LARGEST = 1 << 26  # bytes of a record; those of BAIR have less than a million

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_KINDS = {1: "bytes", 2: "float32", 3: "int64"}


@dataclass(frozen=True)
class TFRecord:
    """Where the data of a record is.

    Attributes:
        name: Of the file and the record, for errors.
        path: Of the file.
        offset: Bytes before the data.
        length: Bytes of the data.
    """

    name: str
    path: Path
    offset: int
    length: int

    def read(self) -> bytes:
        """Read the data and check it.

        Raises:
            DataError: Where it is gone, or not what was written.
        """
        with _opened(self.path) as file:
            file.seek(self.offset)
            data = file.read(self.length)
            (checksum,) = _CHECKSUM.unpack(_exactly(file, _CHECKSUM.size, self.name))
        if len(data) != self.length or masked_crc32c(data) != checksum:
            raise DataError(f"{self.name} is damaged (its CRC-32C is wrong): copy the file again")
        return data


def find_records(
    path: Path, *, name: str | None = None, start: int = 0, stop: int | None = None
) -> Iterator[TFRecord]:
    """Find the records of a file by their lengths; their data are not read.

    Args:
        path: Of the file.
        name: What errors call it; its path if None.
        start: Byte that the first record begins with, where the file lies in an archive.
        stop: Byte after the last record; None means the end of the file.

    Raises:
        DataError: Where the file cannot be read, ends within a record, or has a damaged length,
            behind which nothing can be found; what is before is given first.
    """
    name = name or str(path)
    with _opened(path) as file:
        end = path.stat().st_size if stop is None else stop
        number = 0
        while start < end:
            record = f"{name}, record {number}"
            file.seek(start)
            header = _exactly(file, _HEADER.size, record)
            length, checksum = _HEADER.unpack(header)
            if masked_crc32c(header[:8]) != checksum:
                raise DataError(
                    f"{record} is damaged (the CRC-32C of its length is wrong), so those behind it "
                    "cannot be found: copy the file again"
                )
            if length > _LARGEST:
                raise DataError(f"{record} has {length:,} bytes: this is no data set of videos")
            start += _HEADER.size + length + _CHECKSUM.size
            if start > end:
                raise _truncated(record)
            yield TFRecord(record, path, start - length - _CHECKSUM.size, length)
            number += 1


def read_features(data: bytes, name: str) -> dict[str, memoryview]:
    """Give the features of an Example by name, to be read by `byte_strings` and `floats`.

    Args:
        data: The Example.
        name: What errors call it.

    Raises:
        DataError: Where the bytes are no such message.
    """
    features: dict[str, memoryview] = {}
    try:
        for entry in _messages(memoryview(data), 1, 1):
            fields = dict(_fields(entry))
            key, feature = fields.get(1), fields.get(2)
            if isinstance(key, memoryview) and isinstance(feature, memoryview):
                features[str(key, "utf-8")] = feature
    except ValueError as error:
        raise DataError(f"{name} is no tf.train.Example ({error}): copy the file again") from None
    return features


def byte_strings(feature: memoryview, name: str) -> list[memoryview]:
    """Give the values of a feature of bytes.

    Raises:
        DataError: Where it has none, or is none; it is called `name`.
    """
    return [value for value in _values(feature, 1, name) if isinstance(value, memoryview)]


def floats(feature: memoryview, name: str) -> np.ndarray:
    """Give the values (n,) float32 of a feature of numbers.

    Raises:
        DataError: Where it has none, or is none; it is called `name`.
    """
    values = _values(feature, 2, name)
    pieces = [value for value in values if isinstance(value, memoryview)]
    try:
        return np.frombuffer(b"".join(pieces), "<f4")
    except ValueError:
        raise DataError(f"{name} has {sum(map(len, pieces))} bytes, not float32 numbers") from None


def _values(feature: memoryview, kind: int, name: str) -> list[int | memoryview]:
    """Give what is in the list that a Feature is one of; the last one counts."""
    lists: list[tuple[int, memoryview]] = []
    try:
        for number, value in _fields(feature):
            if number in _KINDS and isinstance(value, memoryview):
                lists = [each for each in lists if each[0] == number] + [(number, value)]
        if not lists or lists[0][0] != kind:
            held = _KINDS[lists[0][0]] if lists else "nothing"
            raise ValueError(f"it holds {held}, not {_KINDS[kind]}")
        return [value for _, each in lists for number, value in _fields(each) if number == 1]
    except ValueError as error:
        raise DataError(f"{name} cannot be read ({error})") from None


def _messages(message: memoryview, *numbers: int) -> Iterator[memoryview]:
    """Yield the fields with this number that have a length; of these the next number's, and so on.

    Fields of messages that occur more than once are merged by this, as the format wants it.
    """
    for number, value in _fields(message):
        if number == numbers[0] and isinstance(value, memoryview):
            if numbers[1:]:
                yield from _messages(value, *numbers[1:])
            else:
                yield value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of the fields of a message.

    Raises:
        ValueError: Where the bytes are no message.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        value: int | memoryview
        if wire == _VARINT:
            value, at = _varint(message, at)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}.get(wire)
            if wire == _BYTES:
                length, at = _varint(message, at)
            if length is None or not number:
                raise ValueError(f"wire type {wire} of field {number} is unknown")
            value, at = message[at : at + length], at + length
            if at > len(message):
                raise ValueError("a field is longer than its message")
        yield number, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the low ones first; also give where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at == len(message):
            raise ValueError("it ends within a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number has more than ten bytes")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file; what goes wrong while it is open is named, too."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}): copy it again") from None


def _exactly(file: BinaryIO, size: int, name: str) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise _truncated(name)
    return data


def _truncated(name: str) -> DataError:
    return DataError(f"{name} is truncated: copy the file again")
