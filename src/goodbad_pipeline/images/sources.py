"""List the images of class folders, pre-split folders or a manifest, without opening an image.

:func:`read_candidates` returns a table of paths, labels, groups and splits for a scan. :func:`open_source` returns
only paths, in blocks, for predictions on more files than fit in memory.
"""

import atexit
import glob
import logging
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import urlopen

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from goodbad_pipeline.errors import InputError, option
from goodbad_pipeline.images.archives import Archive, image_column
from goodbad_pipeline.images.formats import HEAD_BYTES, find_container
from goodbad_pipeline.images.layouts import IMAGE_NAME, find_arrangement, warn_of_labels
from goodbad_pipeline.images.manifests import (
    OWN_COLUMNS,
    PARQUET_SUFFIXES,
    Columns,
    arrange_columns,
    csv_format,
    find_column,
    first_line,
    read_manifest,
    require_column,
)
from goodbad_pipeline.images.paths import Root, Store, locate, printable, to_text
from goodbad_pipeline.images.shards import MANIFESTS, Shards, find_archives, is_archive
from goodbad_pipeline.images.stores import is_url, open_root

logger = logging.getLogger(__name__)

Layout = Literal["auto", "folders", "presplit", "manifest"]

_LITTER = ("thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information")
URLS = ("http://", "https://")
TABLE_SUFFIXES = (".csv", ".tsv", *PARQUET_SUFFIXES)
MOST_LISTED = 1_000_000  # files that are compared with the rows of a manifest
MOST_BYTES = 256 << 20  # maximum size of a download, and bytes of a CSV file that are searched


@dataclass(frozen=True)
class Listing:
    """The candidates of a source: the files that the source lists as images.

    ``candidates`` has one row per image: path (relative to root, with `/`), label, group and split (None if not given),
    then every other column of the manifest.
    """

    candidates: pd.DataFrame
    ignored: dict[str, int]  # hidden files by name; `._*` stands for all names with that prefix
    unlabelled: dict[str, int]  # number of files in each folder that is left out, or split without labels


def read_candidates(root: Root, layout: Layout, manifest: str | None, columns: Columns) -> Listing:
    """List the images of ``root`` and their labels without opening an image.

    The layout is ``folders`` (root/class/…), ``presplit`` (root/train/class/…), ``manifest`` or ``auto``. ``auto``
    looks for labels in this order: ``manifest`` (relative to root or absolute), labels.csv or labels.parquet in root,
    labels in an archive, names of folders (see :func:`find_arrangement`).

    Raises:
        InputError: root is missing or empty, or does not have the layout; or the manifest is invalid.
    """
    if isinstance(root, Path) and not root.is_dir():
        pattern = re.sub(r"\{[^{}]*\}", "*", str(root))
        advice = "" if pattern == str(root) else f"; braces are not read, add {option('images.root', pattern)}"
        raise InputError(f"images.root: must be an existing folder, got '{root}'{advice}")
    if layout == "auto" and (manifest is not None or _default_manifest(root) is not None):
        layout = "manifest"
    labelled = None
    if isinstance(root, Archive | Shards) and layout == "auto":
        labelled = root.table(columns.path, columns.label if isinstance(columns.label, str) else "label")
    if labelled is not None and isinstance(root, Shards) and columns.split and columns.split not in labelled:
        labelled[columns.split] = [root.split_of(path) for path in labelled[columns.path]]
    ignored: Counter[str] = Counter()
    unlabelled: dict[str, int] = {}
    if labelled is not None:
        table = arrange_columns(labelled, columns, Path(str(root)), root)
        unlabelled = {str(name): len(part) for name, part in table.groupby("split") if part["label"].isna().all()}
    elif layout == "manifest":
        file = _find_manifest(root, manifest)
        table = read_manifest(file, columns, root)
        _log_unlisted(table, file, root)
    else:
        table, unlabelled = _read_folders(root, ignored, layout)
    if table.empty:
        raise InputError(f"images.root: must contain images, but '{root}' (read with layout {layout}) is empty")
    for warning in warn_of_labels(sorted(table["label"].dropna().unique())):
        logger.warning("%s", printable(warning))
    return Listing(table, dict(sorted(ignored.items())), unlabelled)


