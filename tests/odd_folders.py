"""Folders as people have them: each builder writes a folder of images, or of images with a manifest."""

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from factories import encoded, make_image

PETS = ("cat", "dog")


def put(root: Path, *paths: str, content: bytes | None = None) -> Path:
    """Write a different image to each path, or ``content`` to all of them; return the root."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        seed = crc32("/".join(file.parts[-4:]).encode())
        file.write_bytes(encoded(make_image(seed, bright=bool(seed % 2))) if content is None else content)
    return root


def class_folders(root: Path, *above: str, labels: Sequence[str] = PETS, images: int = 2) -> Path:
    """Write a few images per class below each folder of ``above``, such as ``train/cat/0.png``."""
    for folder in above or ("",):
        put(root / folder, *(f"{label}/{number}.png" for label in labels for number in range(images)))
    return root


def loose_images(root: Path, *folders: str, images: int = 2) -> Path:
    """Write a few images directly into each folder."""
    for folder in folders:
        put(root / folder, *(f"{number}.png" for number in range(images)))
    return root


def write_table(root: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    """Write a manifest; return the root."""
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(text.encode(encoding))
    return root


def kaggle_competition(root: Path, *, train: str = "train", test: str = "test", ending: str = "") -> Path:
    """Write images without class folders, and ``train.csv`` with ids and labels."""
    loose_images(root, train, test)
    return write_table(root, f"id,breed\n0{ending},cat\n1{ending},dog\n", "train.csv")
