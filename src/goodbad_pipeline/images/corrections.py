"""Correct labels and exclude images without changing the source. Every correction has a reason and an author.

A corrections file is a CSV table. Each row names an image in the column ``path`` or ``image_id``. The column ``label``
has the correct label, or the column ``exclude`` has ``true``. The columns ``why`` and ``who`` name reason and author.
If the column ``keep`` has ``true``, a person looked at the image and found the label right; the row changes nothing.
The columns ``when`` and ``model_version`` are notes.
"""

import glob
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.manifests import csv_format
from goodbad_pipeline.images.rejections import QUARANTINE_COLUMNS, Reason
from goodbad_pipeline.images.stores import is_url

KEYS = ("path", "image_id")
COLUMNS = (*KEYS, "label", "exclude", "keep", "why", "who", "when", "model_version")
REPORT_COLUMNS = ["row", "path", "image_id", "before", "after", "why", "who", "status"]
EXCLUDED = "(excluded)"
APPLIED, NO_CHANGE, QUARANTINED = "applied", "unchanged", "already quarantined"
_YES, _NO = ("true", "yes", "1"), ("", "false", "no", "0")


@dataclass(frozen=True)
class Corrected:
    """The result of applying corrections."""

    images: pd.DataFrame  # the remaining images; column ``source_label`` holds the original labels
    excluded: pd.DataFrame  # quarantine rows
    report: pd.DataFrame  # one row per correction and image; column ``row`` counts from 1 below the file's header


def default_file(root: str) -> Path | None:
    """Return the corrections file beside ``root``, which need not exist; None if ``root`` is a URL or a pattern."""
    return None if is_url(root) or glob.has_magic(root) else Path(f"{root.rstrip('/')}.corrections.csv")


def read_corrections(file: Path | None) -> pd.DataFrame:
    """Read a corrections file as a table of text with the columns ``COLUMNS``. Row numbers start at 1.

    The table is empty if ``file`` is None.

    Raises:
        InputError: The file cannot be read, a column is unknown or missing, or a row is invalid.
    """
    if file is None:
        return pd.DataFrame(columns=list(COLUMNS), dtype=str)
    table = read_rows(file)
    for number, row in table.iterrows():
        _check(row, f"images.corrections: row {number} of '{file.name}'")
    return table


def read_rows(file: Path) -> pd.DataFrame:
    """Read a corrections file as :func:`read_corrections` does, but do not check the rows."""
    try:
        raw = pd.read_csv(file, dtype=str, keep_default_na=False, **csv_format(file, "why")).rename(columns=str.strip)
    except (OSError, ValueError) as error:
        raise InputError(f"images.corrections: must be a readable CSV file, got '{file}' ({error})") from error
    problems = [f"has no column '{name}'" for name in sorted({"why", "who"} - set(raw.columns))]
    problems += [f"has the column '{name}' twice" for name in raw.columns[raw.columns.duplicated()]]
    problems += [f"has an unknown column '{name}'" for name in sorted(set(raw.columns) - set(COLUMNS))]
    if problems:
        raise InputError(f"images.corrections: '{file.name}' {problems[0]}; known columns are {', '.join(COLUMNS)}")
    exact = raw.reindex(columns=list(COLUMNS), fill_value="")
    table = exact.apply(lambda column: column.str.strip())
    table["path"] = exact["path"].where(table["path"] != "", "")  # a file name may begin or end with a space
    table.index = pd.RangeIndex(1, len(table) + 1)
    return table


def _check(row: pd.Series, where: str) -> None:
    if (row["path"] != "") == (row["image_id"] != ""):
        got = f"path '{row['path']}' and image_id '{row['image_id']}'"
        raise InputError(f"{where} must have either a path or an image_id, got {got}")
    for name in ("exclude", "keep"):
        if row[name].lower() not in (*_YES, *_NO):
            raise InputError(f"{where}: {name} must be true, false or empty, got '{row[name]}'")
    if (row["label"] != "") == (row["exclude"].lower() in _YES):
        got = f"label '{row['label']}' and exclude '{row['exclude']}'"
        raise InputError(f"{where} must have either a label or exclude=true, got {got}")
    if row["keep"].lower() in _YES and row["label"] == "":
        raise InputError(f"{where}: with keep=true, the row must have the label that is kept, got exclude=true")
    for name in ("why", "who"):
        if row[name] == "":
            raise InputError(f"{where}: {name} must not be empty, so that others can check the correction")


