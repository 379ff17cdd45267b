"""Read a manifest: a CSV or Parquet table with the path and the label of each image."""

import codecs
import logging
import os
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd

from goodbad_pipeline.errors import InputError, option
from goodbad_pipeline.images.layouts import SPLIT_NAMES, split_of
from goodbad_pipeline.images.paths import Root, Store, leaves_root, locate, printable, to_text
from goodbad_pipeline.images.reading import MEASURED_COLUMNS

logger = logging.getLogger(__name__)

SEPARATORS = ",;\t|"
SAMPLE = 100  # paths by which the folder of all images is found
LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "target", "breed", "species")
_LABEL_MARKS = "|;,"  # characters between several labels of one image
_JOINED = "label of the class columns"
PARQUET_SUFFIXES = (".parquet", ".pq")
OWN_COLUMNS = ("path", "label", "group", "split")
RESERVED_COLUMNS = (*MEASURED_COLUMNS, "source_split", "source_label", "copies")
_MISSING_NUMBERS = ("NA", "N/A", "NaN", "nan", "null", "None")  # missing values in a numeric column
_CODE = r"\s*[+-]?(0\d|\d{16})"  # a code, not a number: leading zeros, or more digits than a float64 keeps


@dataclass(frozen=True)
class Columns:
    """Names of the manifest's columns.

    If ``group`` and ``split`` have their default names, the manifest may lack these columns. A column whose
    name is None is ignored. Without groups, every image is its own group. If any row has a split, rows without a split
    are in train.
    """

    path: str = "path"  # file, relative to the root
    label: str | Sequence[str] = "label"  # class name; or one column per class, with 1 for the image's class, else 0
    group: str | None = "group"  # images that must stay in one split (a person, a scene, a unit)
    split: str | None = "split"


def read_manifest(file: Path, columns: Columns, root: Root) -> pd.DataFrame:
    """Return the table of a manifest; see :func:`arrange_columns`."""
    logger.info("Reading %s as the manifest of %s", file.name, root)
    raw = _read_table(file, columns)
    if raw.empty:
        raise InputError(f"images.manifest: must have a row for each image, but '{file.name}' has no rows")
    table = arrange_columns(raw, columns, file, root)
    _warn_of_folders(table, file)
    return table


def _warn_of_folders(table: pd.DataFrame, file: Path) -> None:
    """Warn if images are in folders that are named like another class than the image's label."""
    folders = table["path"].str.extract(r"([^/]+)/[^/]*$", expand=False)
    in_classes = folders.isin(set(table["label"].dropna()))
    differing = table[in_classes & table["label"].notna() & (folders != table["label"])]
    if len(differing):
        path, label = differing[["path", "label"]].iloc[0]
        layout = "presplit" if split_of(path.split("/")[0]) else "folders"
        logger.warning(
            "%d of %d labels of %s differ from the image's folder (first: %s as '%s'). If the folders are right, add "
            "--params=images.layout=%s",
            *(len(differing), in_classes.sum(), file.name, printable(path), printable(label), layout),
        )


def arrange_columns(raw: pd.DataFrame, columns: Columns, file: Path, root: Root) -> pd.DataFrame:
    """Return path, label, group and split of each row, then the manifest's other columns.

    Returned paths are relative to ``root``. Paths in ``raw`` may also be absolute, have backslashes, lack the file
    extension, or be relative to a folder in ``root`` that contains all images.

    Raises:
        InputError: A column is missing, a path leaves ``root``, an image has several labels, or a split is unknown.
    """
    if not isinstance(columns.label, str):
        raw, columns = _join_classes(raw, columns.label, file), replace(columns, label=_JOINED)
    names = _resolve_columns(raw, columns, file, root)
    values = {own: _to_text(raw[name], strip=own != "path") if name else None for own, name in names.items()}
    table = pd.DataFrame(values, index=raw.index)
    _require_one_label(table["label"], file)
    table["path"] = _find_paths(table["path"], file, root)
    table["split"] = _normalise_splits(table["split"], columns.split)
    extra = raw.drop(columns=[name for name in names.values() if name])
    clashing = [name for name in extra.columns if name in (*OWN_COLUMNS, *RESERVED_COLUMNS)]
    for name in clashing:
        if f"manifest_{name}" in extra.columns:
            raise InputError(
                f"images.manifest: '{file.name}' must not have both columns '{name}' and 'manifest_{name}', because "
                f"'{name}' is stored under the name 'manifest_{name}'; rename one of the two columns"
            )
    return table.join(extra.rename(columns={name: f"manifest_{name}" for name in clashing}))


