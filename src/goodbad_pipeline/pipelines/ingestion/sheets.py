"""What was set aside, to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.images.paths import printable
from goodbad_pipeline.images.pixels import Transform, pixel_source
from goodbad_pipeline.images.reasons import Reason
from goodbad_pipeline.params import ImageParams

SIDE = 96
PER_REASON = 8
GREY = 225
# Sound images that other rules set aside. What a decoder refused once is not given to it again for a figure.
SOUND = (Reason.CONFLICTING_LABEL, Reason.EXCLUDED, Reason.NO_LABEL, Reason.SPLIT_LEAK)


def draw_quarantine_sheet(quarantine: pd.DataFrame, images: ImageParams) -> figures.Figure:
    """Show a few files for each reason; one that holds no sound image is a grey field."""
    shown = quarantine.sort_values(["reason", "path"]).groupby("reason").head(PER_REASON)
    transform = images.transform(SIDE)
    thumbnails = [_image(shown.iloc[[row]], Path(images.root), transform) for row in range(len(shown))]
    pixels = np.stack(thumbnails) if thumbnails else np.empty((0, SIDE, SIDE, 3), np.uint8)
    captions = [
        f"{reason.replace('_', ' ')}\n{file_name(path)}"
        for reason, path in zip(shown["reason"].astype(str), shown["path"], strict=True)
    ]
    title = f"Quarantine: {len(shown)} of {len(quarantine)} files, up to {PER_REASON} for each reason"
    return figures.contact_sheet(pixels, captions, columns=8, title=title)


def file_name(path: object) -> str:
    """The last part of a path, or nothing where a manifest's row has no path."""
    return "" if not isinstance(path, str) else Path(printable(path)).name


def _image(row: pd.DataFrame, root: Path, transform: Transform) -> np.ndarray:
    if row["reason"].iloc[0] in SOUND:
        try:
            return pixel_source(row, root, transform).streamed().array[0]
        except InputError:  # it was there when it was scanned, and is not any more; the next scan will say so
            pass
    return np.full((transform.resolution, transform.resolution, 3), GREY, np.uint8)
