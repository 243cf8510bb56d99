"""Writes TFRecord files of `tf.train.Example` for tests, with checksums computed bit by bit."""

import struct

import numpy as np

from srvp_world.data.crc32c import masked_crc32c


def crc32c(data):
    """The definition: division by the reflected Castagnoli polynomial, one bit after the other."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(crc):
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def byte_feature(*values):
    return field(1, b"".join(field(1, value) for value in values))


def float_feature(values, packed=True):
    if packed:
        return field(2, field(1, np.asarray(values, "<f4").tobytes()))
    return field(2, b"".join(b"\x0d" + struct.pack("<f", value) for value in values))


def int_feature(values):
    return field(3, field(1, b"".join(varint(value) for value in values)))


def example(features):
    """An Example of features by name, in this order."""
    entries = (field(1, name.encode()) + field(2, value) for name, value in features.items())
    return field(1, b"".join(field(1, entry) for entry in entries))


def record(data, checksum=masked_crc32c):
    length = struct.pack("<Q", len(data))
    return b"".join(
        [length, struct.pack("<I", checksum(length)), data, struct.pack("<I", checksum(data))]
    )


def video(seed=0, *, frames=30, scale=1.0):
    """The features of a robot's video, and what is to become of it: frames, actions, positions."""
    draws = np.random.default_rng(seed)
    images = draws.integers(0, 256, (frames, 64, 64, 3), dtype=np.uint8)
    actions = (scale * draws.uniform(-1, 1, (frames, 4))).astype(np.float32)
    positions = draws.normal(size=(frames, 3)).astype(np.float32)
    features = {}
    for i in range(frames):
        features[f"{i}/action"] = float_feature(actions[i], packed=bool(i % 2))
        features[f"{i}/endeffector_pos"] = float_feature(positions[i])
        features[f"{i}/image_aux1/encoded"] = byte_feature(images[i].tobytes())
        features[f"{i}/image_main/encoded"] = byte_feature(bytes(12_288))
    return features, images, actions, positions


def write_records(path, examples):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(record(example(features)) for features in examples))
    return path
