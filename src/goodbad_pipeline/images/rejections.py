"""Rejections of files, and all reason codes of the quarantine table."""

from dataclasses import dataclass
from enum import StrEnum

QUARANTINE_COLUMNS = ["path", "label", "reason", "detail", "size", "image_id"]


class Reason(StrEnum):
    """A reason code as stored in the quarantine table. Each comment states when the code is used."""

    MISSING = "missing"  # the manifest names a file that does not exist
    OUTSIDE_ROOT = "outside_root"  # absolute path, `..`, or a link that leaves the folder of the images
    NOT_A_FILE = "not_a_file"  # directory, device, socket or FIFO
    UNREADABLE = "unreadable"  # the operating system refuses to read the file
    NO_LABEL = "no_label"  # the file is in no class folder, or its label in the manifest is empty
    LISTED_TWICE = "listed_twice"  # the manifest names the same path again
    EMPTY = "empty"  # zero bytes
    NOT_AN_IMAGE = "not_an_image"  # the content is none of the known formats
    UNSUPPORTED = "unsupported"  # a format or variant that is not accepted
    TOO_MANY_PIXELS = "too_many_pixels"  # width × height beyond images.max_pixels
    TRUNCATED = "truncated"  # the file ends before the image does
    CORRUPT = "corrupt"  # the decoder failed, or the content is inconsistent
    TIMEOUT = "timeout"  # reading or decoding took longer than images.scan.timeout
    CRASHED = "crashed"  # the process that decoded the file ended
    OUT_OF_MEMORY = "out_of_memory"  # decoding took more than images.scan.memory
    EXCLUDED = "excluded"  # a row of images.corrections excludes the image
    CONFLICTING_LABEL = "conflicting_label"  # the same image has several labels
    SPLIT_LEAK = "split_leak"  # the source has the group in several splits; only test (or else validation) is kept


TEMPORARY = (Reason.TIMEOUT, Reason.CRASHED, Reason.OUT_OF_MEMORY)  # the next scan tries such a file again


@dataclass(frozen=True)
class Rejection:
    """The reason why a file is not accepted."""

    reason: Reason
    detail: str  # the reason in words, one printable line
    size: int | None = None  # bytes, if the file was read
    image_id: str | None = None  # SHA-256 of the file, if it was read
