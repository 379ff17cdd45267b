"""Open archives: one file, or several files that are read as one root."""

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.archives import Archive, ParquetArchive, TarArchive, ZipArchive, walk_order
from goodbad_pipeline.images.layouts import find_splits
from goodbad_pipeline.images.paths import FileContent, FileState, Store
from goodbad_pipeline.images.rejections import Reason, Rejection
from goodbad_pipeline.images.tfrecords import TFRecordArchive

_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".7z", ".rar")
_PARQUET = (".parquet", ".pq")
_RECORDS = re.compile(r"\.tfrecords?(-\d+-of-\d+)?$")
MANIFESTS = ("labels.csv", "labels.parquet")
_ABOUT = (".md", ".txt", ".json", ".yaml", ".yml", ".pdf", ".py")  # files beside archives that describe them
_SUFFIX = re.compile(r"\.(zip|tar|parquet|pq|tfrecords?)(?=$|-\d)", re.IGNORECASE)
_NUMBER = re.compile(r"[-_.]?\d+(-of-\d+)?$")  # of a shard: train-00000-of-00003


def is_archive(name: str) -> bool:
    """Return True if the name is that of an archive, even of a kind that cannot be read, such as 7z."""
    return name.lower().endswith((".zip", ".tar", *_PARQUET, *_PACKED)) or bool(_RECORDS.search(name.lower()))


def open_archive(file: Path, shown: str, parameter: str = "images.root") -> Archive:
    """Open a zip, tar, Parquet or TFRecord file of images. ``shown`` is the name of the file in error messages.

    Raises:
        InputError: The file is damaged, or is a compressed tar, 7z or rar.
    """
    name = file.name.lower()
    if name.endswith(_PACKED):
        raise InputError(
            f"{parameter}: a compressed tar, 7z or rar cannot be read image by image, got '{shown}'; convert it to a "
            "zip or an uncompressed tar"
        )
    kinds = {".zip": ZipArchive, ".tar": TarArchive}
    kind = TFRecordArchive if _RECORDS.search(name) else kinds.get(name[-4:], ParquetArchive)
    archive = kind(file, shown)
    try:
        archive.items  # noqa: B018 - reads the list of members
    except Exception as error:  # the libraries raise a dozen exception types on damaged files
        raise InputError(
            f"{parameter}: must be a readable archive, got '{shown}' ({error}); the download may be incomplete"
        ) from error
    return archive


def only_archives(paths: Iterable[str]) -> list[str]:
    """Return the archives among the files of a folder, or an empty list if there are other files.

    Hidden files and files that describe archives, such as README.md, are ignored. The search ends at the first
    file of any other kind, to save time in a large folder of images.
    """
    archives = []
    for path in paths:
        if any(part.startswith(".") for part in path.split("/")):
            continue
        if is_archive(path) and path not in MANIFESTS:
            archives.append(path)
        elif not path.lower().endswith(_ABOUT):
            return []
    return archives


def find_archives(name: str) -> list[Path]:
    """Return the files of a pattern such as ``shards-*.tar``, or the archives in a folder without other files."""
    if not os.path.isdir(name):
        return sorted(map(Path, glob.iglob(name, recursive=True))) if glob.has_magic(name) else []
    paths = (os.path.relpath(os.path.join(folder, file), name) for folder, _, files in os.walk(name) for file in files)
    return [Path(name, path) for path in sorted(only_archives(paths))]


