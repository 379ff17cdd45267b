import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodbad_pipeline.images.paths import leaves_root, locate, printable, read_inside, to_text


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name and b"/" not in name))
def test_every_file_name_has_a_unique_text(name: bytes) -> None:
    text = to_text(os.fsdecode(name))
    assert text.encode().decode() == text  # Parquet, CSV and JSON take it
    assert os.fsencode(locate(Path("/images"), text)) == b"/images/" + name


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_utf8_names_are_their_own_text_except_for_one_private_range(name: str) -> None:
    if not any(0x10FF80 <= ord(sign) <= 0x10FFFF for sign in name):
        assert to_text(name) == name


@pytest.mark.parametrize(
    "path",
    [
        "/etc/x",
        "..",
        "a/../../x",
        "a/..",
        "nul\0.png",
        "http://x/y.png",
        "file:///x",
        "C:\\x.png",
        "c:/x",
        "\\\\host\\x",
        "..\\x.png",
        "a\\..\\..\\x",
    ],
)
def test_paths_that_leave_the_root(path: str) -> None:
    assert leaves_root(path)


@pytest.mark.parametrize("path", ["a.png", "a/b..png", "...", "..a/x", "a:b.png", "a\\b.png", "c:x.png", "~/x"])
def test_paths_that_stay_inside_the_root(path: str) -> None:
    assert not leaves_root(path)


def test_a_folder_named_like_a_drive_is_read(tmp_path: Path) -> None:
    (tmp_path / "a:").mkdir()
    (tmp_path / "a:" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert read_inside(tmp_path.resolve(), "a:/0.png").content == b"\x89PNG\r\n\x1a\n"


def test_line_breaks_are_escaped() -> None:
    assert printable("a\nb\u202e.png") == "a\\nb\\u202e.png"
    assert printable("é 😀.png") == "é 😀.png"


def test_a_missing_file_is_missing_in_the_folder_that_was_searched_whatever_parameter_named_it(tmp_path: Path) -> None:
    rejection = read_inside(tmp_path.resolve(), "a.png").content
    assert rejection.detail == f"no such file in '{tmp_path.resolve()}'"
    (tmp_path / "out.png").symlink_to("/etc/hosts")
    assert read_inside(tmp_path.resolve(), "out.png").content.detail == f"a link that leaves '{tmp_path.resolve()}'"
