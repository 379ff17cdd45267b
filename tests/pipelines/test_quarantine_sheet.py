from pathlib import Path

import pandas as pd
import pytest
from factories import encoded, make_image, parameters

from goodbad_pipeline.params import ImageParams, validate_parameters
from goodbad_pipeline.pipelines.ingestion.nodes import draw_quarantine_sheet


@pytest.fixture
def images(tmp_path: Path) -> ImageParams:
    (tmp_path / "a.png").write_bytes(encoded(make_image(1, bright=True)))
    typed = validate_parameters(parameters(images__root=str(tmp_path)))["images"]
    assert isinstance(typed, ImageParams)
    return typed


def test_a_file_of_each_reason_is_shown_unless_it_cannot_be_decoded(images: ImageParams, monkeypatch) -> None:
    import hashlib

    known = hashlib.sha256((Path(images.root) / "a.png").read_bytes()).hexdigest()
    rows = [(f"{n}.png", "excluded", "0" * 64) for n in range(20)]  # gone since
    rows += [("a.png", "conflicting_label", known), ("a.png", "corrupt", known), (None, "missing", None)]
    rows += [("x/€ $1.png", "not_an_image", None)]
    figure = draw_quarantine_sheet(pd.DataFrame(rows, columns=["path", "reason", "image_id"], dtype=object), images)
    captions = [text.get_text().replace("\n", " ") for text in figure.texts[1:]]
    shown = dict(zip(captions, figure.axes[0].images, strict=True))
    assert len(shown) == 8 + 1 + 1 + 1 + 1
    flat = {caption: image.get_array().std() == 0 for caption, image in shown.items()}
    assert not flat.pop("conflicting label a.png")
    assert all(flat.values())
    assert "Quarantine: 12 of 24 files" in figure.texts[0].get_text()


def test_an_empty_quarantine_is_a_sheet_with_a_note(images: ImageParams) -> None:
    figure = draw_quarantine_sheet(pd.DataFrame(columns=["path", "reason", "image_id"]), images)
    assert [text.get_text() for text in figure.texts][-1] == "No images"