def _log_unlisted(table: pd.DataFrame, manifest: Path, root: Root) -> None:
    """Log how many images have no row in the manifest, and which other CSV file in ``root`` has the first of them."""
    listed = set(table["path"])
    try:
        files = islice(walk_files(root, Counter()), MOST_LISTED)
        unlisted = [path for path in files if IMAGE_NAME.search(path) and path not in listed]
    except InputError:  # the folder cannot be listed, but its files may be readable
        return
    if not unlisted:
        return
    name = PurePosixPath(unlisted[0]).stem.encode("utf-8", "surrogateescape")
    tables = [file for file in sorted(root.glob("*.csv")) if file != manifest] if isinstance(root, Path) else []
    other = next((f"; '{file.name}' has a row of this name" for file in tables if _mentions(file, name)), "")
    level = logging.INFO if len(set(table["label"].dropna())) > 1 else logging.WARNING
    first = printable(unlisted[0])
    logger.log(level, "Images without a row in %s: %d (first: %s%s)", manifest.name, len(unlisted), first, other)


def _mentions(file: Path, name: bytes) -> bool:
    row = rb'(?m)^"?([^,;\t\n]*/)?%s(\.\w+)?"?[,;\t]' % re.escape(name)
    try:
        with file.open("rb") as stream:
            return re.search(row, stream.read(MOST_BYTES)) is not None
    except OSError:  # a folder or an unreadable file
        return False


def _find_manifest(root: Root, manifest: str | None) -> Path:
    if manifest is None:
        file = _default_manifest(root)
    elif isinstance(root, Store):
        file = _copy(root, manifest) if manifest in root.files else Path(manifest)
    else:
        file = root / manifest
    if file is None or not file.is_file():
        name = manifest or " or ".join(MANIFESTS)
        raise InputError(f"images.manifest: must be an existing file, got '{name}' in '{root}'")
    return file


def _default_manifest(folder: Root) -> Path | None:
    if isinstance(folder, Store):
        return next((_copy(folder, name) for name in MANIFESTS if name in folder.files), None)
    files = (folder / name for name in MANIFESTS)
    return next((file for file in files if file.is_file()), None)


def _copy(store: Store, name: str) -> Path:
    """Copy the manifest of a store to a temporary file, which is removed when the process ends."""
    content = store.read(name).content
    if not isinstance(content, bytes):
        raise InputError(f"images.manifest: '{name}' in '{store}' cannot be read ({content.detail})")
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / PurePosixPath(name).name
    file.write_bytes(content)
    return file


def _read_folders(
    root: Root, ignored: Counter[str], layout: Literal["auto", "folders", "presplit"]
) -> tuple[pd.DataFrame, dict[str, int]]:
    paths = list(walk_files(root, ignored))
    if not paths:
        return pd.DataFrame(columns=list(OWN_COLUMNS)), {}
    try:
        arrangement = find_arrangement(paths, layout, str(root))
    except InputError as error:
        if isinstance(root, Path):
            _check_links(root, paths, error)
        raise
    logger.info("Reading %s with layout %s", root, arrangement.layout)
    labels, splits = [], []  # two lists: a million tuples would take most of a scan's memory
    unlabelled: Counter[str] = Counter()
    for path in paths:
        split, label = arrangement.place(path)
        if isinstance(root, Shards):
            split = split or root.split_of(path)
        labels.append(sys.intern(label) if label.strip() else None)
        splits.append(split)
        if arrangement.layout == "presplit" and (top := arrangement.top(path)) not in arrangement.classes_in:
            unlabelled[top] += bool(top)
        if not path.startswith(arrangement.base):
            unlabelled[path.partition("/")[0]] += "/" in path
    values = {"path": paths, "label": labels, "group": None, "split": splits}
    return pd.DataFrame(values, index=range(len(paths)), dtype=object), dict(+unlabelled)


