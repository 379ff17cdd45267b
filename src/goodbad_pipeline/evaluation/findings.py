"""What a reader must know before believing the numbers of a run."""

import pandas as pd

from goodbad_pipeline.evaluation.baselines import shortcut_warning
from goodbad_pipeline.evaluation.bootstrap import Interval
from goodbad_pipeline.evaluation.metrics import read_intervals
from goodbad_pipeline.evaluation.predictions import MODEL

FEW_IMAGES = 10
POOR_ECE = 0.1
SLICE_GAP = 0.1
BLIND_SHARE = 0.9
"""Share of what the model is worth above chance that is left without the centre, from which on that is worth a word."""


def list_findings(
    leaks: list[str],
    intervals: pd.DataFrame,
    per_class: pd.DataFrame,
    slices: pd.DataFrame,
    *,
    blind: float,
    sighted: float,
    ece_by_chance: float,
) -> list[dict[str, str]]:
    """List what is wrong, or too little to carry a claim.

    Args:
        leaks: What lies on two sides of the split.
        intervals: Metrics with intervals, column model.
        per_class: One row per class.
        slices: What `slice_table` gave.
        blind: Accuracy on images whose centre is masked.
        sighted: Accuracy on the same images as they are.
        ece_by_chance: What the calibration error of a calibrated model stays below.

    Returns:
        Findings, the gravest first, each with ``code`` (leakage, shortcut, background, baseline, calibration, slices,
        few_images) and ``text``.
    """
    bounds = read_intervals(intervals)
    found = [("leakage", f"Test results cannot be trusted: {leak}.") for leak in leaks]
    if ("shortcut", "balanced_accuracy") in bounds:
        warning = shortcut_warning(bounds["shortcut", "balanced_accuracy"], len(per_class))
        found += [("shortcut", warning)] if warning else []
    found += (
        _background(bounds["majority", "accuracy"].value, blind, sighted)
        + _beside_colours(bounds)
        + _calibration(bounds[MODEL, "ece"].value, ece_by_chance)
        + _weak_slices(bounds, slices)
        + _few_images(per_class)
    )
    return [{"code": code, "text": text} for code, text in found]


def _background(chance: float, blind: float, sighted: float) -> list[tuple[str, str]]:
    if sighted <= chance or blind - chance < BLIND_SHARE * (sighted - chance):
        return []
    text = (
        f"With the centre of every image masked accuracy is still {blind:.3f}, against {sighted:.3f} with it: the "
        "model may go by the background rather than by what stands before it."
    )
    return [("background", text)]


def _beside_colours(bounds: dict[tuple[str, str], Interval]) -> list[tuple[str, str]]:
    ours, colours = (bounds.get((model, "balanced_accuracy")) for model in (MODEL, "histogram"))
    if ours is None or colours is None or ours.low > colours.value:
        return []
    reach = f"from {ours.low:.3f}" if ours.low <= ours.value else "of too few groups for an interval"
    text = (
        f"Colours alone reach a balanced accuracy of {colours.value:.3f}, which lies within reach of the model's "
        f"{ours.value:.3f} ({reach}): these images do not show that the network is worth more."
    )
    return [("baseline", text)]


def _calibration(error: float, by_chance: float) -> list[tuple[str, str]]:
    if error <= max(POOR_ECE, by_chance):
        return []
    text = (
        f"Probabilities are {error:.3f} off on average, those of a calibrated model {by_chance:.3f} at most: read them "
        "as an order, not as chances."
    )
    return [("calibration", text)]


def _weak_slices(bounds: dict[tuple[str, str], Interval], slices: pd.DataFrame) -> list[tuple[str, str]]:
    accuracy = bounds[MODEL, "accuracy"].value
    weak = slices[slices["high"] < accuracy - SLICE_GAP].sort_values("accuracy").head(5)
    return [
        (
            "slices",
            f"Accuracy is {row.accuracy:.3f} where {row.column} is {row.value} ({row.images} images; 95 % interval "
            f"{row.low:.3f} to {row.high:.3f}), against {accuracy:.3f} over all.",
        )
        for row in weak.itertuples(index=False)
    ]


def _few_images(per_class: pd.DataFrame) -> list[tuple[str, str]]:
    scarce = per_class[per_class["support"] < FEW_IMAGES]
    if scarce.empty:
        return []
    names = ", ".join(f"{row['class']} ({row['support']})" for _, row in scarce.iterrows())
    return [("few_images", f"Too few test images to say much of: {names}.")]