def open_shards(files: Sequence[tuple[Path, str]], shown: str, parameter: str) -> Store:
    """Open archives as one store. ``files`` has the path of each archive and its name in error messages.

    Raises:
        InputError: A file is no archive or damaged, or some but not all files are named like splits.
    """
    other = next((name for _, name in files if not is_archive(name)), None)
    if other is not None:
        raise InputError(f"{parameter}: '{shown}' must match only archives, but matches '{other}'")
    archives = tuple(open_archive(file, name, parameter) for file, name in files)
    if len(archives) == 1:
        return archives[0]
    shards = Shards(archives, shown)
    unclear = [name for name, split in zip(shards.names, shards.splits, strict=True) if split is None]
    if unclear and any(shards.splits):
        raise InputError(
            f"{parameter}: all or none of the archives in '{shown}' must be named like splits, but '{unclear[0]}' is "
            "not named like a split; rename this file, or exclude it by a pattern such as data/train-*.parquet"
        )
    return shards


@dataclass(frozen=True)
class Shards(Store):
    """Several archives that are read as one.

    Usually, a file has the same path as in its archive. If several archives contain the same path, every file name
    begins with the name of the archive: ``cat/1.jpg`` becomes ``cat/shard-000:1.jpg``.
    """

    archives: tuple[Archive, ...]
    name: str  # pattern, folder or URL that the user gave

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.archives, self.name)  # another process lists the members again

    @cached_property
    def names(self) -> list[str]:
        """The file name of each archive without its ending; equal file names are preceded by names of folders."""
        parts = [_SUFFIX.sub("", archive.name).split("/") for archive in self.archives]
        names = (["-".join(some[-depth:]) for some in parts] for depth in range(1, max(map(len, parts)) + 1))
        return next(
            (some for some in names if len(set(some)) == len(parts)), [archive.name for archive in self.archives]
        )

    @cached_property
    def splits(self) -> list[str | None]:
        """The split of each archive, such as train for train-00000-of-00003.parquet.

        All are None if the names give fewer than two splits, because a single split still has to be divided.
        """
        files = [_NUMBER.sub("", _SUFFIX.sub("", Path(archive.name).name)) for archive in self.archives]
        folders = [Path(archive.name).parent.name for archive in self.archives]
        for names in (files, folders):
            splits = find_splits(sorted(set(names)))
            if len(set(splits.values())) > 1:
                return [splits.get(name) for name in names]
        return [None for _ in self.archives]

    @cached_property
    def _places(self) -> dict[str, tuple[int, str]]:
        """Map the path in this store to the number of the archive and the path in the archive."""
        counts = Counter(path for archive in self.archives for path in archive.items)
        self_named = counts.total() > len(counts)
        places = {}
        for number, (archive, name) in enumerate(zip(self.archives, self.names, strict=True)):
            for path in archive.items:
                folder, slash, file = path.rpartition("/")
                places[f"{folder}{slash}{name}:{file}" if self_named else path] = number, path
        return {path: places[path] for path in walk_order(places)}

    @cached_property
    def files(self) -> Mapping[str, FileState]:
        """The `FileState` of each file, by path."""
        return {path: self.archives[number].items[member].state for path, (number, member) in self._places.items()}

    def read(self, path: str, max_bytes: int | None = None) -> FileContent:
        """Read a file from its archive."""
        if path not in self._places:
            return FileContent(Rejection(Reason.MISSING, f"no such file in '{self}'"))
        number, member = self._places[path]
        return self.archives[number].read(member, max_bytes)

    def split_of(self, path: str) -> str | None:
        """Return the split, such as ``train``, of the archive in which the file ``path`` is stored."""
        return self.splits[self._places[path][0]]

    def table(self, path: str, label: str) -> pd.DataFrame | None:
        """Return the manifests of all archives as one table, or None if folder names are the labels."""
        found = [archive.table(path, label) for archive in self.archives]
        if all(table is None for table in found):
            return None
        # An archive without labels, such as an unlabelled test shard, has rows of paths only.
        pairs = zip(self.archives, found, strict=True)
        tables = [pd.DataFrame({path: one.images()}) if table is None else table for one, table in pairs]
        paths = {place: path for path, place in self._places.items()}
        for number, table in enumerate(tables):
            table[path] = [paths[number, member] for member in table[path]]
        return pd.concat(tables, ignore_index=True)
