import numpy as np
import pytest
from tfrecords import crc32c as defined

from srvp_world.data.crc32c import crc32c, masked_crc32c


def random_bytes(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, count, dtype=np.uint8).tobytes()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # these four: RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_checksums(data, expected):
    assert crc32c(data) == defined(data) == expected


def test_the_mask_of_tfrecords():
    assert masked_crc32c(b"123456789") == 0xC78AB0E5


@pytest.mark.parametrize("count", [1, 7, 63, 64, 65, 255, 256, 257, 511, 512, 513, 3001])
def test_side_by_side_is_one_after_the_other(count):
    data = random_bytes(count, seed=count)
    assert crc32c(data) == crc32c(memoryview(data)) == defined(data)


@pytest.mark.parametrize("beyond", [0, 1, 70])
def test_data_of_more_than_one_chunk(beyond):
    zeros, rest = (1 << 20) - 8, random_bytes(8 + beyond)
    assert crc32c(bytes(zeros) + rest) == by_squaring(zeros, rest)


def by_squaring(zeros, rest):
    """Divide so many zeros by squaring the step of one, then the rest by the definition."""
    step = [defined_step(1 << bit) for bit in range(32)]
    remainder = 0xFFFFFFFF
    while zeros:
        if zeros & 1:
            remainder = product(step, remainder)
        step = [product(step, image) for image in step]
        zeros >>= 1
    for byte in rest:
        remainder ^= byte
        remainder = defined_step(remainder)
    return remainder ^ 0xFFFFFFFF


def defined_step(remainder):
    """Divide one byte of zeros."""
    for _ in range(8):
        remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder


def product(matrix, vector):
    result = 0
    for bit, image in enumerate(matrix):
        result ^= image if vector >> bit & 1 else 0
    return result


def test_every_flipped_bit_is_seen():
    data = bytearray(random_bytes(300))
    right = crc32c(data)
    for byte in range(0, 300, 7):
        data[byte] ^= 1 << byte % 8
        assert crc32c(data) != right
        data[byte] ^= 1 << byte % 8
