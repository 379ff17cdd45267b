import base64
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodbad_pipeline.images.rejections import Rejection
from goodbad_pipeline.serving.requests import read_image


@given(st.binary(max_size=200))
def test_bytes_and_their_base64_are_the_same(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    safe = base64.urlsafe_b64encode(data).decode()
    urls = [f"data:{kind};base64,{text}" for kind in ("image/png", "image/png;charset=utf-8", "image/x;name=a%20b", "")]
    urls.append(f"DATA:image/png;BASE64,{quote(text)}")
    for cell in (data, bytearray(data), text, text.rstrip("="), safe, safe.rstrip("="), f" {text} ", *urls):
        assert read_image(cell, allow_paths=False) == data


@given(st.one_of(st.text(max_size=40), st.none(), st.floats(), st.lists(st.integers(), max_size=3)))
def test_nothing_makes_it_raise(cell: object) -> None:
    for allow in (True, False):
        assert isinstance(read_image(cell, allow_paths=allow), bytes | Rejection)


def test_a_path_is_read_where_paths_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"GIF89a, as far as its first bytes go")
    for cell in (tmp_path / "one.png", str(tmp_path / "one.png")):
        assert read_image(cell, allow_paths=True) == b"GIF89a, as far as its first bytes go"
    assert read_image(str(tmp_path / "none.png"), allow_paths=True).reason == "missing"
    assert read_image(str(tmp_path / "."), allow_paths=True).reason == "not_a_file"


def test_a_name_that_could_be_base64_is_a_path_where_there_is_such_a_file(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "abcd").write_bytes(b"GIF89a, as far as its first bytes go")
    monkeypatch.chdir(tmp_path)
    assert read_image("abcd", allow_paths=True) == b"GIF89a, as far as its first bytes go"


def test_a_server_reads_no_paths(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"GIF89a, as far as its first bytes go")
    refused = read_image(str(tmp_path / "secret"), allow_paths=False)
    assert isinstance(refused, Rejection)
    assert refused.reason == "not_an_image"


@pytest.mark.parametrize(("cell", "reason"), [("", b""), (None, "missing"), (3.5, "missing"), ("@@@", "not_an_image")])
def test_what_is_no_file_has_a_reason(cell: object, reason: str | bytes) -> None:
    found = read_image(cell, allow_paths=False)
    assert found == reason if isinstance(reason, bytes) else found.reason == reason
