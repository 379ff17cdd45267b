"""Findings: reasons to distrust the numbers of a run, in sentences for the report."""

import math
from collections.abc import Mapping

import pandas as pd

from goodbad_pipeline.evaluation.bootstrap import Interval
from goodbad_pipeline.evaluation.metrics import read_intervals
from goodbad_pipeline.evaluation.predictions import MODEL
from goodbad_pipeline.images.layouts import similar_labels
from goodbad_pipeline.images.splits import class_names

FEW_IMAGES = 10
FEW_GROUPS = 10
MAX_CLASS_RATIO = 20
POOR_ECE = 0.1
LOG_LOSS_RISE = 0.005
"""Largest rise of the log loss by calibration that is too small to report."""
LOG_LOSS_RISE_SHARE = 0.1
"""Rise, as a share of the log loss before calibration, that is reported even if chance may explain it."""
SLICE_GAP = 0.1
MASKED_SHARE = 0.9
"""Largest share of the accuracy above chance that may remain when the centre is masked."""
WRONG_LABELS = 0.01
"""Largest estimated share of wrong labels that is not reported."""
SHORTCUT_MARGIN = 0.05
"""How far above chance the balanced accuracy of the file properties alone may be."""


def list_findings(
    splits: pd.DataFrame,
    leaks: list[str],
    intervals: pd.DataFrame,
    per_class: pd.DataFrame,
    slices: pd.DataFrame,
    *,
    masked_accuracy: float,
    unmasked_accuracy: float,
    test_metrics: Mapping[str, float],
    wrong_labels: Interval | None,
) -> list[dict[str, str]]:
    """List what invalidates the results or leaves too little data for a claim, most serious first.

    ``masked_accuracy`` and ``unmasked_accuracy`` are measured on the same images, with and without a mask over their
    centres. ``wrong_labels`` is the share of wrong labels that a review estimated.

    Returns:
        Findings with ``code`` (leakage, labels, shortcut, background, baseline, calibration, slices, imbalance,
        few_groups, few_images) and ``text``.
    """
    bounds = read_intervals(intervals)
    shortcut = bounds.get(("shortcut", "balanced_accuracy"))
    findings = [
        *(("leakage", f"Test results cannot be trusted: {leak}.") for leak in leaks),
        *(("labels", text) for text in similar_labels(class_names(splits))),
        ("labels", wrong_labels and _wrong_labels(wrong_labels)),
        ("shortcut", shortcut and shortcut_warning(shortcut, len(per_class))),
        ("background", _background(bounds["majority", "accuracy"].value, masked_accuracy, unmasked_accuracy)),
        ("baseline", _no_better_than_colours(bounds)),
        ("calibration", _harmful_calibration(test_metrics)),
        ("calibration", _poor_calibration(bounds[MODEL, "ece"].value, test_metrics["test_ece_by_chance"])),
        *(("slices", text) for text in _weak_slices(bounds[MODEL, "accuracy"].value, slices)),
        ("imbalance", _imbalance(splits["label"].value_counts())),
        ("few_groups", _few_groups(splits)),
        ("few_images", _few_images(per_class)),
    ]
    return [{"code": code, "text": text} for code, text in findings if text]


def shortcut_warning(balanced_accuracy: Interval, classes: int) -> str | None:
    """Return a warning if the file properties alone predict the labels significantly better than chance."""
    score = balanced_accuracy
    if not score.low > 1 / classes + SHORTCUT_MARGIN:
        return None
    return (
        "Labels can be predicted without the pixels: file properties (size, dimensions, format, EXIF) reach a balanced "
        f"accuracy of {score.value:.3f} (95 % interval {score.low:.3f} to {score.high:.3f}; chance is "
        f"{1 / classes:.3f}). The model may have learnt how the images were made, not what they show."
    )


