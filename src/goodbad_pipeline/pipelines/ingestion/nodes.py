"""Nodes that turn a folder of images into the labels table and record why each file was left out."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline.errors import InputError, counted
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.images.corrections import apply_corrections, read_corrections
from goodbad_pipeline.images.duplicates import group_duplicates
from goodbad_pipeline.images.layouts import split_of
from goodbad_pipeline.images.manifests import Columns
from goodbad_pipeline.images.paths import Root, printable
from goodbad_pipeline.images.pixels import Transform, pixel_source
from goodbad_pipeline.images.rejections import Reason
from goodbad_pipeline.images.scan import scan_candidates
from goodbad_pipeline.images.sources import read_candidates
from goodbad_pipeline.images.stores import open_root, with_root
from goodbad_pipeline.images.worker_backend import WorkerBackend
from goodbad_pipeline.params import ImageParams
from goodbad_pipeline.training.stopping import StopRequest

logger = logging.getLogger(__name__)

SIDECAR = r"(?i)\.(?:json|txt|xml)$"  # the ending of a text file beside an image
THUMBNAIL = 96
IMAGES_PER_CLASS = 16
IMAGES_PER_REASON = 8
GREY = 225
# Files quarantined for these reasons can be decoded. Other quarantined files are not decoded again for a figure.
READABLE = (Reason.CONFLICTING_LABEL, Reason.EXCLUDED, Reason.NO_LABEL, Reason.SPLIT_LEAK)


def scan_images(
    images: ImageParams, journal: Path, stop_request: StopRequest
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Read every file once; return the images, the unreadable files, and counts of all files found.

    Tables of images have ``images.root`` as their attribute ``root``.
    """
    root = open_root(images.root, again=True)
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
        stop=stop_request,
    )
    splits = listing.candidates.loc[listing.candidates["label"].notna(), "split"].value_counts()
    counts = {
        "candidates": len(listing.candidates),
        "ignored": listing.ignored,
        "unlabelled": listing.unlabelled,
        "given_splits": {str(split): int(count) for split, count in splits.items()},
    }
    return with_root(scan.images, images.root), with_root(scan.quarantine, images.root), counts


