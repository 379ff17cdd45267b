"""Read images from zip, tar and Parquet files, which are never unpacked.

Links, devices, encrypted members and members whose name leads out of the archive are quarantined.
"""

import json
import logging
import os
import tarfile
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from stat import S_IFMT, S_ISLNK
from threading import Lock
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.paths import FileContent, FileState, Store, leaves_root, printable, to_text, too_large
from goodbad_pipeline.images.rejections import Reason, Rejection

logger = logging.getLogger(__name__)

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_LABEL_SUFFIXES = ("cls", "json")  # of a WebDataset sample
_NOTES = (*_LABEL_SUFFIXES, "txt", "id", "xml", "yaml", "npy", "pth", "csv")
_OUTSIDE = Rejection(Reason.OUTSIDE_ROOT, "a name in the archive that is absolute or contains '..'")
_MAX_NOTE = 1 << 20  # bytes of a label file
_GROUPS = Lock()


class Item(NamedTuple):
    """A member of an archive."""

    position: Any  # where the member is in the archive
    state: FileState
    rejection: Rejection | None = None


@dataclass(frozen=True)
class Archive(Store):
    """A file that contains images."""

    file: Path
    name: str  # path or URL that the user gave

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.file, self.name)  # another process lists the members again

    @cached_property
    def items(self) -> dict[str, Item]:
        """The members by path, in the order of `walk_order`."""
        items, repeated = {}, []
        for name, item in self._list():
            path = to_text(name).removeprefix("./")
            repeated += [path] * (path in items)
            items[path] = item._replace(rejection=_OUTSIDE) if leaves_root(path) else item
        if repeated:
            message = "%s: %d names occur again (first: %s); the last file of a name is read, as after unpacking"
            logger.warning(message, self, len(repeated), printable(repeated[0]))
        return {path: items[path] for path in walk_order(items)}

    @cached_property
    def files(self) -> Mapping[str, FileState]:
        """The `FileState` of each member, by path."""
        return {path: item.state for path, item in self.items.items()}

    def read(self, path: str, max_bytes: int | None = None) -> FileContent:
        """Read a member. Never decompress more bytes than the size that the archive states for the member."""
        item = self.items.get(path)
        if item is None:
            return FileContent(Rejection(Reason.MISSING, f"no such file in '{self}'"))
        if item.rejection is not None:
            return FileContent(item.rejection, item.state)
        if max_bytes is not None and item.state.size > max_bytes:
            return FileContent(too_large(item.state.size, max_bytes))
        try:
            data = self._read(item)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self}: cannot be read ({error}); repair it and run the same command again") from error
        if max_bytes is not None and isinstance(data, bytes) and len(data) > max_bytes:  # the size was an estimate
            data = too_large(len(data), max_bytes)
        return FileContent(data, item.state)

    def table(self, path: str, label: str) -> pd.DataFrame | None:
        """Return a table of images and labels if the archive has label files, or None if folder names are the labels.

        In WebDataset's format, the label of ``x.jpg`` is the content of ``x.cls`` or the item ``label`` of ``x.json``.
        """
        samples: dict[str, dict[str, str]] = {}
        for member in self.items:
            folder, slash, name = member.rpartition("/")
            stem, _, suffix = name.partition(".")
            if stem:  # not a hidden file
                samples.setdefault(f"{folder}{slash}{stem}", {})[suffix.lower()] = member
        rows = []
        for sample in samples.values():
            images = [member for suffix, member in sample.items() if suffix not in _NOTES]
            values = self._note(sample, label) if images else {}
            rows += [{**values, path: member} for member in images]
        return pd.DataFrame(rows, dtype=object) if any(label in row for row in rows) else None

    def images(self) -> list[str]:
        """Return the members that are not label or metadata files in WebDataset's format."""
        return [member for member in self.items if member.rpartition(".")[2].lower() not in _NOTES]

    def _note(self, sample: Mapping[str, str], label: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for suffix in _LABEL_SUFFIXES:
            content = self.read(sample[suffix], _MAX_NOTE).content if suffix in sample else b""
            if isinstance(content, Rejection) or not content:
                continue
            if suffix == "cls":
                values[label] = content.decode(errors="replace").strip()
                continue
            try:
                loaded = json.loads(content)
            except ValueError:
                continue
            scalars = loaded.items() if isinstance(loaded, dict) else ()
            values = {key: str(value) for key, value in scalars if isinstance(value, str | int | float)} | values
        return values

    @abstractmethod
    def _list(self) -> Iterator[tuple[str, Item]]:
        """Yield the name and the `Item` of each file in the archive."""

    @abstractmethod
    def _read(self, item: Item) -> bytes | Rejection:
        """Read a member whose ``rejection`` is None."""


class ZipArchive(Archive):
    """A zip file. It stores a checksum of each member, which reveals a changed member."""

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.file)

    def _list(self) -> Iterator[tuple[str, Item]]:
        for info in self._archive.infolist():
            name = info.filename.replace("\\", "/")  # some Windows programs write backslashes
            if not name.endswith("/"):
                yield name, Item(info, FileState(info.file_size, 0, 0, info.CRC), self._reject(info))

    @staticmethod
    def _reject(info: zipfile.ZipInfo) -> Rejection | None:
        mode = info.external_attr >> 16
        if S_ISLNK(mode):
            return Rejection(Reason.NOT_A_FILE, "a link in the archive, which is not followed")
        if S_IFMT(mode) not in (0, 0o100000):
            return Rejection(Reason.NOT_A_FILE, "a special file in the archive")
        if info.flag_bits & 1:
            return Rejection(Reason.UNREADABLE, "encrypted in the archive")
        if info.compress_type not in _METHODS:
            return Rejection(Reason.UNSUPPORTED, f"compressed with method {info.compress_type}; use deflate")
        return None

    def _read(self, item: Item) -> bytes | Rejection:
        try:
            with self._archive.open(item.position) as stream:
                return stream.read(item.state.size)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
            return Rejection(Reason.CORRUPT, f"damaged in the archive ({error})", item.state.size)


