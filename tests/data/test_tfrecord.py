import struct

import numpy as np
import pytest
from tfrecords import (
    byte_feature,
    crc32c,
    example,
    field,
    float_feature,
    int_feature,
    masked,
    record,
    varint,
)

from srvp_world.data.tfrecord import byte_strings, find_records, floats, read_features
from srvp_world.errors import DataError

# {"0/x/encoded": b"AB", "0/action": (1, -2)}, in 51 bytes between their length and checksums.
GOLDEN = bytes.fromhex(
    "33000000000000000ca720560a310a150a0b302f782f656e636f64656412060a040a0241420a180a08302f616374"
    "696f6e120c120a0a080000803f000000c0c36e174c"
)


@pytest.fixture
def file(tmp_path):
    def write(content):
        (tmp_path / "a.tfrecords").write_bytes(content)
        return tmp_path / "a.tfrecords"

    return write


def features_of(path):
    return [read_features(each.read(), each.name) for each in find_records(path)]


def test_a_record_as_tensorflow_writes_it(file):
    (features,) = features_of(file(GOLDEN))
    assert list(features) == ["0/x/encoded", "0/action"]
    assert byte_strings(features["0/x/encoded"], "") == [b"AB"]
    numbers = floats(features["0/action"], "")
    assert numbers.dtype == np.float32 and numbers.tolist() == [1.0, -2.0]


def test_the_tests_write_what_tensorflow_writes():
    features = {"0/x/encoded": byte_feature(b"AB"), "0/action": float_feature([1.0, -2.0])}
    assert record(example(features), checksum=lambda data: masked(crc32c(data))) == GOLDEN


@pytest.mark.parametrize("byte", range(len(GOLDEN)))
def test_every_damaged_byte_is_seen(file, byte):
    damaged = bytearray(GOLDEN)
    damaged[byte] ^= 0x10
    with pytest.raises(DataError, match=r"a.tfrecords, record 0 is damaged \(.*CRC-32C.*copy"):
        features_of(file(damaged))


@pytest.mark.parametrize("kept", range(1, len(GOLDEN)))
def test_what_comes_before_the_cut_is_found(file, kept):
    records = find_records(file(GOLDEN + GOLDEN[:kept]))
    assert len(next(records).read()) == 51
    with pytest.raises(DataError, match="record 1 is truncated: copy the file again"):
        next(records)


def test_a_record_that_is_cut_after_it_was_found(file):
    path = file(GOLDEN)
    (found,) = find_records(path)
    path.write_bytes(GOLDEN[:-5])
    with pytest.raises(DataError, match="record 0 is truncated"):
        found.read()
    path.unlink()
    with pytest.raises(DataError, match="cannot read .*a.tfrecords"):
        found.read()


def test_records_in_the_middle_of_a_file(file):
    path = file(b"before" + 2 * GOLDEN + b"behind")
    records = list(find_records(path, name="inner", start=6, stop=6 + 2 * len(GOLDEN)))
    assert [each.name for each in records] == ["inner, record 0", "inner, record 1"]
    assert [len(each.read()) for each in records] == [51, 51]
    with pytest.raises(DataError, match="inner, record 1 is truncated"):
        list(find_records(path, name="inner", start=6, stop=5 + 2 * len(GOLDEN)))


def test_a_record_larger_than_any_memory(file):
    length = struct.pack("<Q", 1 << 40)
    header = length + struct.pack("<I", masked(crc32c(length)))
    with pytest.raises(DataError, match="1,099,511,627,776 bytes"):
        list(find_records(file(header)))


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot read .*none.tfrecords"):
        list(find_records(tmp_path / "none.tfrecords"))


@pytest.mark.parametrize("packed", [True, False])
def test_numbers_are_packed_or_not(packed):
    feature = memoryview(float_feature([0.5, -1.25, 3e38], packed))
    np.testing.assert_array_equal(floats(feature, ""), np.float32([0.5, -1.25, 3e38]))


def test_lists_that_come_in_pieces_are_one():
    pieces = float_feature([1.0]) + float_feature([2.0, 3.0], packed=False) + float_feature([4.0])
    assert floats(memoryview(pieces), "").tolist() == [1.0, 2.0, 3.0, 4.0]
    halves = field(1, field(1, b"a")) + field(1, field(1, b"b"))
    assert byte_strings(memoryview(halves), "") == [b"a", b"b"]


def test_the_last_kind_of_a_feature_counts():
    feature = memoryview(float_feature([1.0]) + byte_feature(b"x"))
    assert byte_strings(feature, "") == [b"x"]
    with pytest.raises(DataError, match="f cannot be read .it holds bytes, not float32"):
        floats(feature, "f")


def test_what_is_not_known_is_skipped():
    unknown = (
        varint(9 << 3)  # a number of ten bytes, then all other kinds
        + varint((1 << 64) - 1)
        + varint(10 << 3 | 1)
        + bytes(8)
        + field(11, b"text")
        + varint(12 << 3 | 5)
        + bytes(4)
    )
    feature = unknown + float_feature([7.0]) + unknown
    entry = unknown + field(2, feature) + unknown + field(1, b"key")  # the value comes first
    data = unknown + field(2, b"other") + field(1, unknown + field(1, entry)) + unknown
    (name, found), *others = read_features(data, "").items()
    assert (name, others) == ("key", [])
    assert floats(found, "").tolist() == [7.0]


def test_maps_in_pieces_of_which_the_last_entry_counts():
    def entry(value):
        return field(1, field(1, field(1, b"k") + field(2, float_feature([value]))))

    features = read_features(entry(1.0) + entry(2.0), "")
    assert floats(features["k"], "").tolist() == [2.0]


def test_entries_without_key_or_value():
    data = field(1, field(1, field(2, float_feature([1.0]))) + field(1, field(1, b"k")))
    assert read_features(data, "") == {}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x0a", "ends within a number"),
        (b"\x0a\x05abc", "longer than its message"),
        (b"\x0b", "wire type 3 of field 1"),
        (b"\x02\x00", "field 0"),
        (b"\x80" * 11, "more than ten bytes"),
        (b"\x09abc", "longer than its message"),
        (field(1, field(1, field(1, b"\xff") + field(2, b""))), "utf-8"),
        (field(1, b"\x0a\xff"), "ends within a number"),
    ],
)
def test_bytes_that_are_no_example(data, words):
    with pytest.raises(DataError, match=rf"it is no tf.train.Example \(.*{words}"):
        read_features(data, "it")


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (b"", "holds nothing, not float32"),
        (int_feature([1, 2]), "holds int64, not float32"),
        (b"\x12\x09abc", "longer than its message"),
        (field(2, field(1, b"\0\0\0")), "3 bytes, not float32"),
    ],
)
def test_features_that_are_no_numbers(feature, words):
    with pytest.raises(DataError, match=f"it .*{words}"):
        floats(memoryview(feature), "it")


def test_features_that_are_no_bytes():
    with pytest.raises(DataError, match="it cannot be read .it holds float32, not bytes"):
        byte_strings(memoryview(float_feature([1.0])), "it")