def _wrong_labels(share: Interval) -> str | None:
    if share.value <= WRONG_LABELS:
        return None
    return (
        f"About {share.value:.1%} of the labels are wrong (95 % interval {share.low:.1%} to {share.high:.1%}), as "
        "--pipeline=review estimated. Correct the labels on the page that make review opens."
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
    interval = f"lower end of the 95 % interval: {model.low:.3f}" if known else "too few groups for an interval"
    return (
        f"The colour histogram reaches a balanced accuracy of {colours.value:.3f}. The model's {model.value:.3f} "
        f"({interval}) is not significantly better on these images."
    )


def _harmful_calibration(metrics: Mapping[str, float]) -> str | None:
    before, rise = metrics["uncalibrated_test_log_loss"], metrics["calibration_log_loss_rise"]
    low, high = (metrics.get(f"calibration_log_loss_rise_{bound}", math.nan) for bound in ("low", "high"))
    if rise <= LOG_LOSS_RISE or not (low > 0 or rise > LOG_LOSS_RISE_SHARE * before):
        return None
    interval = "too few groups for an interval"
    if low <= high:
        verdict = "" if low > 0 else ", so chance may explain it"
        interval = f"95 % interval of the rise, by groups: {low:+.3f} to {high:+.3f}{verdict}"
    return (
        f"Calibration made the probabilities worse: on the test images it raised the log loss from {before:.3f} to "
        f"{metrics['test_log_loss']:.3f} ({interval}) and changed the calibration error from "
        f"{metrics['uncalibrated_test_ece']:.3f} to {metrics['test_ece']:.3f}. Give the validation split more "
        "groups, with more images or a larger splits.fractions.validation. Until then, use the probabilities only to "
        "rank images."
    )


def _poor_calibration(error: float, by_chance: float) -> str | None:
    if error <= max(POOR_ECE, by_chance):
        return None
    return (
        f"The calibration error is {error:.3f}; a calibrated model would show at most {by_chance:.3f} by "
        "chance. Use the "
        "probabilities to rank images, not as probabilities."
    )


def _weak_slices(accuracy: float, slices: pd.DataFrame) -> list[str]:
    weak = slices[slices["high"] < accuracy - SLICE_GAP].sort_values("accuracy").head(5)
    return [
        f"Accuracy is {row.accuracy:.3f} where {row.column} is {row.value} ({row.images} images; 95 % interval "
        f"{row.low:.3f} to {row.high:.3f}), against {accuracy:.3f} on all test images."
        for row in weak.itertuples(index=False)
    ]


def _imbalance(counts: "pd.Series[int]") -> str | None:
    most, least = counts.index[0], counts.index[-1]
    if counts.iloc[0] <= MAX_CLASS_RATIO * counts.iloc[-1]:
        return None
    return (
        f"The class '{most}' has {counts.iloc[0]:,} images and the class '{least}' {counts.iloc[-1]:,}, more than "
        f"{MAX_CLASS_RATIO} : 1. Accuracy says little about '{least}': judge by balanced accuracy, train with "
        f"training.class_weights=true, or add images of '{least}'."
    )


def _few_groups(splits: pd.DataFrame) -> str | None:
    counts = splits.groupby("split")["group"].nunique()
    few = [f"{counts[split]} in {split}" for split in ("validation", "test") if counts.get(split, 0) < FEW_GROUPS]
    if not few:
        return None
    return (
        f"Too few groups of images for reliable results ({', '.join(few)}; at least {FEW_GROUPS} are needed). Add "
        "images of other groups (persons, scenes or series), enlarge the split with splits.fractions, or test on each "
        "part of the data in turn with splits.folds."
    )


def _few_images(per_class: pd.DataFrame) -> str | None:
    scarce = per_class[per_class["support"] < FEW_IMAGES]
    if scarce.empty:
        return None
    names = ", ".join(f"{name} ({support})" for name, support in zip(scarce["class"], scarce["support"], strict=True))
    return f"Too few test images for a claim about: {names}."
