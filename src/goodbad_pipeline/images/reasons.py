"""Why a file is set aside: the closed list of reason codes of the quarantine table."""

from dataclasses import dataclass
from enum import StrEnum

QUARANTINE_COLUMNS = ["path", "label", "reason", "detail", "size", "image_id"]


class Reason(StrEnum):
    """A reason code. Its value is what the quarantine table holds; its comment is the rule that was broken."""

    MISSING = "missing"  # the manifest names a file that is not there
    OUTSIDE_ROOT = "outside_root"  # absolute path, `..`, or a link that leaves images.root
    NOT_A_FILE = "not_a_file"  # directory, device, socket or FIFO
    UNREADABLE = "unreadable"  # the operating system refuses to read it
    NO_LABEL = "no_label"  # in no class folder, or an empty label in the manifest
    LISTED_TWICE = "listed_twice"  # the manifest names the same path again
    EMPTY = "empty"  # zero bytes
    NOT_AN_IMAGE = "not_an_image"  # the content is none of the known formats
    UNSUPPORTED = "unsupported"  # a format or variant that is not accepted
    TOO_MANY_PIXELS = "too_many_pixels"  # width × height beyond images.max_pixels
    TRUNCATED = "truncated"  # the file ends before the image does
    CORRUPT = "corrupt"  # the decoder gave up part-way, or what it read does not add up
    TIMEOUT = "timeout"  # reading or decoding took longer than images.scan.timeout
    CRASHED = "crashed"  # the process that decoded it ended
    OUT_OF_MEMORY = "out_of_memory"  # decoding took more than images.scan.memory
    EXCLUDED = "excluded"  # a row of images.corrections takes it out
    CONFLICTING_LABEL = "conflicting_label"  # the same image under two labels
    SPLIT_LEAK = "split_leak"  # its group also lies in a given split that counts for more


PASSING = (Reason.TIMEOUT, Reason.CRASHED, Reason.OUT_OF_MEMORY)  # the next scan tries such a file again


@dataclass(frozen=True)
class Rejection:
    """One file that is not accepted.

    Attributes:
        reason: Its code.
        detail: In words, one line.
        size: Bytes, where it was read.
        image_id: SHA-256 of the file, where it was read.
    """

    reason: Reason
    detail: str
    size: int | None = None
    image_id: str | None = None
