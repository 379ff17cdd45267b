"""Where images and their labels come from: class folders, pre-split folders, or a manifest.

Each reader gives the same table of candidates: one row per image that is *said* to be there, before any is opened.
"""

import logging
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.paths import leaves_root, to_text

logger = logging.getLogger(__name__)

Layout = Literal["auto", "folders", "presplit", "manifest"]

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "val": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
DEFAULT_MANIFESTS = ("labels.csv", "labels.parquet")
OWN_COLUMNS = ("path", "label", "group", "split")
RESERVED_COLUMNS = (
    "image_id",
    "width",
    "height",
    "format",
    "animated",
    "size",
    "pixel_id",
    "fingerprint",
    "thumbnail",
    "source_split",
    "source_label",
    "copies",
)


@dataclass(frozen=True)
class Columns:
    """Names of the manifest's columns.

    Attributes:
        path: File, relative to the root.
        label: Class name.
        group: What must stay on one side of a split (a person, a scene, a unit). The default name may be absent; then
            every image is its own group. None leaves a column of that name alone.
        split: A split given by the data's owner; where it is given, a blank counts as train. The default name may be
            absent. None ignores it.
    """

    path: str = "path"
    label: str = "label"
    group: str | None = "group"
    split: str | None = "split"


@dataclass(frozen=True)
class Listing:
    """What is said to be in the root.

    Attributes:
        candidates: One row per image: path (relative to root, `/` between parts), label, group and split (None where
            not given), then every other column of the manifest.
        ignored: How many files of which name were passed over as hidden; `._*` stands for all that start so.
    """

    candidates: pd.DataFrame
    ignored: dict[str, int]


def read_candidates(root: Path, layout: Layout, manifest: str | None, columns: Columns) -> Listing:
    """List the images of ``root`` with what is known of each before it is opened.

    Args:
        root: Folder of the images.
        layout: ``folders`` (root/class/…), ``presplit`` (root/train/class/…), ``manifest``, or ``auto``: a manifest if
            one is named or root holds labels.csv or labels.parquet, else pre-split if the top folders are named like
            splits, else class folders.
        manifest: File name, relative to root or absolute; None for labels.csv or labels.parquet in root.
        columns: The manifest's column names.

    Returns:
        The images, and what was passed over.

    Raises:
        InputError: root is missing or empty, or the layout does not fit what is there.
    """
    if not root.is_dir():
        raise InputError(f"images.root: must be an existing folder, got '{root}'")
    found = _detect_layout(root, manifest) if layout == "auto" else layout
    logger.info("Reading %s as %s", root, found)
    ignored: Counter[str] = Counter()
    if found == "manifest":
        table = read_manifest(_find_manifest(root, manifest), columns)
    else:
        table = _read_folders(root, ignored, presplit=found == "presplit")
    if table.empty:
        raise InputError(f"images.root: no images found, '{root}' (read as {found}) is empty")
    return Listing(table, dict(sorted(ignored.items())))


def _detect_layout(root: Path, manifest: str | None) -> Layout:
    if manifest is not None or any((root / name).is_file() for name in DEFAULT_MANIFESTS):
        return "manifest"
    folders = [entry.name.lower() for entry in _visible(root) if entry.is_dir()]
    named_as_splits = bool(folders) and all(name in SPLIT_NAMES for name in folders)
    return "presplit" if named_as_splits and "train" in map(SPLIT_NAMES.get, folders) else "folders"


def _find_manifest(root: Path, manifest: str | None) -> Path:
    names = DEFAULT_MANIFESTS if manifest is None else (manifest,)
    for name in names:
        if (root / name).is_file():
            return root / name
    raise InputError(f"images.manifest: must be an existing file, got '{manifest or ' or '.join(names)}' in '{root}'")


def read_manifest(file: Path, columns: Columns) -> pd.DataFrame:
    """Read a CSV or Parquet manifest into the table of candidates.

    Raises:
        InputError: The file cannot be read, a named column is missing, or a path leaves the root.
    """
    raw = _read_table(file, columns)
    names = _resolve_columns(raw, columns, file)
    values = {own: _strings(raw[name], exact=own == "path") if name else None for own, name in names.items()}
    table = pd.DataFrame(values, index=raw.index)
    _require_inside_root(table["path"], file)
    table["split"] = _normalise_splits(table["split"], columns.split)
    extra = raw.drop(columns=[name for name in names.values() if name])
    clashing = [name for name in extra.columns if name in (*OWN_COLUMNS, *RESERVED_COLUMNS)]
    _require_free(clashing, extra, file)
    return table.join(extra.rename(columns={name: f"manifest_{name}" for name in clashing}))


def _require_free(clashing: list[str], extra: pd.DataFrame, file: Path) -> None:
    for name in clashing:
        if f"manifest_{name}" in extra.columns:
            raise InputError(
                f"images.manifest: '{file.name}' must not have both columns '{name}' and 'manifest_{name}', which is "
                "what the first is called in tables; rename one"
            )


def _read_table(file: Path, columns: Columns) -> pd.DataFrame:
    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(file)
        return read_manifest_csv(file, text=astuple(columns))
    except Exception as error:  # pandas and pyarrow raise their own types on broken files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"images.manifest: must be readable CSV or Parquet, got '{file}' ({reason})") from error