def _check_links(root: Path, paths: list[str], cause: InputError) -> None:
    names = {path: locate(root, path) for path in paths if "/" not in path}
    links = {path: name for path, name in names.items() if os.path.islink(name) and os.path.isdir(name)}
    if links:
        setting = option("images.root", os.path.dirname(os.path.realpath(next(iter(links.values())))))
        message = f"{', '.join(map(repr, islice(links, 4)))}: links to folders are not followed; add {setting}"
        raise InputError(printable(f"images.root: {message}, or replace links by their folders")) from cause


def walk_files(root: Root, ignored: Counter[str]) -> Iterator[str]:
    """Yield the relative paths of all files below ``root``; count hidden files and folders in ``ignored`` instead.

    Links to folders are not followed. The paths of such links, and of folders that cannot be listed, are also yielded.
    The scan quarantines these paths.
    """
    if isinstance(root, Store):
        yield from _walk_store(root, ignored)
        return
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise InputError(f"images.root: must be a readable folder, got '{root}' ({error.strerror})") from error
            yield to_text(folder.removesuffix("/"))
            continue
        subfolders = []
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if _is_hidden(entry.name):
                name = "._*" if entry.name.startswith("._") else to_text(entry.name)
                ignored[name + "/" * is_folder] += 1
            elif is_folder:
                subfolders.append(f"{folder}{entry.name}/")
            else:
                yield to_text(folder + entry.name)
        folders += reversed(subfolders)


def _walk_store(store: Store, ignored: Counter[str]) -> Iterator[str]:
    hidden_folders = set()
    for path in store.files:
        names = path.split("/")
        hidden = next((index for index, name in enumerate(names) if _is_hidden(name)), None)
        if hidden is None:
            yield path
        elif tuple(names[: hidden + 1]) not in hidden_folders:  # a hidden folder counts once
            hidden_folders.add(tuple(names[: hidden + 1]))
            name = "._*" if names[hidden].startswith("._") else names[hidden]
            ignored[name + "/" * (hidden < len(names) - 1)] += 1


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


@dataclass(frozen=True)
class PathStream:
    """A source of paths; see :func:`open_source`."""

    root: Root  # where the paths are
    manifest: Path | None  # file that lists the paths; None for every file below ``root``
    column: str  # the manifest's column of paths
    files: tuple[str, ...] | None = None  # the paths, if they are listed one by one

    def blocks(self, size: int) -> Iterator[list[str | None]]:
        """Yield blocks of at most ``size`` paths, in order. A manifest row that has no path gives None.

        Raises:
            InputError: The manifest cannot be read or lacks the path column, or a folder cannot be read.
        """
        if self.manifest is None:
            files = walk_files(self.root, Counter()) if self.files is None else iter(self.files)
            while block := list(islice(files, size)):
                yield [*block]
            return
        for column in self._columns(self.manifest, size):
            yield [None if pd.isna(cell) or not str(cell).strip() else str(cell) for cell in column]

    def _columns(self, manifest: Path, size: int) -> Iterator[Any]:
        try:
            if manifest.suffix.lower() in PARQUET_SUFFIXES:
                with pq.ParquetFile(manifest) as file:
                    column = self._find_column(file.schema_arrow.names, manifest)
                    for batch in file.iter_batches(size, columns=[column]):
                        yield batch.column(0).to_pylist()
            else:
                form = csv_format(manifest, self.column)
                column = self._find_column(pd.read_csv(manifest, nrows=0, **form).columns, manifest)
                with pd.read_csv(
                    manifest, chunksize=size, usecols=[column], dtype=str, keep_default_na=False, **form
                ) as parts:
                    for part in parts:
                        yield part[column]
        except InputError:
            raise
        except Exception as error:  # pandas and pyarrow raise their own types on broken files
            raise InputError(
                f"predict.source: must be a folder, an image, or a readable CSV or Parquet manifest, got '{manifest}' "
                f"({first_line(error)})"
            ) from error

    def _find_column(self, present: Iterable[str], manifest: Path) -> str:
        """Return the column of paths, or raise an InputError, whose text depends on the file's ending."""
        if manifest.suffix.lower() not in TABLE_SUFFIXES and find_column(self.column, present) is None:
            raise InputError(
                f"predict.source: '{manifest.name}' is not an image; as a manifest it needs a column '{self.column}' "
                f"(images.columns.path), it has: {printable(', '.join(map(str, present)))}"
            )
        return require_column("path", self.column, present, manifest)


