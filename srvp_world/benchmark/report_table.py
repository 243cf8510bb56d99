"""What the numbers of a report mean, and the most telling of them as tables."""

import math
from collections.abc import Mapping
from typing import Any

DEFINITIONS = {
    "clips": "pieces of episodes, laid such that each frame after the first watched ones is "
    "imagined once; shorter than watched + horizon only where the episode terminated",
    "watching": "the posterior's means, from the clip's first frame on; a clip that begins an "
    "episode is watched as one",
    "one_sample": "PSNR of a future whose innovations are drawn from the prior (temperature 1), "
    "mean over futures and clips",
    "mean_prediction": "PSNR of the future whose every innovation is at its mean, mean over clips",
    "copy_last_frame": "PSNR of the last watched frame, mean over clips",
    "psnr": "in decibels, per channel, of frames that are clamped by the decoder and not "
    "quantised; equal channels count as 100 dB",
    "reward": "of an imagined step, mean over futures, against the true one, in the environment's "
    "units; bias is prediction - truth, mae the mean of |prediction - truth|",
    "return": "sum of these over the imagined part of a clip, up to its true end",
    "continuation": "probability that the episode goes on at a step if it did so up to there: mean "
    "over futures, each weighted by what is left of it; brier is its mean squared distance from 1 "
    "(went on) or 0 (terminated), brier_of_mean_rate that of the mean rate",
    "ends": "a future ends at its first continuation below 0.5, a clip at the median of its "
    "futures; error is predicted - true step, false are ends of clips that went on throughout",
    "actions": "ratio of the mean prediction's mean squared errors, with another clip's actions "
    "to with its own; 1 where actions do not matter to the world",
    "age": "frames of an episode that the filter has seen: PSNR of the mean prediction of the next "
    "frame, and KL(q(z) || p(z)) in nats of that step; mean over episodes that last as long",
    "coverage": "distance of normalised latent features of the data to the nearest one of the "
    "start clips; ratio is its median, relative to that of start clips to other start clips, and "
    "beyond the share of states farther off than 95 % of these",
    "uncertainty": "mean over futures, 1 as on the training data; Spearman's rank correlation over "
    "clips between its sum up to a step and the mean squared error of a future's frame there",
    "interval": "half of the 95 % confidence interval of a mean, 1.96 std / sqrt(n)",
}


def report_table(numbers: Mapping[str, Any], left_out: Mapping[str, str]) -> str:
    """Lay the numbers of a report out in Markdown."""
    steps = numbers["open_loop"]["psnr"]
    heads = [f"{step} step{'s' if step != '1' else ''} ahead" for step in steps]
    lines = [f"| open loop | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, label in _ROWS.items():
        lines.append(_row(f"{label}, PSNR (dB)", [row[name] for row in steps.values()], ".1f"))
    if "actions" in numbers:
        ratios = numbers["actions"]["error_ratio"].values()
        lines.append(_row("error with another clip's actions, relative", ratios, ".2f"))
    if "reward_by_step" in numbers:
        lines += ["", *_rewards(numbers)]
    if "age" in numbers:
        lines += ["", *_ages(numbers["age"]["at"])]
    lines += ["", *_sentences(numbers)]
    lines += [f"{name}: left out, {reason}" for name, reason in left_out.items()]
    return "\n".join(lines)


_ROWS = {
    "one_sample": "one sample",
    "mean_prediction": "mean prediction",
    "copy_last_frame": "copying the last frame",
}


def _row(label: str, values: Any, form: str) -> str:
    return f"| {label} | {' | '.join(shown(value, form) for value in values)} |"


def shown(value: float | None, form: str) -> str:
    """Format a number, or a dash where there is none."""
    return "-" if value is None or math.isnan(value) else format(value, form)


def _rewards(numbers: Mapping[str, Any]) -> list[str]:
    rows = {f"reward, step {name}": row for name, row in numbers["reward_by_step"].items()}
    rows |= {"reward, all steps": numbers["reward"], "return": numbers["return"]}
    lines = ["| predicted against true | correlation | MAE | bias | std of the truth |"]
    lines.append("|---" * 5 + "|")
    for name, row in rows.items():
        cells = [shown(row["correlation"], ".3f")]
        cells += [shown(row[key], ".3g") for key in ("mae", "bias", "std")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _ages(at: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = [f"| age of the filter, frames | {' | '.join(at)} |", "|---" * (len(at) + 1) + "|"]
    lines.append(_row("PSNR one step ahead (dB)", [row["psnr"] for row in at.values()], ".1f"))
    if all("kl" in row for row in at.values()):
        lines.append(_row("KL of the step (nats)", [row["kl"] for row in at.values()], ".2f"))
    return lines


def _sentences(numbers: Mapping[str, Any]) -> list[str]:
    """Tell what fits no table."""
    lines = []
    if "continuation" in numbers:
        found, ends = numbers["continuation"], numbers["continuation"]["ends"]
        lines.append(
            f"continuation: Brier score {found['brier']:.3g} (the mean rate alone: "
            f"{found['brier_of_mean_rate']:.3g}); {ends['found']} of {ends['true']} ends foreseen, "
            f"{shown(ends['absolute_error'], '.1f')} steps off; "
            f"{ends['false']} of {ends['without']} clips without an end said to end"
        )
    if "coverage" in numbers:
        found = numbers["coverage"]
        lines.append(
            f"coverage: states of the data are {found['ratio']:.2f} times as far from the start "
            f"clips as those from one another; {found['beyond']:.0%} lie beyond 95 % of these"
        )
    if "uncertainty" in numbers:
        ranks = numbers["uncertainty"]["rank_correlation"]
        lines.append(
            f"uncertainty: rank correlation with the error {shown(ranks[0], '.2f')} at step 1, "
            f"{shown(ranks[-1], '.2f')} at step {len(ranks)}"
        )
    return lines
