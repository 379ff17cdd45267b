"""From a folder of images to the labels dataframe, and a reason for every file that is not in it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.images.corrections import apply_corrections, read_corrections
from goodbad_pipeline.images.duplicates import group_duplicates
from goodbad_pipeline.images.paths import printable
from goodbad_pipeline.images.pixels import pixel_source
from goodbad_pipeline.images.scan import scan_candidates
from goodbad_pipeline.images.sources import Columns, read_candidates
from goodbad_pipeline.images.workers import WorkerBackend
from goodbad_pipeline.params import ImageParams

logger = logging.getLogger(__name__)

SHEET_SIDE = 96
SHEET_IMAGES_PER_CLASS = 16


def scan_images(images: ImageParams, journal: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Open every file once: the images, what is no image, and what was listed before any was opened."""
    root = Path(images.root)
    listing = read_candidates(root, images.layout, images.manifest, Columns(**images.columns.model_dump()))
    scan = scan_candidates(
        listing.candidates,
        root,
        max_pixels=images.max_pixels,
        background=images.background,
        tiff=images.tiff,
        limits=images.scan.limits,
        backend=WorkerBackend(images.scan.engine, images.scan.engine_options, images.scan.workers),
        cache_folder=journal,
        trust_timestamps=images.scan.trust_timestamps,
    )
    given = listing.candidates.loc[listing.candidates["label"].notna(), "split"].value_counts()
    counts = {str(split): int(count) for split, count in given.items()}
    told = {"candidates": len(listing.candidates), "ignored": listing.ignored, "given_splits": counts}
    return scan.images, scan.quarantine, told


def group_images(
    accepted: pd.DataFrame, unreadable: pd.DataFrame, images: ImageParams
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Correct labels, join copies into groups, complete the quarantine: images, quarantine, duplicates, corrections."""
    corrections = read_corrections(None if images.corrections is None else Path(images.corrections))
    corrected = apply_corrections(accepted, unreadable, corrections)
    for status, count in corrected.report["status"].value_counts().items():
        logger.info("Corrections: %d images %s", count, status)
    grouping = group_duplicates(corrected.images, images.near_duplicate_bits)
    quarantine = pd.concat([unreadable, corrected.excluded, grouping.conflicts], ignore_index=True)
    return grouping.labels, quarantine, grouping.duplicates, corrected.report


def report_ingestion(
    labels: pd.DataFrame, quarantine: pd.DataFrame, duplicates: pd.DataFrame, listing: dict[str, Any]
) -> tuple[dict[str, object], pd.DataFrame]:
    """Say what became of every file: a summary, and the quarantine as a table to read.

    Raises:
        InputError: Some file that was listed is in neither table, or in both.
    """
    found, ignored = listing["candidates"], listing["ignored"]
    _require_all_accounted(found, len(labels), len(quarantine))
    reasons = quarantine["reason"].value_counts().sort_index()
    kinds = duplicates["kind"].value_counts()
    disputed = duplicates[(duplicates["label"] != duplicates["twin_label"]) & (duplicates["kind"] == "near")]
    summary: dict[str, object] = {
        "found": found,
        "accepted": len(labels),
        "quarantined": len(quarantine),
        "quarantined_by_reason": {str(reason): int(count) for reason, count in reasons.items()},
        "ignored": ignored,
        "given_splits": listing["given_splits"],
        "exact_duplicates": int(kinds.get("exact", 0)),
        "near_duplicates": int(kinds.get("near", 0)),
        "near_duplicates_under_two_labels": len(disputed),
        "groups": int(labels["group"].nunique()),
        "images_per_class": {str(name): int(count) for name, count in labels["label"].value_counts().items()},
    }
    logger.info("%d files found = %d accepted + %d quarantined", found, len(labels), len(quarantine))
    for reason, count in reasons.items():
        first = quarantine.loc[quarantine["reason"] == reason, "path"].iloc[0]
        named = printable(first) if isinstance(first, str) else "a row of the manifest without a path"
        logger.info("  quarantined as %s: %d (first: %s)", reason, count, named)
    if ignored:
        names = ", ".join(f"{printable(name)} {count}" for name, count in ignored.items())
        logger.info("  ignored as hidden, by name: %s", names)
    logger.info("  copies kept in one group: %d exact, %d near", *(int(kinds.get(k, 0)) for k in ("exact", "near")))
    if len(disputed):
        first = disputed.iloc[0]
        logger.warning(
            "%d near copies bear another label than the image that they are like (first: %s as '%s', %s as '%s'); "
            "they are kept: look at data/03_primary/duplicates.csv",
            *(len(disputed), first["path"], first["label"], first["twin"], first["twin_label"]),
        )
    return summary, quarantine


def _require_all_accounted(found: int, accepted: int, quarantined: int) -> None:
    if found != accepted + quarantined:
        raise InputError(
            f"images: every file found must be accepted or quarantined, got {found} found, {accepted} accepted and "
            f"{quarantined} quarantined; run --pipeline=data from its start"
        )


def check_quarantine(grouped: pd.DataFrame, summary: dict[str, Any], images: ImageParams) -> pd.DataFrame:
    """Let the labels through, or fail the run where more was set aside than is allowed, or all of a given split.

    The tables that tell of it are stored by now; labels and splits are still those of the last scan that passed.

    Raises:
        InputError: With the counts by reason.
    """
    found, quarantined = summary["found"], summary["quarantined"]
    if quarantined > images.max_quarantined_fraction * found:
        reasons = ", ".join(f"{reason} {count}" for reason, count in summary["quarantined_by_reason"].items())
        raise InputError(
            f"images.max_quarantined_fraction: at most {images.max_quarantined_fraction:g} of the files may be set "
            f"aside, got {quarantined} of {found} ({reasons}); data/08_reporting/quarantine.csv names each; labels and "
            "splits stay as they were"
        )
    for split in sorted(set(summary["given_splits"]) - set(grouped["source_split"].dropna())):
        raise InputError(
            f"images: every split that is given must keep an image, got '{split}', of which all "
            f"{summary['given_splits'][split]} were set aside; data/08_reporting/quarantine.csv says why: mend them, "
            "or take the split out of the source to have one cut from train"
        )
    return grouped


def draw_image_sheet(labels: pd.DataFrame, images: ImageParams) -> figures.Figure:
    """Show a few images of each class, the first of as many groups."""
    firsts = labels.drop_duplicates("group").groupby("label", sort=True).head(SHEET_IMAGES_PER_CLASS)
    shown = firsts.sort_values(["label", "path"]).drop_duplicates("image_id")
    pixels = pixel_source(shown, Path(images.root), images.transform(SHEET_SIDE)).streamed().array[:]
    return figures.contact_sheet(pixels, shown["label"].tolist(), columns=8, title="Accepted images by label")
