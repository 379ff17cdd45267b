import numpy as np
import pandas as pd
import pytest

from goodbad_pipeline.evaluation.baselines import file_features, shortcut_baseline
from goodbad_pipeline.evaluation.bootstrap import Interval, resample_groups
from goodbad_pipeline.evaluation.findings import list_findings, shortcut_warning
from goodbad_pipeline.evaluation.metrics import interval_table, resampled_metrics
from goodbad_pipeline.evaluation.slices import SLICE_COLUMNS
from goodbad_pipeline.images.split_leakage import find_leaks
from goodbad_pipeline.images.splits import SPLITS


def files(seed, count=200, *, informative=None):
    """Return features of which only `informative` depends on the label."""
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, 2, count)
    table = pd.DataFrame(
        {
            "size": rng.integers(2000, 9000, count) + (6000 * y_true if informative == "size" else 0),
            "width": rng.integers(90, 120, count) + (40 * y_true if informative == "width" else 0),
            "height": rng.integers(90, 120, count),
            "format": np.where(y_true if informative == "format" else rng.random(count) < 0.5, "JPEG", "PNG"),
        }
    )
    exif = y_true.astype(bool) if informative == "exif" else rng.random(count) < 0.5
    return file_features(table, exif), y_true


def balanced_accuracy(informative):
    (train, y_true), (test, expected) = files(1, informative=informative), files(2, informative=informative)
    probabilities = shortcut_baseline(train, y_true, test, 2, seed=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    resamples = resample_groups(np.arange(len(expected)) // 2, 500, 0)
    rows = interval_table(resampled_metrics(expected, probabilities, resamples), expected, resamples).set_index(
        "metric"
    )
    return Interval(*rows.loc["balanced_accuracy", ["value", "low", "high"]])


@pytest.mark.parametrize("informative", ["size", "width", "format", "exif"])
def test_files_whose_properties_predict_the_label_are_reported(informative):
    interval = balanced_accuracy(informative)
    assert interval.low > 0.7
    warning = shortcut_warning(interval, 2)
    assert warning is not None
    assert f"balanced accuracy of {interval.value:.3f}" in warning
    assert "without the pixels" in warning


def test_uninformative_files_are_not_reported():
    interval = balanced_accuracy(None)
    assert interval.value == pytest.approx(0.5, abs=0.1)
    assert shortcut_warning(interval, 2) is None


def test_an_unknown_format_and_a_lone_class():
    train, y_true = files(1)
    test, _ = files(2)
    odd = test.drop(columns="format_PNG").assign(format_BMP=1.0)
    assert shortcut_baseline(train, y_true, odd, 3, seed=0).shape == (200, 3)
    np.testing.assert_array_equal(shortcut_baseline(train, y_true * 0, test, 2, seed=0)[:, 0], 1)
    assert shortcut_baseline(train, y_true, test[:0], 2, seed=0).shape == (0, 2)


def splits(**changes):
    table = pd.DataFrame({"split": ["train", "train", "test"], "group": list("aab"), "image_id": list("xyz")})
    return table.assign(pixel_id=list("pqr")).assign(**changes)


def test_leaks_are_found_by_group_file_and_pixels():
    assert find_leaks(splits()) == []
    assert find_leaks(splits(group=list("abb"))) == ["1 group in more than one split (first: b)"]
    assert find_leaks(splits(image_id=list("xyy"))) == ["1 file in more than one split (first: y)"]
    assert find_leaks(splits(pixel_id=list("ppp"))) == ["1 image in more than one split (first: p)"]


def findings_of(
    leaks=(),
    *,
    shortcut=0.5,
    colours=0.5,
    ece=0.02,
    support=40,
    slice_high=1.0,
    masked=0.6,
    unmasked=0.9,
    by_chance=0.05,
    uncalibrated=0.3,
    log_loss=0.3,
    rise=(-0.1, 0.1),
    labels=("bad", "good"),
    counts=(60, 60),
    groups=(12, 12, 12),
    wrong_labels=None,
):
    rows = [
        ("model", "accuracy", 0.9, 0.85, 0.95),
        ("model", "balanced_accuracy", 0.9, 0.85, 0.95),
        ("model", "ece", ece, np.nan, np.nan),
        ("majority", "accuracy", 0.5, 0.4, 0.6),
        ("histogram", "balanced_accuracy", colours, 0.4, 0.9),
        ("shortcut", "balanced_accuracy", shortcut, shortcut - 0.05, 1.0),
    ]
    intervals = pd.DataFrame(rows, columns=["model", "metric", "value", "low", "high"])
    slices = pd.DataFrame([("hair", "red", 30, 6, 0.6, 0.5, slice_high)], columns=SLICE_COLUMNS)
    per_class = pd.DataFrame({"class": ["bad", "good"], "support": [support, 40]})
    metrics = {"test_ece_by_chance": by_chance, "test_ece": ece, "uncalibrated_test_ece": 0.01}
    metrics |= {"uncalibrated_test_log_loss": uncalibrated, "test_log_loss": log_loss}
    metrics |= {"calibration_log_loss_rise": log_loss - uncalibrated}
    if rise:
        metrics |= {"calibration_log_loss_rise_low": rise[0], "calibration_log_loss_rise_high": rise[1]}
    of_split = [f"{split} {number}" for split, count in zip(SPLITS, groups, strict=True) for number in range(count)]
    rows = [
        (label, of_split[row % len(of_split)])
        for label, count in zip(labels, counts, strict=True)
        for row in range(count)
    ]
    splits = pd.DataFrame(rows, columns=["label", "group"]).assign(
        split=lambda table: table["group"].str.split().str[0]
    )
    return list_findings(
        splits,
        list(leaks),
        intervals,
        per_class,
        slices,
        masked_accuracy=masked,
        unmasked_accuracy=unmasked,
        test_metrics=metrics,
        wrong_labels=wrong_labels,
    )


def test_a_share_of_wrong_labels_above_one_percent_is_reported():
    assert findings_of(wrong_labels=Interval(0.01, 0.0, 0.04)) == []
    (finding,) = findings_of(wrong_labels=Interval(0.023, 0.011, 0.04))
    assert finding["code"] == "labels"
    assert "About 2.3% of the labels are wrong (95 % interval 1.1% to 4.0%)" in finding["text"]


def test_a_sound_run_has_no_findings():
    assert findings_of() == []
    assert findings_of(ece=0.15, by_chance=0.16) == []  # a calibrated model's could be as far off on these images
    assert findings_of(log_loss=0.32) == []  # chance may explain such a small rise
    assert findings_of(uncalibrated=0.3, log_loss=0.304, rise=(0.001, 0.007)) == []  # certain, but too small to matter
    assert findings_of(counts=(60, 1200)) == []
    assert findings_of(groups=(1, 10, 10)) == []


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"leaks": ["1 group in more than one split (first: b)"]}, "leakage", "cannot be trusted: 1 group"),
        ({"shortcut": 0.8}, "shortcut", "without the pixels"),
        ({"masked": 0.88}, "background", "masked, accuracy is still 0.880, against 0.900"),
        ({"masked": 0.75, "unmasked": 0.76}, "background", "masked, accuracy is still 0.750, against 0.760"),
        ({"colours": 0.87}, "baseline", "The colour histogram reaches a balanced accuracy of 0.870"),
        ({"ece": 0.15}, "calibration", "error is 0.150; a calibrated model would show at most 0.050 by chance"),
        (
            {"log_loss": 3.0, "rise": (-0.5, 6)},
            "calibration",
            "raised the log loss from 0.300 to 3.000 (95 % interval of the rise, by groups: -0.500 to +6.000, so "
            "chance may explain it) and changed the calibration error from 0.010 to 0.020. Give the validation",
        ),
        ({"log_loss": 0.31, "rise": (0.002, 0.02)}, "calibration", "by groups: +0.002 to +0.020) and changed"),
        ({"log_loss": 0.4, "rise": None}, "calibration", "from 0.300 to 0.400 (too few groups for an interval)"),
        ({"labels": ("Cat", "cat ")}, "labels", "The labels 'Cat', 'cat ' differ only by case or white space"),
        (
            {"counts": (60, 1201)},
            "imbalance",
            "'good' has 1,201 images and the class 'bad' 60, more than 20 : 1. Accuracy says little",
        ),
        ({"groups": (9, 9, 12)}, "few_groups", "(9 in validation; at least 10 are needed). Add images"),
        ({"groups": (9, 3, 1)}, "few_groups", "(3 in validation, 1 in test; at least 10 are needed)."),
        ({"slice_high": 0.7}, "slices", "Accuracy is 0.600 where hair is red (30 images"),
        ({"support": 4}, "few_images", "bad (4)"),
    ],
)
def test_each_finding_has_its_code_and_text(changes, code, text):
    (finding,) = findings_of(**changes)
    assert finding["code"] == code
    assert text in finding["text"]