def open_source(source: str | Path | list[str] | None, column: str) -> PathStream:
    """Return the paths of a source: a folder, manifest, image, pattern such as ``photos/*.jpg``, URL, store or list.

    A labels.csv or labels.parquet in a folder or store is used as a manifest. ``column`` is the manifest's column of
    paths. A list consists of images, patterns and URLs.

    Raises:
        InputError: There is no source, a source does not exist, a manifest cannot be read, or a download fails.
    """
    if not source:
        raise InputError("predict.source: name an image, folder, pattern, manifest or URL: --params=predict.source=…")
    sources = source if isinstance(source, list) else [str(source)]
    store = open_root(sources[0], "predict.source", again=True) if len(sources) == 1 and _is_store(sources[0]) else None
    if isinstance(store, Store):
        return _checked(PathStream(store, _default_manifest(store), column))
    only = Path(sources[0])
    if len(sources) == 1 and only.is_dir():
        root = open_root(only, "predict.source")
        return _checked(PathStream(root, _default_manifest(root), column))
    if len(sources) == 1 and only.is_file() and not _is_image(only):
        return _checked(PathStream(only.parent, only, column))
    files = [file for one in sources for file in _find_files(one)]
    root = Path(os.path.commonpath([file.parent for file in files]))
    return PathStream(root, None, column, tuple(to_text(str(file.relative_to(root))) for file in files))


def check_source(source: str | list[str] | None, column: str) -> None:
    """Check a source as `open_source` does, except archives, stores and URLs, which may take minutes to open."""
    sources = source if isinstance(source, list) else [source or ""]
    if not any(is_url(one) or find_archives(one) or (os.path.isfile(one) and _is_store(one)) for one in sources):
        open_source(source, column)


def _checked(stream: PathStream) -> PathStream:
    """Return ``stream`` after checking that its manifest, if any, can be read."""
    if stream.manifest is not None:
        next(stream.blocks(1), None)
    return stream


def _is_image(file: Path) -> bool:
    with file.open("rb") as stream:
        return find_container(stream.read(HEAD_BYTES)) is not None


def _find_files(source: str) -> list[Path]:
    if source.startswith(URLS):
        return [_download(source)]
    names = [source] if os.path.isfile(source) else sorted(filter(os.path.isfile, glob.glob(source, recursive=True)))
    if not names:
        raise InputError(
            f"predict.source: must be an existing folder, manifest, image or pattern, or a URL, got '{source}'"
        )
    return [Path(name).absolute() for name in names]


@cache
def _download(url: str) -> Path:
    """Download a file once, to a temporary folder that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / (Path(urlsplit(url).path).name or "image")
    try:
        with urlopen(url, timeout=20) as response:
            file.write_bytes(response.read(MOST_BYTES))
    except (OSError, ValueError, HTTPException) as error:
        raise InputError(f"predict.source: must be a URL that can be downloaded, got '{url}' ({error})") from error
    return file


def _is_store(name: str) -> bool:
    if Path(name).suffix.lower() in PARQUET_SUFFIXES and not is_url(name):
        first = name if os.path.isfile(name) else next(glob.iglob(name, recursive=True), None)
        return first is not None and _has_images(Path(first))
    return is_archive(urlsplit(name).path) or (is_url(name) and not name.startswith(URLS))


def _has_images(file: Path) -> bool:
    try:
        return image_column(pq.read_schema(file)) is not None
    except (pa.ArrowInvalid, OSError):
        return False