class TarArchive(Archive):
    """An uncompressed tar file. It stores no checksums, so if the file changes, all members are read again."""

    def _list(self) -> Iterator[tuple[str, Item]]:
        whole = FileState.of(os.stat(self.file))
        with tarfile.open(self.file, "r:") as archive:
            for member in archive:
                if member.isdir():
                    continue
                rejection = None
                if not member.isreg() or member.issparse():
                    kind = "link" if member.issym() or member.islnk() else "special file"
                    rejection = Rejection(Reason.NOT_A_FILE, f"a {kind} in the archive, which is not followed")
                yield member.name, Item(member.offset_data, whole._replace(size=member.size), rejection)
        with self.file.open("rb") as stream:
            stream.seek(archive.offset)
            mark = stream.read(tarfile.BLOCKSIZE)
        if mark.strip(b"\0"):  # tarfile reads a damaged header as the end
            raise ValueError(f"damaged or truncated at byte {archive.offset}")
        if not mark:
            logger.warning("%s: the tar lacks its end mark, so files may be missing at its end", self)

    def _read(self, item: Item) -> bytes | Rejection:
        with self.file.open("rb") as stream:
            stream.seek(item.position)
            data = stream.read(item.state.size)
        if len(data) < item.state.size:
            return Rejection(Reason.TRUNCATED, "the archive ends before the file does", len(data))
        return data


class ParquetArchive(Archive):
    """A Parquet file with a column of image bytes, as Hugging Face Datasets writes it."""

    @cached_property
    def _column(self) -> str:
        column = image_column(pq.read_schema(self.file))
        if column is None:
            raise ValueError("no column contains image bytes")
        return column

    def _list(self) -> Iterator[tuple[str, Item]]:
        whole, number = FileState.of(os.stat(self.file)), 0
        column, footer = self._column, pq.read_metadata(self.file)
        for group in range(footer.num_row_groups):
            metadata = footer.row_group(group)
            state = whole._replace(size=metadata.total_byte_size // max(1, metadata.num_rows))
            for row in range(metadata.num_rows):
                yield f"{column}/{number:08d}", Item((group, row), state)
                number += 1

    def table(self, path: str, label: str) -> pd.DataFrame:
        """Return the columns except lists and bytes, with class names from the metadata instead of class numbers."""
        schema = pq.read_schema(self.file)
        plain = [field.name for field in schema if not pa.types.is_nested(field.type) and not _is_binary(field.type)]
        table = pq.ParquetFile(self.file).read(columns=plain).to_pandas()
        if label in schema.names and pa.types.is_nested(schema.field(label).type):
            raise InputError(
                f"images.columns.label: every image must have one label, but column '{label}' of '{self}' has lists; "
                "write one label into a column"
            )
        metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        for name, feature in metadata.get("info", {}).get("features", {}).items():
            if name in plain and isinstance(names := feature.get("names"), list):
                table[name] = [names[int(code)] if 0 <= code < len(names) else None for code in table[name].fillna(-1)]
        return table.rename(columns={path: f"manifest_{path}"}).assign(**{path: list(self.items)})

    def _read(self, item: Item) -> bytes | Rejection:
        group, row = item.position
        with _GROUPS:  # only one thread reads a group from disk
            value = _read_group(self, group, item.state.modified)[row].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        return data or Rejection(Reason.MISSING, "the row has no image bytes")


@lru_cache(maxsize=2)  # a scan reads one group after another
def _read_group(archive: ParquetArchive, group: int, modified: int) -> pa.ChunkedArray:
    """Return the images of a row group. ``modified`` belongs to the cache key, so that a changed file is read again."""
    with pq.ParquetFile(archive.file) as file:
        return file.read_row_group(group, columns=[archive._column]).column(0)


def image_column(schema: pa.Schema) -> str | None:
    """Return the first column that contains the bytes of files, either directly or as a field ``bytes``."""
    for field in schema:
        kind = field.type
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            kind = kind.field("bytes").type
        if _is_binary(kind):
            return field.name
    return None


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def walk_order(paths: Iterable[str]) -> list[str]:
    """Sort paths as a local folder is listed: first the files of a folder, then the content of its subfolders."""

    def key(path: str) -> list[tuple[bool, str]]:
        *folders, name = path.split("/")
        return [*((True, folder) for folder in folders), (False, name)]

    return sorted(paths, key=key)
