"""Findings: reasons to distrust the numbers of a run, in sentences for the report."""

import pandas as pd

from goodbad_pipeline.evaluation.bootstrap import Interval
from goodbad_pipeline.evaluation.metrics import read_intervals
from goodbad_pipeline.evaluation.predictions import MODEL

FEW_IMAGES = 10
POOR_ECE = 0.1
SLICE_GAP = 0.1
MASKED_SHARE = 0.9
"""Largest share of the accuracy above chance that may remain when the centre is masked."""
SHORTCUT_MARGIN = 0.05
"""How far above chance the balanced accuracy of the file properties alone may be."""


def list_findings(
    leaks: list[str],
    intervals: pd.DataFrame,
    per_class: pd.DataFrame,
    slices: pd.DataFrame,
    *,
    masked_accuracy: float,
    unmasked_accuracy: float,
    ece_by_chance: float,
) -> list[dict[str, str]]:
    """List what invalidates the results or leaves too little data for a claim, most serious first.

    ``masked_accuracy`` and ``unmasked_accuracy`` are measured on the same images, with and without a mask over their
    centres. ``ece_by_chance`` is the largest calibration error to expect from a calibrated model.

    Returns:
        Findings with ``code`` (leakage, shortcut, background, baseline, calibration, slices, few_images) and ``text``.
    """
    bounds = read_intervals(intervals)
    shortcut = bounds.get(("shortcut", "balanced_accuracy"))
    findings = [
        *(("leakage", f"Test results cannot be trusted: {leak}.") for leak in leaks),
        ("shortcut", shortcut and shortcut_warning(shortcut, len(per_class))),
        ("background", _background(bounds["majority", "accuracy"].value, masked_accuracy, unmasked_accuracy)),
        ("baseline", _no_better_than_colours(bounds)),
        ("calibration", _poor_calibration(bounds[MODEL, "ece"].value, ece_by_chance)),
        *(("slices", text) for text in _weak_slices(bounds[MODEL, "accuracy"].value, slices)),
        ("few_images", _few_images(per_class)),
    ]
    return [{"code": code, "text": text} for code, text in findings if text]


def shortcut_warning(balanced_accuracy: Interval, classes: int) -> str | None:
    """Return a warning if the file properties alone predict the labels significantly better than chance."""
    score = balanced_accuracy
    if not score.low > 1 / classes + SHORTCUT_MARGIN:
        return None
    return (
        "Labels can be predicted without the pixels: file size, dimensions, format and EXIF alone reach a balanced "
        f"accuracy of {score.value:.3f} (95 % interval {score.low:.3f} to {score.high:.3f}; chance is "
        f"{1 / classes:.3f}). The model may have learnt how the images were made, not what they show."
    )


def _background(chance: float, masked: float, unmasked: float) -> str | None:
    if unmasked <= chance or masked - chance < MASKED_SHARE * (unmasked - chance):
        return None
    return (
        f"With the centre of every image masked, accuracy is still {masked:.3f}, against {unmasked:.3f} without the "
        "mask: the model may rely on the background rather than on the subject."
    )


def _no_better_than_colours(bounds: dict[tuple[str, str], Interval]) -> str | None:
    model, colours = (bounds.get((name, "balanced_accuracy")) for name in (MODEL, "histogram"))
    if model is None or colours is None or model.low > colours.value:
        return None
    known = model.low <= model.value
    interval = f"95 % interval from {model.low:.3f}" if known else "too few groups for an interval"
    return (
        f"The colour baseline reaches a balanced accuracy of {colours.value:.3f}. The model's {model.value:.3f} "
        f"({interval}) is not significantly better on these images."
    )


def _poor_calibration(error: float, by_chance: float) -> str | None:
    if error <= max(POOR_ECE, by_chance):
        return None
    return (
        f"The calibration error is {error:.3f}; a calibrated model would show {by_chance:.3f} at most. Use the "
        "probabilities to rank images, not as probabilities."
    )


def _weak_slices(accuracy: float, slices: pd.DataFrame) -> list[str]:
    weak = slices[slices["high"] < accuracy - SLICE_GAP].sort_values("accuracy").head(5)
    return [
        f"Accuracy is {row.accuracy:.3f} where {row.column} is {row.value} ({row.images} images; 95 % interval "
        f"{row.low:.3f} to {row.high:.3f}), against {accuracy:.3f} over all."
        for row in weak.itertuples(index=False)
    ]


def _few_images(per_class: pd.DataFrame) -> str | None:
    scarce = per_class[per_class["support"] < FEW_IMAGES]
    if scarce.empty:
        return None
    names = ", ".join(f"{name} ({support})" for name, support in zip(scarce["class"], scarce["support"], strict=True))
    return f"Too few test images for a claim about: {names}."