def apply_corrections(images: pd.DataFrame, unreadable: pd.DataFrame, corrections: pd.DataFrame) -> Corrected:
    """Apply the corrections of :func:`read_corrections`: change labels of accepted images and exclude images.

    Corrections of files that the scan quarantined (``unreadable``) are reported, but have no effect. Rows with
    keep=true are ignored.

    Raises:
        InputError: A correction matches no file, corrections contradict each other, or a label is not a known class.
    """
    corrections = corrections[~is_true(corrections["keep"])]
    _require_known_labels(corrections, images)
    excludes = is_true(corrections["exclude"])
    corrections = corrections.assign(after=np.where(excludes, EXCLUDED, corrections["label"]))
    matches = _match(corrections, images).sort_values(["row", "position"])
    quarantined = _match(corrections, unreadable)
    _require_all_matched(corrections, {*matches["row"], *quarantined["row"]})
    new_labels = corrections["after"].reindex(matches["row"]).to_numpy()
    _require_agreement(images, matches, new_labels)
    applied = _report(corrections, images, matches, APPLIED)
    report = pd.concat([applied, _report(corrections, unreadable, quarantined, QUARANTINED)])
    report.loc[(report["before"] == report["after"]) & (report["status"] == APPLIED), "status"] = NO_CHANGE
    labels = images["label"].to_numpy(object, copy=True)
    labels[matches["position"]] = new_labels
    corrected = images.assign(label=labels.astype(str), source_label=images["label"])
    excluded = labels == EXCLUDED
    return Corrected(
        corrected[~excluded].reset_index(drop=True) if excluded.any() else corrected,
        _exclude(images, corrections, matches[new_labels == EXCLUDED]),
        report.sort_values(["row", "path"], ignore_index=True)[REPORT_COLUMNS],
    )


def is_true(column: pd.Series) -> pd.Series:
    """Return which cells of ``exclude`` or ``keep`` say yes."""
    return column.str.lower().isin(_YES)


def _match(corrections: pd.DataFrame, files: pd.DataFrame) -> pd.DataFrame:
    """Return one row per match: ``row`` is the number of the correction, ``position`` is the position of the file."""
    matches = []
    for key in KEYS:
        filled = corrections[corrections[key] != ""]
        named = np.flatnonzero(files[key].isin(filled[key]))  # few among perhaps millions
        positions = pd.DataFrame({key: files[key].iloc[named].to_numpy(object), "position": named})
        matches.append(filled[[key]].astype(object).rename_axis("row").reset_index().merge(positions, on=key))
    return pd.concat(matches)[["row", "position"]].astype(int)


def _report(corrections: pd.DataFrame, files: pd.DataFrame, matches: pd.DataFrame, status: str) -> pd.DataFrame:
    rows, matched = corrections.loc[matches["row"]], files.iloc[matches["position"]]
    return pd.DataFrame(
        {
            "row": matches["row"].to_numpy(),
            "path": matched["path"].to_numpy(),
            "image_id": matched["image_id"].to_numpy(),
            "before": matched["label"].to_numpy(),
            **{name: rows[name].to_numpy() for name in ("after", "why", "who")},
            "status": status,
        }
    )


def _exclude(images: pd.DataFrame, corrections: pd.DataFrame, matches: pd.DataFrame) -> pd.DataFrame:
    once = matches.drop_duplicates("position")
    rows = corrections.loc[once["row"]]
    details = [f"{why} ({who})" for why, who in zip(rows["why"], rows["who"], strict=True)]
    files = images[["path", "label", "size", "image_id"]]
    return files.iloc[once["position"]].assign(reason=str(Reason.EXCLUDED), detail=details)[QUARANTINE_COLUMNS]


def _require_known_labels(corrections: pd.DataFrame, images: pd.DataFrame) -> None:
    classes = sorted(images["label"].unique())
    for number, label in corrections["label"].items():
        if label not in ("", *classes):
            names = ", ".join(classes)
            raise InputError(f"images.corrections: row {number}: label must be one of {names}, got '{label}'")


def _require_all_matched(corrections: pd.DataFrame, matched: set[int]) -> None:
    unmatched = [number for number in corrections.index if number not in matched]
    if unmatched:
        first = corrections.loc[unmatched[0]]
        raise InputError(
            f"images.corrections: every row must match a file; rows without a file: {len(unmatched)}, the first is row "
            f"{unmatched[0]}, '{first['path'] or first['image_id']}'. Correct the row, or delete it if the file is gone"
        )


def _require_agreement(images: pd.DataFrame, matches: pd.DataFrame, new_labels: np.ndarray) -> None:
    distinct = pd.Series(new_labels).groupby(matches["position"].to_numpy()).nunique()
    for position in distinct.index[distinct > 1]:
        rows = ", ".join(map(str, matches.loc[matches["position"] == position, "row"]))
        raise InputError(f"images.corrections: rows {rows} contradict each other on '{images['path'][position]}'")