def _resolve_columns(raw: pd.DataFrame, columns: Columns, file: Path) -> dict[str, str | None]:
    """Map our four names to the manifest's; an optional one that keeps its default name may be absent."""
    names: dict[str, str | None] = {}
    for own in OWN_COLUMNS:
        name = getattr(columns, own)
        optional = own in ("group", "split") and name == own
        if name is None or (optional and name not in raw.columns):
            names[own] = None
        elif name in raw.columns:
            names[own] = name
        else:
            has = ", ".join(map(str, raw.columns))
            raise InputError(f"images.columns.{own}: '{file.name}' has no column '{name}'; it has: {has}")
    return names


def _strings(column: pd.Series, *, exact: bool) -> pd.Series:
    text = column.astype("string")
    stripped = text.str.strip()
    return (text if exact else stripped).astype(object).where(stripped.notna() & (stripped != ""), None)


def _require_inside_root(paths: pd.Series, file: Path) -> None:
    for row, path in enumerate(paths, start=1):
        if path is not None and leaves_root(path):
            raise InputError(
                f"images.manifest: every path must be relative to images.root and without '..'; row {row} of "
                f"'{file.name}' has '{path}'"
            )


def _normalise_splits(column: pd.Series, name: str | None) -> pd.Series:
    unknown = sorted({value for value in column.dropna() if value.lower() not in SPLIT_NAMES})
    if unknown:
        allowed = ", ".join(SPLIT_NAMES)
        raise InputError(f"images.columns.split: values of column '{name}' must be of {allowed}; got '{unknown[0]}'")
    given = column.map(lambda value: SPLIT_NAMES[value.lower()], na_action="ignore")
    return given.fillna("train") if given.notna().any() else given


def _read_folders(root: Path, ignored: Counter[str], *, presplit: bool) -> pd.DataFrame:
    depth = 2 if presplit else 1
    paths, labels, splits = [], [], []  # a million tuples would be the largest thing of a scan
    for path in walk_files(root, ignored):
        folders = path.split("/")[:-1]
        split = SPLIT_NAMES.get(folders[0].lower()) if presplit and folders else None
        placed = len(folders) >= depth and (split is not None or not presplit)
        paths.append(path)
        label = folders[depth - 1] if placed else ""
        labels.append(sys.intern(label) if label.strip() else None)
        splits.append(split)
    values = {"path": paths, "label": labels, "group": None, "split": splits}
    return pd.DataFrame(values, index=range(len(paths)), dtype=object)


def walk_files(root: Path, ignored: Counter[str]) -> Iterator[str]:
    """Yield the relative path of whatever lies below ``root`` and is no folder; what is hidden is counted instead.

    A link to a folder is not followed, and a folder that cannot be listed hides what is in it: both are yielded
    themselves, for the scan to set aside.
    """
    folders = [""]
    while folders:
        above = folders.pop()
        try:
            with os.scandir(os.path.join(root, above)) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            if not above:
                raise InputError(f"images.root: must be readable, '{root}' is not ({error.strerror})") from error
            yield to_text(above.removesuffix("/"))
            continue
        below = []
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if _is_hidden(entry.name):
                ignored[_name_ignored(entry.name) + "/" * is_folder] += 1
            elif is_folder:
                below.append(f"{above}{entry.name}/")
            else:
                yield to_text(above + entry.name)
        folders += reversed(below)


def _name_ignored(name: str) -> str:
    return "._*" if name.startswith("._") else to_text(name)


def _visible(root: Path) -> Iterator[Path]:
    return (entry for entry in root.iterdir() if not _is_hidden(entry.name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")


_NO_NUMBER = ("", "NA", "N/A", "NaN", "nan", "null", "None")  # in a column of numbers
_LOSES_DIGITS = r"\s*[+-]?(0\d|\d{16})"
"""Zeros in front, or more digits than a number of 64 bits is sure to hold: a code, no quantity."""


def read_manifest_csv(file: Path, text: Collection[str | None]) -> pd.DataFrame:
    """Read a CSV file; a cell that is empty is missing.

    Args:
        file: The file.
        text: Columns to leave as they are written, whatever they look like. Others become numbers where all that they
            hold are numbers, with no digit lost.

    Returns:
        Columns of text and of nullable numbers.

    Raises:
        ValueError: The file is no CSV, or not in UTF-8.
    """
    raw = pd.read_csv(file, dtype=str, keep_default_na=False)
    return raw.apply(lambda column: _filled(column) if column.name in text else _as_numbers(column))


def _filled(column: pd.Series) -> pd.Series:
    return column.where(column != "")


def _as_numbers(column: pd.Series) -> pd.Series:
    """The column as numbers if it is one of numbers, else as text."""
    known = column.where(~column.isin(_NO_NUMBER))
    if known.isna().all() or known.str.match(_LOSES_DIGITS).any():
        return _filled(column)
    try:
        return pd.to_numeric(known, dtype_backend="numpy_nullable")
    except ValueError:
        return _filled(column)
