import logging

import pytest

from goodbad_pipeline.images import progress


@pytest.mark.parametrize(
    ("total", "text"), [(None, "1 files read, 0.025 per second"), (3, "0.025 per second, 1.3 min")]
)
def test_a_slow_rate_is_logged_with_two_digits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, total: int | None, text: str
) -> None:
    clock = iter([0.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(progress, "tqdm", lambda **_: type("Bar", (), {"disable": True, "update": lambda *_: None})())
    with caplog.at_level(logging.INFO):
        progress.Progress("Reading", "read", total).advance(1)
    assert text in caplog.text