def _read_table(file: Path, columns: Columns) -> pd.DataFrame:
    """Read a manifest. Numeric columns of a CSV file become nullable numbers, unless ``columns`` names the column."""
    try:
        if file.suffix.lower() in PARQUET_SUFFIXES:
            return pd.read_parquet(file)
        raw = pd.read_csv(file, dtype=str, keep_default_na=False, **csv_format(file, columns.path))
        text = raw.where(raw != "")
        own = [name.casefold() for name in astuple(columns) if isinstance(name, str)]
        return text.apply(lambda column: column if column.name.casefold() in own else _to_numbers(column))
    except pd.errors.EmptyDataError as error:
        raise InputError(f"images.manifest: must have a row for each image, but '{file.name}' is empty") from error
    except Exception as error:  # pandas and pyarrow raise their own types on broken files
        reason = first_line(error).removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"images.manifest: must be readable CSV or Parquet, got '{file}' ({reason})") from error


def _to_numbers(column: pd.Series) -> pd.Series:
    """Return the column as numbers, or unchanged if a value is text or a code such as 007."""
    numbers = column.where(~column.isin(_MISSING_NUMBERS))
    if numbers.isna().all() or numbers.str.match(_CODE).any():
        return column
    try:
        return pd.to_numeric(numbers, dtype_backend="numpy_nullable")
    except ValueError:
        return column


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _resolve_columns(raw: pd.DataFrame, columns: Columns, file: Path, root: Root) -> dict[str, str | None]:
    """Return the manifest's column of path, label, group and split; None for an absent or ignored column."""
    names: dict[str, str | None] = {}
    for own in OWN_COLUMNS:
        name = getattr(columns, own)
        if name is None or (own in ("group", "split") and name == own and find_column(name, raw.columns) is None):
            names[own] = None
            continue
        hint, present = "", raw.columns
        if own in ("path", "label") and find_column(name, present) is None:
            if file == Path(str(root)):  # an archive, whose column of paths is no column of the file
                present = present.drop(columns.path)
            hint = _advise(raw, columns, root) if len(present) else ""
        names[own] = require_column(own, name, present, file, hint)
    return names


def find_column(name: str, present: Iterable[str]) -> str | None:
    """Return the column ``name``, or the only column that differs from ``name`` by case, or None."""
    alike = [column for column in present if str(column).casefold() == name.casefold()]
    return name if name in alike else alike[0] if len(alike) == 1 else None


def require_column(own: str, name: str, present: Iterable[str], file: Path, hint: str = "") -> str:
    """Call :func:`find_column`. If ``file`` lacks the column, raise an InputError that ends with ``hint``."""
    found = find_column(name, present)
    if found is None:
        columns = ", ".join(map(str, present)) or "only images; add a column of labels"
        raise InputError(f"images.columns.{own}: '{file.name}' has no column '{name}'; it has: {columns}{hint}")
    return found


def _advise(raw: pd.DataFrame, columns: Columns, root: Root) -> str:
    """Return the end of an error message: the likely columns of paths and labels, or that the header is missing."""
    files = _Folders(root).by_name
    if any(re.search(r"\.|^\d+$", str(name)) and _name_key(name) in files for name in raw.columns):
        return ". The header line is missing; begin the file with a line such as path,label"
    missing: dict[str, str | None] = {}
    path = find_column(columns.path, raw.columns)
    if path is None:
        path = missing["path"] = _guess_path(raw, files)
    if find_column(str(columns.label), raw.columns) is None:
        others = [name for name in raw.columns if name not in (path, columns.group, columns.split)]
        missing["label"] = _guess_label(raw[others])
    settings = ",".join(f"images.columns.{own}={name or 'NAME'}" for own, name in missing.items())
    if None in missing.values():
        return f". Add {settings} to --params, with the names of the right columns"
    parameter, _, rest = settings.partition("=")
    return f". If this names the right columns, add {option(parameter, rest)}"


def _guess_path(raw: pd.DataFrame, files: Container[str]) -> str | None:
    """Return the column that names the most files, or None if no column names a file in most rows."""
    values = raw.head(SAMPLE).astype(str)
    hits = values.map(lambda value: _name_key(value) in files).mean()
    return str((hits * values.nunique()).idxmax()) if hits.max() > 0.5 else None


