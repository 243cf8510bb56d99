"""What makes two numbers of video prediction comparable, and a hash of it.

A hash belongs to one metric of one evaluation. Equal hashes mean: the same clips, given and
predicted frames, number of samples, temperature, actions that the world is told, way to choose the
best, definition and weights of the metric. What does not decide on that is left out: the world, its
substeps, seeds, batch size, device, machine, folders, and other metrics that were measured as well.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from srvp_world.benchmark.protocols import PROTOCOLS
from srvp_world.benchmark.video_distance import SAMPLES
from srvp_world.errors import DataError

FVD = "fvd"
WITH_WEIGHTS = ("lpips", FVD)
_CHOICE = ("best", "frames")  # of the definitions: how the best is chosen, what is compared
_SHOWN = 16  # hexadecimal digits


def ingredients(protocol: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """Give all that decides whether a number of a metric can be compared with another one.

    Args:
        protocol: As `srvp-world evaluate` leaves it in `results.json`.
        metric: Name of one that was measured.

    Raises:
        DataError: Where it does not say all of it, as in results of older versions.
    """
    fvd = metric == FVD
    try:
        weights = protocol["weights_sha256"][metric] if metric in WITH_WEIGHTS else {}
        samples = min(SAMPLES, protocol["samples"]) if fvd else protocol["samples"]
        name, choice = protocol["name"], () if fvd else _CHOICE
        temperature = float(protocol.get("temperature", 1))
        return {
            "metric": metric,
            "data": name if name in PROTOCOLS else "folder",
            "clips_sha256": protocol["clips_sha256"],
            "clips": protocol["videos"],
            "conditioning": protocol["conditioning"],
            "horizon": protocol["horizon"],
            "samples": samples,
            # The paper's 1 is left out: results from before there was a choice have the same hash.
            **({} if temperature == 1 else {"temperature": temperature}),
            # Likewise worlds that are told no actions.
            **({"actions_sha256": protocol["actions_sha256"]} if _told_actions(protocol) else {}),
            "choice": {part: protocol["definitions"][part] for part in choice},
            "definition": protocol["metrics"][metric],
            "weights": sorted(weights.values()),  # files of any name
        }
    except KeyError as error:
        raise DataError(f"its protocol does not tell {error.args[0]!r} for {metric!r}") from None


def _told_actions(protocol: Mapping[str, Any]) -> bool:
    return protocol.get("actions_sha256") is not None


def protocol_hash(protocol: Mapping[str, Any], metric: str) -> str:
    """Hash the ingredients of a number; the same everywhere for the same ones.

    It is the beginning of the SHA-256 of their JSON with sorted keys and without spaces. A metric
    whose definition is reworded counts as another one: whether it is, no program can tell.

    Raises:
        DataError: As `ingredients`.
    """
    text = json.dumps(ingredients(protocol, metric), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_SHOWN]


def protocol_hashes(protocol: Mapping[str, Any]) -> dict[str, str]:
    """Hash the ingredients of every metric that an evaluation measured.

    Raises:
        DataError: As `ingredients`.
    """
    return {metric: protocol_hash(protocol, metric) for metric in protocol["metrics"]}
