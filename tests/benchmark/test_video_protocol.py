"""Hashes say which numbers can be compared: those alone whose ingredients are all the same."""

import copy

import pytest

from srvp_world.benchmark.protocols import PROTOCOLS
from srvp_world.benchmark.published import PUBLISHED, published_numbers
from srvp_world.benchmark.video_protocol import ingredients, protocol_hash, protocol_hashes
from srvp_world.errors import DataError

PROTOCOL = {
    "world": "abc",
    "training": {"preset": "smmnist"},
    "name": "smmnist",
    "conditioning": 5,
    "horizon": 20,
    "videos": 5000,
    "samples": 100,
    "substeps": 1,
    "observed_substeps": 1,
    "clips": "for people",
    "clips_sha256": "0" * 64,
    "metrics": {"psnr": "decibels", "lpips": "distance", "fvd": "distance of videos"},
    "definitions": {"best": "by mean", "frames": "clamped", "diversity": "of pairs"},
    "weights_sha256": {"lpips": {"a": "1", "b": "2"}, "fvd": {"c": "3"}},
}


def changed(*path: str, value: object) -> dict:
    protocol = copy.deepcopy(PROTOCOL)
    inner = protocol
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return protocol


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), "mmnist"),
        (("clips_sha256",), "1" * 64),
        (("videos",), 500),
        (("conditioning",), 4),
        (("horizon",), 21),
        (("samples",), 99),
        (("temperature",), 0.0),
        (("actions_sha256",), "1" * 64),
        (("definitions", "best"), "by first frame"),
        (("definitions", "frames"), "quantised"),
        (("metrics", "lpips"), "another distance"),
        (("weights_sha256", "lpips", "b"), "4"),
    ],
)
def test_every_ingredient_changes_the_hash(path, value) -> None:
    assert protocol_hash(changed(*path, value=value), "lpips") != protocol_hash(PROTOCOL, "lpips")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("world",), "def"),
        (("training",), None),
        (("substeps",), 4),
        (("observed_substeps",), 4),
        (("temperature",), 1),
        (("actions_sha256",), None),
        (("clips",), "the same in other words"),
        (("batch_size",), 3),
        (("device",), "cuda"),
        (("out",), "elsewhere"),
        (("definitions", "diversity"), "otherwise"),
        (("weights_sha256", "lpips"), {"renamed": "2", "b": "1"}),
        (("metrics", "psnr"), "another"),
    ],
)
def test_nothing_else_does(path, value) -> None:
    assert protocol_hash(changed(*path, value=value), "lpips") == protocol_hash(PROTOCOL, "lpips")


def test_the_hash_is_the_same_everywhere() -> None:
    """By hand: `printf JSON | sha256sum`."""
    text = (
        '{"choice":{"best":"by mean","frames":"clamped"},"clips":5000,"clips_sha256":"'
        + "0" * 64
        + '","conditioning":5,"data":"smmnist","definition":"decibels","horizon":20,'
        '"metric":"psnr","samples":100,"weights":[]}'
    )
    import hashlib

    assert protocol_hash(PROTOCOL, "psnr") == hashlib.sha256(text.encode()).hexdigest()[:16]
    backwards = dict(reversed(PROTOCOL.items()))
    assert protocol_hashes(backwards) == protocol_hashes(PROTOCOL)


def test_fvd_depends_on_the_samples_that_it_takes_and_not_on_how_the_best_is_chosen() -> None:
    assert ingredients(PROTOCOL, "fvd")["samples"] == 5
    same = changed("samples", value=20)
    assert protocol_hash(same, "fvd") == protocol_hash(PROTOCOL, "fvd")
    assert protocol_hash(changed("samples", value=1), "fvd") != protocol_hash(PROTOCOL, "fvd")
    other = changed("definitions", "best", value="worst")
    assert protocol_hash(other, "fvd") == protocol_hash(PROTOCOL, "fvd")


def test_folders_are_known_by_their_clips_and_not_by_their_names() -> None:
    one, other = (changed("name", value=f"folder {name}") for name in ("kth", "mine"))
    assert protocol_hash(one, "psnr") == protocol_hash(other, "psnr")


@pytest.mark.parametrize("key", ["clips_sha256", "weights_sha256", "definitions", "samples"])
def test_what_is_not_told_is_not_guessed(key) -> None:
    protocol = {name: value for name, value in PROTOCOL.items() if name != key}
    with pytest.raises(DataError, match=key):
        protocol_hash(protocol, "lpips")


def test_every_published_number_stands_alone_with_its_citation_and_protocol() -> None:
    numbers = published_numbers()
    assert len(numbers) == sum(len(row.scores) for rows in PUBLISHED.values() for row in rows)
    found = {(n["dataset"], n["method"], n["metric"]): n for n in numbers}
    assert len(found) == len(numbers)
    kth = found["kth", "SRVP", "fvd"]
    assert (kth["value"], kth["interval"], kth["protocol"]["samples"]) == (222, 3, 1)
    assert kth["protocol"]["frames"] == 40 and "SLAMP" in kth["citation"]
    assert found["bair", "SAVP", "lpips"]["value"] == 0.0634
    assert found["mmnist", "SRVP without z", "psnr"]["protocol"]["clips"] == 5000
    assert all(n["kind"] == "published" and n["citation"] for n in numbers)
    assert {n["dataset"] for n in numbers} == set(PROTOCOLS)
