import os

from factories import encoded, make_image
from PIL import Image

from goodbad_pipeline.images.exif import find_exif
from goodbad_pipeline.images.paths import to_text


def test_exif_is_seen_in_headers_and_a_file_that_went_away_has_none(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    image = make_image(0, bright=True)
    files = {
        "with.jpg": encoded(image, "JPEG", exif=exif),
        "without.jpg": encoded(image, "JPEG"),
        "with.png": encoded(image, "PNG", exif=exif),
        "without.png": encoded(image, "PNG"),
        "broken.png": b"nothing",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    strange = os.fsdecode(b"\xff.jpg")
    (tmp_path / strange).write_bytes(files["with.jpg"])
    assert find_exif(tmp_path, [to_text(strange)]).tolist() == [True]
    assert find_exif(tmp_path, [*files, "gone.png"]).tolist() == [True, False, True, False, False, False]
