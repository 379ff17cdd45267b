"""Read images from a TFRecord file of `tf.train.Example` messages, without TensorFlow.

A record is its length (8 bytes), a checksum of the length (4), the message, and a checksum of the message (4). The
checksums are not compared, because the decoders find damaged images.
"""

import os
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

import pandas as pd
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from goodbad_pipeline.images.archives import Archive, Item
from goodbad_pipeline.images.paths import FileState
from goodbad_pipeline.images.rejections import Reason, Rejection

IMAGES = ("image/encoded", "image", "image_raw")  # features that contain the bytes of an image
LABELS = ("image/class/text", "image/class/label")  # features with the label, besides `images.columns.label`
_HEADER, _CHECKSUM = 12, 4  # bytes before and after a message
_GZIP = b"\x1f\x8b"
_SCHEMA = {  # fields of each message: name, type, and whether the field is repeated; fields are numbered from 1
    "Example": [("features", "Features", False)],
    "Features": [("feature", "Entry", True)],
    "Entry": [("key", "string", False), ("value", "Feature", False)],
    "Feature": [("bytes", "BytesList", False), ("float", "FloatList", False), ("int64", "Int64List", False)],
    "BytesList": [("value", "bytes", True)],
    "FloatList": [("value", "float", True)],
    "Int64List": [("value", "int64", True)],
}


class TFRecordArchive(Archive):
    """A TFRecord file. If the file changes, all records are read again."""

    def _list(self) -> Iterator[tuple[str, Item]]:
        whole = FileState.of(os.stat(self.file))
        with self.file.open("rb") as stream:
            number = end = 0
            while header := stream.read(_HEADER):
                if header.startswith(_GZIP):
                    raise ValueError("a compressed TFRecord; write it without compression")
                start = end + _HEADER
                size = struct.unpack("<Q", header[:8])[0] if len(header) == _HEADER else whole.size
                end = start + size + _CHECKSUM
                if end > whole.size:
                    raise ValueError(f"record {number} ends after the file does; it is truncated or no TFRecord")
                yield f"image/{number:08d}", Item(start, whole._replace(size=size))
                stream.seek(end)
                number += 1

    def table(self, path: str, label: str) -> pd.DataFrame:
        """Return the label and all features with one value. A text file beside the TFRecord may name the classes."""
        rows = []
        for name, item in self.items.items():
            features = self._features(item) or {}
            row = {key: _text(values[0]) for key, values in features.items() if len(values) == 1 and key not in IMAGES}
            found = next((key for key in (label, *LABELS) if row.get(key) not in (None, "")), label)
            rows.append({**row, path: name, label: self._class_names(found).get(row.get(found), row.get(found))})
        return pd.DataFrame(rows, dtype=object)

    def _class_names(self, feature: str) -> dict[object, str]:
        file = self.file.with_name(f"{feature.replace('/', '_')}.labels.txt")
        return dict(enumerate(file.read_text().splitlines())) if file.is_file() else {}

    def _read(self, item: Item) -> bytes | Rejection:
        features = self._features(item)
        if features is None:
            return Rejection(Reason.CORRUPT, "the record is no message of tf.train.Example", item.state.size)
        image = next((features[name] for name in IMAGES if features.get(name)), [None])[0]
        return image if isinstance(image, bytes) else Rejection(Reason.MISSING, f"no feature {' or '.join(IMAGES)}")

    def _features(self, item: Item) -> dict[str, list[bytes | int | float]] | None:
        with self.file.open("rb") as stream:
            stream.seek(item.position)
            message = stream.read(item.state.size)
        try:
            entries = _example_class().FromString(message).features.feature
        except DecodeError:
            return None
        kinds = [name for name, _, _ in _SCHEMA["Feature"]]
        return {entry.key: [value for kind in kinds for value in getattr(entry.value, kind).value] for entry in entries}


def _text(value: bytes | int | float) -> str | int | float:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


@cache
def _example_class() -> Any:
    """Return the message class tf.train.Example. TensorFlow has this class too, but takes seconds to import."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for number, (field, kind, repeated) in enumerate(fields, start=1):
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if kind in _SCHEMA:
                options = {"type": kinds.TYPE_MESSAGE, "type_name": f".{kind}"}
            else:
                options = {"type": kinds.Type.Value(f"TYPE_{kind.upper()}")}
            message.field.add(name=field, number=number, label=label, **options)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Example"))
