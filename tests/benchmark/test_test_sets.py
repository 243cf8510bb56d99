import hashlib
from itertools import islice

import pytest

from srvp_world.benchmark.test_sets import draw_bair, draw_human36m, draw_kth, drawn_clips
from srvp_world.data import human36m
from srvp_world.data.episodes import Ending
from srvp_world.data.human36m import OFTEN_DAMAGED
from srvp_world.data.index import Record
from srvp_world.data.kth import ACTIONS
from srvp_world.errors import DataError

# Videos of these lengths were given to preprocessing/{kth,human}/make_test_set.py of
# github.com/edouardelasalles/srvp; the clips below are those that they cut.
KTH = {
    f"person{person}_{action}_d{scenario}": 40 + (17 * i + 29 * person + 53 * scenario) % 170
    for i, action in enumerate(ACTIONS)
    for person in range(21, 26)
    for scenario in range(1, 5)
}
HUMAN = {
    name: 417 + 37 * i % 200
    for i, name in enumerate(
        f"S{subject}-{action}.{camera}"
        for subject in (9, 11)
        for action in ("Directions", "Directions 1", "Walking", "WalkTogether 2")
        for camera in (54138969, 55011271)
    )
}


def phases(videos):
    """Lengths of the eight episodes of each video."""
    return {
        f"{name}-phase{phase}": len(range(phase, length, 8))
        for name, length in videos.items()
        for phase in range(8)
    }


def digest(clips):
    return hashlib.sha256(
        "\n".join(f"{name} {start}" for name, start in clips).encode()
    ).hexdigest()


def test_kth_is_drawn_as_the_original_draws_it():
    clips = list(islice(draw_kth(KTH), 1000))
    assert clips[:5] == [
        ("person25_jogging_d3", 71),
        ("person25_running_d3", 82),
        ("person23_handwaving_d4", 52),
        ("person23_jogging_d2", 52),
        ("person24_handclapping_d2", 37),
    ]
    assert clips[-1] == ("person21_walking_d4", 54)
    assert digest(clips) == "c98318e7a9d0f520ffd7ff0e1aaeef86d2519f0201d67d72d09fce15a29ebcd4"


def test_human36m_is_drawn_as_the_original_draws_it():
    """It sorts S11 before S9, and `Directions 1.` before `Directions.`."""
    drawn = islice(draw_human36m(phases(HUMAN)), 1000)
    clips = [(name[: -len("-phase0")], 8 * start + int(name[-1])) for name, start in drawn]
    assert clips[:3] == [
        ("S11-Walking.54138969", 28),
        ("S9-Walking.54138969", 106),
        ("S11-Walking.55011271", 60),
    ]
    assert clips[-1] == ("S9-Directions 1.54138969", 62)
    assert digest(clips) == "4a6e01b4cce321116542088bae8c3a9b7e9073b73f679d920b59964ec05919fb"


def test_clips_end_within_their_videos():
    for name, start in islice(draw_kth(KTH), 1000):
        assert 0 <= start <= KTH[name] - 40
    lengths = phases(HUMAN)
    for name, start in islice(draw_human36m(lengths), 1000):
        assert 0 <= start <= lengths[name] - 53


def test_bair_is_taken_in_order():
    frames = {f"traj_0_to_255-{number:03d}": 30 for number in reversed(range(256))}
    clips = list(draw_bair(frames))
    assert clips == [(f"traj_0_to_255-{number:03d}", 0) for number in range(256)]


def records(frames):
    return [
        Record(
            name=f"{name}-part000.safetensors", frames=n, ending=Ending.UNFINISHED, part=0, size=1
        )
        for name, n in sorted(frames.items())
    ]


def test_clips_are_told_by_the_number_of_their_record():
    listed = records(KTH)
    clips = drawn_clips("kth", listed, 3)
    assert [(listed[i].episode, start) for i, start in clips] == list(islice(draw_kth(KTH), 3))


@pytest.mark.parametrize(
    ("name", "frames", "without", "count"),
    [
        ("kth", KTH, "person24_handclapping_d2", 5),
        ("human36m", phases(HUMAN), "S9-Walking.54138969-phase3", 1),
        (
            "bair",
            {f"traj_0_to_255-{number:03d}": 30 for number in range(9)},
            "traj_0_to_255-008",
            9,
        ),
    ],
)
def test_a_missing_video_changes_all_that_come_after_it(monkeypatch, name, frames, without, count):
    monkeypatch.setattr(human36m, "VIDEOS", 8)
    less = {episode: length for episode, length in frames.items() if episode != without}
    assert len(drawn_clips(name, records(frames), count)) == count
    with pytest.raises(DataError, match=f"{name} needs {without}, which .*data convert {name}`"):
        drawn_clips(name, records(less), count)
    if name != "human36m":  # of which a draw needs to know all
        assert len(drawn_clips(name, records(less), count - 1)) == count - 1


ALL_HUMAN = {
    f"S{subject}-{action}{take}.{camera}": 417
    for subject in (9, 11)
    for action in map(chr, range(ord("A"), ord("A") + 14))
    for take in ("", " 1")
    for camera in (54138969, 55011271, 58860488, 60457274)
} | {
    f"S{subject}-Directions{take}.{camera}": 417
    for subject in (9, 11)
    for take in ("", " 1")
    for camera in (54138969, 55011271, 58860488, 60457274)
}


def drawn_without(*names, more=()):
    """Draw from all videos of Human3.6M but these, and from more."""
    left = {name: length for name, length in ALL_HUMAN.items() if name not in names}
    return drawn_clips("human36m", records(phases(left | dict.fromkeys(more, 417))), 1)


def test_all_videos_of_human36m_but_the_one_that_many_copies_lack_are_needed():
    """Fewer, or others among them, would be drawn from without any gap, but not as the paper."""
    assert len(ALL_HUMAN) == 240 and len(drawn_without()) == 1
    assert len(drawn_without(OFTEN_DAMAGED)) == 1
    with pytest.raises(DataError, match=r"here are 119 videos of subject 9, not 120: convert"):
        drawn_without("S9-A 1.55011271")
    lacking = "here are 118 videos of subject 11, not 119 besides S11-Directions.54138969: .*give"
    for also in ((), (OFTEN_DAMAGED,)):
        with pytest.raises(DataError, match=lacking):
            drawn_without("S11-A.55011271", *also)
    with pytest.raises(DataError, match=r"here are 121 videos of subject 9, not 120: convert"):
        drawn_without(more=["S9-A 2.55011271"])


def test_a_subject_that_is_missing():
    gone = [name for name in ALL_HUMAN if name.startswith("S11")]
    with pytest.raises(DataError, match="but here are 0 videos of subject 11, not 119 besides"):
        drawn_without(*gone)
