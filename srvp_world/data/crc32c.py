"""CRC-32C, the checksum of TFRecord files, at hundreds of megabytes a second in NumPy.

The polynomial is Castagnoli's (RFC 3720, section 12.1, and appendix B.4 for test vectors). A CRC is
linear over GF(2), so a buffer is cut into lanes which are divided side by side, and the remainders
are put together by the matrices that stand for the zeros behind each lane.
"""

from functools import cache

import numpy as np
from einops import rearrange

_POLYNOMIAL = 0x82F63B78  # reflected
_ONES = 0xFFFFFFFF
_WORDS = 64  # of four bytes, in a lane
_LANES = 4096
_CHUNK = 4 * _WORDS * _LANES  # bytes that are divided at once
_FEW = 64  # bytes that are sooner done one by one


def crc32c(data: bytes | memoryview) -> int:
    """Give the CRC-32C of bytes."""
    remainder = _ONES
    view = memoryview(data)
    for start in range(0, len(view), _CHUNK):
        remainder = _extended(remainder, view[start : start + _CHUNK])
    return remainder ^ _ONES


def masked_crc32c(data: bytes | memoryview) -> int:
    """Give the CRC-32C as TFRecord files store it, so that checksums of checksums stay good."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & _ONES


def _extended(remainder: int, chunk: memoryview) -> int:
    """Go on from a remainder with no more than `_CHUNK` bytes."""
    if len(chunk) < _FEW:
        table = _byte_table()
        for byte in chunk:
            remainder = int(table[(remainder ^ byte) & 0xFF]) ^ remainder >> 8
        return remainder
    lanes = -(-len(chunk) // (4 * _WORDS))
    padded = np.zeros(4 * _WORDS * lanes, np.uint8)  # zeros in front leave a remainder of 0 at 0
    data = padded[len(padded) - len(chunk) :]
    data[:] = np.frombuffer(chunk, np.uint8)
    data[:4] ^= np.frombuffer(remainder.to_bytes(4, "little"), np.uint8)
    words = rearrange(padded.view("<u4"), "(lane word) -> word lane", lane=lanes)
    remainders = _divided(np.ascontiguousarray(words))
    bits = remainders[:, None] >> np.arange(32, dtype=np.uint32) & 1
    return int(np.bitwise_xor.reduce(_matrices()[lanes - 1 :: -1] * bits, axis=None))


def _divided(words: np.ndarray) -> np.ndarray:
    """Give the remainders (lane,) of words (word, lane)."""
    low_table, high_table = _word_tables()
    remainders = np.zeros(words.shape[1], "<u4")
    halves = rearrange(remainders.view("<u2"), "(lane half) -> half lane", half=2)
    low, high = np.empty_like(remainders), np.empty_like(remainders)
    for column in words:
        remainders ^= column
        # With `wrap` neither bounds are checked nor indices copied, which takes most of the time.
        low_table.take(halves[0], out=low, mode="wrap")
        high_table.take(halves[1], out=high, mode="wrap")
        np.bitwise_xor(low, high, out=remainders)
    return remainders


@cache
def _byte_table() -> np.ndarray:
    """(256,) what each byte leaves."""
    table: np.ndarray = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ (table & 1) * np.uint32(_POLYNOMIAL)
    return table


@cache
def _word_tables() -> tuple[np.ndarray, np.ndarray]:
    """(65536,) each: what the low and the high half of a word leave."""
    halves = np.arange(1 << 16, dtype=np.uint32)
    return _after_zeros(halves, 4), _after_zeros(halves << 16, 4)


@cache
def _matrices() -> np.ndarray:
    """(lanes, 32): what each bit of a remainder becomes with so many lanes of zeros behind it."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    power = _after_zeros(bits, 4 * _WORDS)
    matrices = bits[None]
    while len(matrices) < _LANES:
        matrices = np.concatenate([matrices, _applied(power, matrices)])
        power = _applied(power, power)
    return matrices


def _after_zeros(remainders: np.ndarray, count: int) -> np.ndarray:
    """Give remainders after this many bytes of zero."""
    table = _byte_table()
    for _ in range(count):
        remainders = table[remainders & 0xFF] ^ remainders >> 8
    return remainders


def _applied(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Multiply by a matrix over GF(2), given as the images (32,) of single bits."""
    result = np.zeros_like(vectors)
    for bit, image in enumerate(matrix):
        result ^= (vectors >> np.uint32(bit) & 1) * image
    return result
