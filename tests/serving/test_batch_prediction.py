import hashlib
from pathlib import Path

import pytest
from factories import encoded, make_image

from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.images.pixels import Transform
from goodbad_pipeline.images.sources import open_source
from goodbad_pipeline.serving import batch_prediction
from goodbad_pipeline.serving.batch_prediction import PredictionStream
from goodbad_pipeline.serving.classifier import Classifier


class Even:
    """A model that knows nothing."""

    def predict_on_batch(self, pixels):
        return [[0.5, 0.5]] * len(pixels)


def test_a_block_holds_no_more_bytes_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(make_image(1, bright=True))
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(data)
    (tmp_path / "large.png").write_bytes(data * 3)
    (tmp_path / "video.png").write_bytes(b"ftypmp42" + data * 3)
    monkeypatch.setattr(batch_prediction, "BLOCK_BYTES", 2 * len(data) + 1)
    classifier = Classifier(Even(), Transform(8, "pad", (0, 0, 0), 10**6), Calibration(["bad", "good"]))
    found = list(PredictionStream(open_source(tmp_path, "path"), classifier))
    assert [part["path"].tolist() for part in found] == [
        ["0.png", "1.png"],
        ["2.png", "3.png"],
        ["4.png", "large.png", "video.png"],
    ]
    last = found[-1].set_index("path")
    assert last["reason"].fillna("").tolist() == ["", "out_of_memory", "not_an_image"]
    hashes = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in last.index]
    assert last["image_id"].tolist() == hashes