def _guess_label(raw: pd.DataFrame) -> str | None:
    """Return the likely column of labels, or the columns of zeros and ones as a list in brackets, or None."""
    few = [name for name, count in raw.astype(str).nunique().items() if 2 <= count <= max(2, len(raw) // 2)]
    marks = [str(name) for name in few if set(raw[name].dropna().astype(str)) == {"0", "1"}]
    likely = [name for name in few if str(name).lower() in LABEL_NAMES] or few
    if len(likely) == 1:
        return str(likely[0])
    return f"[{', '.join(marks)}]" if len(marks) > 1 else None


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _name_key(path: object) -> str:
    return _key(re.sub(r"\.\w+$", "", re.split(r"[\\/]", str(path))[-1])).lstrip("0")


def csv_format(file: Path, column: str) -> dict[str, Any]:
    """Return the encoding and separator of a CSV file with this column, as arguments of `pandas.read_csv`."""
    with file.open("rb") as stream:
        start = stream.read(2)
    encoding = "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        with file.open(encoding=encoding) as text:
            header = next(text, "")
            deque(text, maxlen=0)  # decode the whole file, to find bytes of another encoding
    except UnicodeDecodeError:
        encoding = "cp1252"
        with file.open(encoding=encoding) as text:
            header = next(text, "")
    named = (mark for mark in SEPARATORS if column in [cell.strip(' "') for cell in header.strip().split(mark)])
    separator = next(named, max(SEPARATORS, key=header.count))
    if (encoding, separator) != ("utf-8-sig", ","):
        logger.info("Reading %s as %s, separated by %r", file.name, encoding, separator)
    return {"encoding": encoding, "sep": separator}


def _join_classes(raw: pd.DataFrame, names: Sequence[str], file: Path) -> pd.DataFrame:
    """Replace the class columns ``names`` by one column of labels. A row's label is the column that has 1."""
    for name in names:
        require_column("label", name, raw.columns, file)
    marks = raw[list(names)].apply(pd.to_numeric, errors="coerce").astype(float)
    wrong = ~marks.isin([0, 1]).all(axis=1) | (marks.sum(axis=1) > 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"images.columns.label: at most one of {', '.join(names)} may be 1 and the others must be 0; row {row + 1} "
            f"of '{file.name}' has {', '.join(map(str, raw[list(names)].iloc[row]))}"
        )
    label = marks.idxmax(axis=1).where(marks.any(axis=1), None)
    return raw.drop(columns=list(names)).assign(**{_JOINED: label})


def _require_one_label(labels: pd.Series, file: Path) -> None:
    """Raise an InputError if a label joins other labels: ``cat|dog`` if ``cat`` and ``dog`` are labels too."""
    known = labels.dropna().drop_duplicates()
    for mark in _LABEL_MARKS:
        parts = {label: {part.strip() for part in label.split(mark)} for label in known if mark in label}
        single = set(known) - set(parts)
        for label, own in parts.items():
            others = set().union(*(other for name, other in parts.items() if name != label), single)
            if len(own) > 1 and (own <= single if mark == "," else own & others):  # commas occur in names of classes
                row = int(np.argmax(labels == label)) + 1
                raise InputError(
                    f"images.columns.label: every image must have one label; row {row} of '{file.name}' has '{label}'. "
                    f"Keep one label, or write the combination without '{mark}' if the combination is a class"
                )


def _to_text(column: pd.Series, *, strip: bool) -> pd.Series:
    text = column.astype("string")
    stripped = text.str.strip()
    return (stripped if strip else text).astype(object).where(stripped.notna() & (stripped != ""), None)


def _find_paths(paths: pd.Series, file: Path, root: Root) -> pd.Series:
    """Return the paths relative to ``root``. For a missing file, return the only similar path that exists."""
    above = (f"{root}/", f"{root.resolve()}/") if isinstance(root, Path) else (f"{root}/",)
    found: list[str] = []  # an empty text for a row without a path
    for row, path in enumerate(paths, start=1):
        text = "" if path is None else path
        prefix = next((prefix for prefix in above if text.startswith(prefix)), "")
        found.append(text.removeprefix(prefix).removeprefix("./"))
        if leaves_root(found[-1]):
            raise InputError(
                f"images.manifest: every path must be in images.root and contain no '..'; row {row} of '{file.name}' "
                f"has '{path}', and images.root is '{root}'. Correct the path or images.root"
            )
    folders = _Folders(root)
    missing = [row for row, path in enumerate(found) if path and not folders.has(path)]
    for row in missing:
        found[row] = folders.find(found[row]) or found[row]
    lost = [row for row in missing if not folders.has(found[row])]
    if lost and len(lost) == sum(map(bool, found)):
        folder = folders.find_folder([found[row] for row in lost[:SAMPLE]], file.stem) or ""
        for row in lost if folder else ():
            found[row] = folders.find(folder + found[row]) or found[row]
    near = ((found[row], folders.near(found[row])) for row in lost[:SAMPLE] if not folders.has(found[row]))
    path, alike = next((pair for pair in near if pair[1]), ("", []))
    if alike:
        message = "images.manifest: no file fits '%s'; did you mean %s? Write the folder and the ending of such files"
        logger.warning(message, printable(path), printable(" or ".join(alike)))
    changed = [pair for pair in zip(paths, found, strict=True) if pair[0] and pair[0] != pair[1]]
    if changed:
        first = tuple(map(printable, changed[0]))
        message = "images.manifest: paths replaced by the paths of existing files: %d (first: %s by %s)"
        logger.info(message, len(changed), *first)
    return pd.Series([path or None for path in found], paths.index, dtype=object)


class _Folders:
    """The files below a root. The root is listed only if a path of the manifest is missing."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._name = root.resolve().name if isinstance(root, Path) else None

    def has(self, path: str) -> bool:
        """Return True if ``path`` is a file or a link, even a broken link."""
        if isinstance(self._root, Store):
            return path in self._root.files
        return os.path.lexists(locate(self._root, path)) if "\0" not in path else False

    def find(self, path: str) -> str | None:
        """Return the only file that fits ``path``, or None.

        ``path`` may have backslashes or URL escapes such as %20, lack the file extension, or begin with the name of the
        root. The case of letters and the encoding of accents may differ.
        """
        forward = path.replace("\\", "/").removeprefix("./")
        if self.has(forward):
            return forward
        fitting = self._by_stem.get(forward) or self._by_key.get(_key(unquote(forward)), [])
        if len(fitting) == 1:
            return fitting[0]
        top, _, rest = forward.partition("/")
        return self.find(rest) if rest and top == self._name else None

    def near(self, path: str) -> list[str]:
        """Return up to three files whose names differ from the name of ``path`` by ending, case or leading zeros."""
        return sorted(self.by_name.get(_name_key(path), []))[:3]

    def find_folder(self, paths: Sequence[str], manifest: str) -> str | None:
        """Return the only folder that contains all ``paths``, or None if there is not exactly one.

        For a manifest that is named after a split, such as train.csv, a folder train takes precedence.
        """
        folders = {path.rpartition("/")[0] + "/" for files in self._by_stem.values() for path in files if "/" in path}
        fitting = [folder for folder in sorted(folders) if all(self.find(folder + path) for path in paths)]
        split = split_of(manifest)
        alike = [folder for folder in fitting if split and split_of(folder.split("/")[0]) == split]
        return (alike or fitting)[0] if len(alike or fitting) == 1 else None

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        stems: dict[str, list[str]] = {}
        for path in self._list():
            stem, dot, ending = path.rpartition(".")
            if dot and "/" not in ending:
                stems.setdefault(stem, []).append(path)
        return stems

    @cached_property
    def _by_key(self) -> dict[str, list[str]]:
        """All files by path, both with and without the ending, in lower case and composed characters."""
        return self._index(lambda path: {_key(path), _key(path.removesuffix(PurePosixPath(path).suffix))})

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """All files by name in lower case, without file ending and without leading zeros."""
        return self._index(lambda path: {_name_key(path)})

    def _index(self, keys: Callable[[str], set[str]]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self._list():
            for key in keys(path):
                found.setdefault(key, []).append(path)
        return found

    def _list(self) -> Iterator[str]:
        if isinstance(self._root, Store):
            yield from self._root.files
            return
        for folder, _, names in os.walk(self._root):
            inside = os.path.relpath(folder, self._root)
            yield from (to_text(name if inside == "." else f"{inside}/{name}") for name in names)


def _normalise_splits(column: pd.Series, name: str | None) -> pd.Series:
    unknown = sorted({value for value in column.dropna() if value.lower() not in SPLIT_NAMES})
    if unknown:
        allowed = ", ".join(SPLIT_NAMES)
        raise InputError(f"images.columns.split: column '{name}' must contain only {allowed}; got '{unknown[0]}'")
    given = column.map(lambda value: SPLIT_NAMES[value.lower()], na_action="ignore")
    return given.fillna("train") if given.notna().any() else given
