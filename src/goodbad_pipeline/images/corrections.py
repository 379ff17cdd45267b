"""Corrections of labels, laid over what the source says: who changed what, and why. The source itself stays as it is.

A corrections file is a CSV table with the columns path or image_id (or both, one filled in each row), label (the right
one) or exclude (``true``), why and who.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.reasons import QUARANTINE_COLUMNS, Reason

KEYS = ("path", "image_id")
COLUMNS = (*KEYS, "label", "exclude", "why", "who")
REPORT_COLUMNS = ["row", "path", "image_id", "before", "after", "why", "who", "status"]
EXCLUDED = "(excluded)"
APPLIED, NO_CHANGE, SET_ASIDE = "applied", "was so already", "set aside already"
_YES, _NO = ("true", "yes", "1"), ("", "false", "no", "0")


@dataclass(frozen=True)
class Corrected:
    """Images after their corrections.

    Attributes:
        images: The accepted images with their right labels; column ``source_label`` keeps what the source says.
        excluded: Quarantine rows of those that a correction takes out.
        report: One row a correction and image: row (of the file, 1 is the first below the header), path, image_id,
            before, after (labels, or ``(excluded)``), why, who and status.
    """

    images: pd.DataFrame
    excluded: pd.DataFrame
    report: pd.DataFrame


def read_corrections(file: Path | None) -> pd.DataFrame:
    """Read a corrections file; None gives no corrections.

    Returns:
        Text columns ``COLUMNS``, empty where nothing is said; the index counts rows from 1.

    Raises:
        InputError: The file cannot be read, a column is unknown or missing, or a row breaks a rule.
    """
    if file is None:
        return pd.DataFrame(columns=list(COLUMNS), dtype=str)
    try:
        raw = pd.read_csv(file, dtype=str, keep_default_na=False).rename(columns=str.strip)
    except (OSError, ValueError) as error:
        raise InputError(f"images.corrections: must be a readable CSV file, got '{file}' ({error})") from error
    problems = [f"has no column '{name}'" for name in sorted({"why", "who"} - set(raw.columns))]
    problems += [f"has the column '{name}' twice" for name in raw.columns[raw.columns.duplicated()]]
    problems += [f"has an unknown column '{name}'" for name in sorted(set(raw.columns) - set(COLUMNS))]
    if problems:
        raise InputError(f"images.corrections: '{file.name}' {problems[0]}; columns are {', '.join(COLUMNS)}")
    exact = raw.reindex(columns=list(COLUMNS), fill_value="")
    table = exact.apply(lambda column: column.str.strip())
    table["path"] = exact["path"].where(table["path"] != "", "")  # a file's name may begin or end with a blank
    table.index = pd.RangeIndex(1, len(table) + 1)
    for number, row in table.iterrows():
        _check(row, f"images.corrections: row {number} of '{file.name}'")
    return table


def _check(row: pd.Series, where: str) -> None:
    if (row["path"] != "") == (row["image_id"] != ""):
        raise InputError(f"{where} must name a path or an image_id, got '{row['path']}' and '{row['image_id']}'")
    if row["exclude"].lower() not in (*_YES, *_NO):
        raise InputError(f"{where}: exclude must be true, false or empty, got '{row['exclude']}'")
    if (row["label"] != "") == (row["exclude"].lower() in _YES):
        raise InputError(f"{where} must give a label or exclude, got '{row['label']}' and '{row['exclude']}'")
    for name in ("why", "who"):
        if row[name] == "":
            raise InputError(f"{where} must say {name}: a correction that nobody answers for cannot be checked")


def apply_corrections(images: pd.DataFrame, unreadable: pd.DataFrame, corrections: pd.DataFrame) -> Corrected:
    """Change labels and take images out as the corrections say.

    Args:
        images: Accepted images of a scan.
        unreadable: Quarantine rows of the scan; a correction of one of these has nothing left to do.
        corrections: Table of :func:`read_corrections`.

    Raises:
        InputError: A correction fits no file, two contradict each other, or a label is not one of the classes.
    """
    _require_known_labels(corrections, images)
    after = pd.Series(np.where(corrections["exclude"].str.lower().isin(_YES), EXCLUDED, corrections["label"]))
    after.index = corrections.index
    said = corrections.assign(after=after)
    matches = [_match(said, images, key) for key in KEYS]
    found = pd.concat(matches)[["row", "place"]].astype(int).sort_values(["row", "place"])
    aside = pd.concat([_match(said, unreadable, key) for key in KEYS])[["row", "place"]].astype(int)
    _require_all_matched(said, {*found["row"], *aside["row"]})
    chosen = said["after"].reindex(found["row"]).to_numpy()
    _require_agreement(images, found, chosen)
    report = pd.concat([_report(said, images, found, APPLIED), _report(said, unreadable, aside, SET_ASIDE)])
    report.loc[(report["before"] == report["after"]) & (report["status"] == APPLIED), "status"] = NO_CHANGE
    labels = images["label"].to_numpy(object, copy=True)
    labels[found["place"]] = chosen
    corrected = images.assign(label=labels.astype(str), source_label=images["label"])
    out = labels == EXCLUDED
    return Corrected(
        corrected[~out].reset_index(drop=True) if out.any() else corrected,
        _exclude(images, said, found[chosen == EXCLUDED]),
        report.sort_values(["row", "path"], ignore_index=True)[REPORT_COLUMNS],
    )


def _match(said: pd.DataFrame, files: pd.DataFrame, key: str) -> pd.DataFrame:
    """Which row of the corrections fits which place in ``files``: columns row and place."""
    wanted = said[said[key] != ""]
    named = np.flatnonzero(files[key].isin(wanted[key]))  # few of perhaps millions
    places = pd.DataFrame({key: files[key].iloc[named].to_numpy(object), "place": named})
    return wanted[[key]].astype(object).rename_axis("row").reset_index().merge(places, on=key)


def _report(said: pd.DataFrame, files: pd.DataFrame, found: pd.DataFrame, status: str) -> pd.DataFrame:
    rows, places = said.loc[found["row"]], files.iloc[found["place"]]
    return pd.DataFrame(
        {
            "row": found["row"].to_numpy(),
            "path": places["path"].to_numpy(),
            "image_id": places["image_id"].to_numpy(),
            "before": places["label"].to_numpy(),
            **{name: rows[name].to_numpy() for name in ("after", "why", "who")},
            "status": status,
        }
    )


def _exclude(images: pd.DataFrame, said: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    once = found.drop_duplicates("place")
    rows = said.loc[once["row"]]
    details = [f"{why} ({who})" for why, who in zip(rows["why"], rows["who"], strict=True)]
    known = images[["path", "label", "size", "image_id"]]
    return known.iloc[once["place"]].assign(reason=str(Reason.EXCLUDED), detail=details)[QUARANTINE_COLUMNS]


def _require_known_labels(corrections: pd.DataFrame, images: pd.DataFrame) -> None:
    classes = sorted(images["label"].unique())
    for number, label in corrections["label"].items():
        if label not in ("", *classes):
            raise InputError(
                f"images.corrections: row {number}: label must be one of {', '.join(classes)}, got '{label}'"
            )


def _require_all_matched(said: pd.DataFrame, matched: set[int]) -> None:
    lost = [number for number in said.index if number not in matched]
    if lost:
        named = said.loc[lost[0], "path"] or said.loc[lost[0], "image_id"]
        raise InputError(
            f"images.corrections: every row must fit a file; {len(lost)} do not, the first is row {lost[0]}, "
            f"'{named}': put it right, or take it out if the file is gone"
        )


def _require_agreement(images: pd.DataFrame, found: pd.DataFrame, chosen: np.ndarray) -> None:
    answers = pd.Series(chosen).groupby(found["place"].to_numpy()).nunique()
    for place in answers.index[answers > 1]:
        rows = ", ".join(map(str, found.loc[found["place"] == place, "row"]))
        raise InputError(f"images.corrections: rows {rows} contradict each other on '{images['path'][place]}'")
