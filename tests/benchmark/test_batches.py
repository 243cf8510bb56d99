import pytest

from srvp_world.benchmark.batches import batches
from srvp_world.errors import ConfigError


def sizes(clips: int, size: int, **settings) -> list[int]:
    parts = batches(clips, size, **settings)
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(clips))
    return [part.stop - part.start for part in parts]


def test_the_last_batch_is_what_is_left() -> None:
    assert sizes(5, 4) == [4, 1] and sizes(4, 2) == [2, 2] and sizes(1, 4) == [1]


def test_no_clip_is_alone_where_none_may_be() -> None:
    assert sizes(5, 4, fewest=2) == [5] and sizes(9, 4, fewest=2) == [4, 5]
    for clips in range(2, 40):
        for size in range(2, 9):
            found = sizes(clips, size, fewest=2)
            assert min(found) >= 2 and max(found) <= size + 1
            if clips % size != 1:
                assert found == sizes(clips, size)


def test_too_few_to_be_watched_together() -> None:
    with pytest.raises(ConfigError, match="2 clips together.*1 in all: give --videos 2 or more"):
        batches(1, 4, fewest=2)
    with pytest.raises(ConfigError, match="is 1 in a batch: give --batch-size 2 or more"):
        batches(5, 1, fewest=2)