def group_images(
    accepted: pd.DataFrame, unreadable: pd.DataFrame, images: ImageParams
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Correct labels and group duplicates; return images, quarantine, duplicates and corrections."""
    corrections = read_corrections(None if images.corrections is None else Path(images.corrections))
    corrected = apply_corrections(accepted, unreadable, corrections)
    grouping = group_duplicates(corrected.images, images.near_duplicate_bits)
    quarantine = pd.concat([unreadable, corrected.excluded, grouping.conflicts], ignore_index=True)
    return grouping.labels, with_root(quarantine, images.root), grouping.duplicates, corrected.report


def report_ingestion(
    labels: pd.DataFrame,
    quarantine: pd.DataFrame,
    duplicates: pd.DataFrame,
    corrections: pd.DataFrame,
    listing: dict[str, Any],
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return a summary of the counts of all files, and the quarantine as a table for people to read.

    Raises:
        InputError: A listed file is neither accepted nor quarantined, or it is both.
    """
    found, accepted, quarantined = listing["candidates"], len(labels), len(quarantine)
    if found != accepted + quarantined:
        raise InputError(
            f"images: every file found must be accepted or quarantined, got {found} found, {accepted} accepted and "
            f"{quarantined} quarantined; run --pipeline=data from the start"
        )
    kinds = duplicates["kind"].value_counts()
    disputed = duplicates[(duplicates["label"] != duplicates["twin_label"]) & (duplicates["kind"] == "near")]
    summary = {
        "found": found,
        "accepted": accepted,
        "quarantined": quarantined,
        "quarantined_by_reason": _counts(quarantine["reason"].value_counts().sort_index()),
        "corrections": _counts(corrections["status"].value_counts()),
        "ignored": listing["ignored"],
        "unlabelled": listing["unlabelled"],
        "given_splits": listing["given_splits"],
        "exact_duplicates": int(kinds.get("exact", 0)),
        "near_duplicates": int(kinds.get("near", 0)),
        "near_duplicates_under_two_labels": len(disputed),
        "groups": int(labels["group"].nunique()),
        "images_per_class": _counts(labels["label"].value_counts()),
    }
    _log_summary(summary, quarantine, disputed)
    return summary, quarantine


def _counts(counts: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in counts.items()}


def _log_summary(summary: dict[str, Any], quarantine: pd.DataFrame, disputed: pd.DataFrame) -> None:
    counts = [summary[name] for name in ("found", "accepted", "quarantined")]
    logger.info("%s found = %d accepted + %d quarantined", counted(counts[0], "file"), *counts[1:])
    for reason, count in summary["quarantined_by_reason"].items():
        first = quarantine.loc[quarantine["reason"] == reason, "path"].iloc[0]
        name = printable(first) if isinstance(first, str) else "a row of the manifest without a path"
        logger.info("  quarantined as %s: %d (first: %s)", reason, count, name)
    if summary["ignored"]:
        ignored = ", ".join(f"{printable(name)} {count}" for name, count in summary["ignored"].items())
        logger.info("  ignored hidden files and folders, counted by name: %s", ignored)
    unlabelled = quarantine.loc[quarantine["reason"] == Reason.NO_LABEL, "path"].str.extract(r"([^/]+)/[^/]*$")[0]
    for folder, count in summary["unlabelled"].items():
        name, files = printable(folder), counted(count, "file")
        if not summary["given_splits"] or any(map(split_of, re.split(r"[\W_]+", folder))):
            logger.warning("  left out: %s in '%s', because the files have no labels", files, name)
        elif images := int((unlabelled == folder).sum()):
            advice = f"which is in no split. If '{name}' is a class, move the images to train/{name}"
            logger.warning("  left out: %s in '%s', %s", counted(images, "image"), name, advice)
        else:
            logger.warning("  left out: %s in '%s', which is no split", files, name)
    for status, count in summary["corrections"].items():
        logger.info("  corrections: %s %s", counted(count, "image"), status)
    exact, near = summary["exact_duplicates"], summary["near_duplicates"]
    logger.info("  duplicates in the same group: %d exact, %d near", exact, near)
    if len(disputed):
        first = disputed.iloc[0]
        logger.warning(
            "Pairs of near-duplicates with different labels: %d (first: %s as '%s', %s as '%s'). Both images are kept; "
            "check data/03_primary/duplicates.csv",
            *(len(disputed), first["path"], first["label"], first["twin"], first["twin_label"]),
        )


def check_quarantine(
    grouped: pd.DataFrame, quarantine: pd.DataFrame, summary: dict[str, Any], images: ImageParams
) -> pd.DataFrame:
    """Check that not too many files are quarantined, then return ``grouped`` as the labels.

    The summary and the quarantine table are saved before this check. If the check fails, the labels and splits of the
    last successful scan are kept.

    Raises:
        InputError: Too many files are quarantined, or a split of the source, such as test/, keeps no file.
    """
    unlabelled = sum(summary["unlabelled"].values())  # number of files in folders that are left out as a whole
    spared = unlabelled + _count_sidecars(grouped, quarantine)
    found, quarantined = summary["found"] - spared, summary["quarantined"] - spared
    if quarantined > images.max_quarantined_fraction * found:
        reasons = ", ".join(f"{reason} {count}" for reason, count in summary["quarantined_by_reason"].items())
        raise InputError(
            f"images.max_quarantined_fraction: at most {images.max_quarantined_fraction:g} of the files may be "
            f"quarantined, got {quarantined} of {found} ({reasons}), such as {_example(quarantine)}; "
            "data/08_reporting/quarantine.csv lists the files; labels and splits are unchanged"
        )
    for split in sorted(set(summary["given_splits"]) - set(grouped["source_split"].dropna())):
        raise InputError(
            f"images: every split of the source must keep at least one image, but all {summary['given_splits'][split]} "
            f"files of '{split}' are quarantined. Repair the files (reasons: data/08_reporting/quarantine.csv), "
            f"or remove this split from the source; a part of the train images then becomes '{split}'"
        )
    return with_root(grouped, images.root)


def _count_sidecars(images: pd.DataFrame, quarantine: pd.DataFrame) -> int:
    """Count the quarantined files that describe an accepted image, such as cat/1.json beside cat/1.jpg."""
    paths = quarantine.loc[quarantine["reason"] == Reason.NOT_AN_IMAGE, "path"].astype(str)
    stems = paths[paths.str.contains(SIDECAR)].str.replace(SIDECAR, "", regex=True)
    return int(stems.isin(set(images["path"].str.replace(r"\.\w+$", "", regex=True))).sum()) if len(stems) else 0


def _example(quarantine: pd.DataFrame) -> str:
    """Return a file with the most frequent reason and, among files with this reason, the most frequent detail."""
    rows = quarantine[quarantine["reason"] == quarantine["reason"].mode()[0]]
    details = rows["detail"].fillna("")
    first = rows[details == details.mode()[0]].iloc[0]
    return printable(f"'{first['path']}' ({first['reason']}: {first['detail']})")


def draw_image_sheet(labels: pd.DataFrame, images: ImageParams) -> figures.Figure:
    """Draw a few images of each class, each from a different group."""
    first_of_group = labels.drop_duplicates("group").groupby("label", sort=True).head(IMAGES_PER_CLASS)
    shown = first_of_group.sort_values(["label", "path"]).drop_duplicates("image_id")
    pixels = pixel_source(shown, open_root(images.root), images.transform(THUMBNAIL)).streamed().array[:]
    return figures.contact_sheet(pixels, shown["label"].tolist(), columns=8, title="Accepted images by label")


def draw_quarantine_sheet(quarantine: pd.DataFrame, images: ImageParams) -> figures.Figure:
    """Draw a few files for each reason; a file without a readable image is a grey square."""
    shown = quarantine.sort_values(["reason", "path"]).groupby("reason").head(IMAGES_PER_REASON)
    transform = images.transform(THUMBNAIL)
    root = open_root(images.root)
    thumbnails = [_thumbnail(shown.iloc[[row]], root, transform) for row in range(len(shown))]
    pixels = np.stack(thumbnails) if thumbnails else np.empty((0, THUMBNAIL, THUMBNAIL, 3), np.uint8)
    captions = [
        # A row of a manifest may have no path.
        f"{reason.replace('_', ' ')}\n{Path(printable(path)).name if isinstance(path, str) else ''}"
        for reason, path in zip(shown["reason"].astype(str), shown["path"], strict=True)
    ]
    title = f"Quarantine: {len(shown)} of {len(quarantine)} files, up to {IMAGES_PER_REASON} for each reason"
    return figures.contact_sheet(pixels, captions, columns=8, title=title)


def _thumbnail(row: pd.DataFrame, root: Root, transform: Transform) -> np.ndarray:
    if row["reason"].iloc[0] in READABLE:
        try:
            return pixel_source(row, root, transform).streamed().array[0]
        except InputError:  # the file was changed or removed after the scan; the next scan reports it
            pass
    return np.full((transform.resolution, transform.resolution, 3), GREY, np.uint8)
