"""Tell class folders from split folders by the paths of the files. No file is opened."""

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from goodbad_pipeline.errors import InputError, counted, option
from goodbad_pipeline.images.paths import printable

logger = logging.getLogger(__name__)

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "val": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",  # Hugging Face Datasets reads eval as test
    "evaluation": "test",
    "holdout": "test",
}
MAX_DEPTH = 6  # levels of folders below the root that are examined
# Folder names contain a split's name and words such as set or images: training_set, Test Images, seg_train, val2017.
_FILLER = r"(?:data|dataset|file|folder|image|img|photo|pic|picture|sample|seg|set|split|subset)s?"
_WORD = re.compile(r"[^\W\d_]+")
_SPLIT_WORD = re.compile(rf"({'|'.join(SPLIT_NAMES)})(?:{_FILLER})?")
_TABLE = re.compile(r"^([^/]+/)?[^/]+\.(csv|tsv|parquet)$", re.IGNORECASE)  # in the root or in a folder of the root
_SUBMISSION = re.compile("submission", re.IGNORECASE)  # a table of a competition without labels
_TEST = re.compile(r"(?<![a-z])test[^/]*$", re.IGNORECASE)  # a table that may have no labels
_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.\w+|7z|rar|tfrecords?)$", re.IGNORECASE)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")  # between the words of trainImages
_NO_IMAGE = re.compile(  # a file with such a name makes no folder a class
    r"\.(txt|md|csv|tsv|jsonl?|xml|ya?ml|html?|log|docx?|xlsx?|pdf|py|ipynb|h5|hdf5|keras|pth?|ckpt|onnx|tflite|pb|np[yz]|"
    r"mat|pkl|parquet|tfrecords?|db|sqlite|zip|tar|gz|tgz|7z|rar|mp4|avi|mov|wav|mp3)$",
    re.IGNORECASE,
)
IMAGE_NAME = re.compile(r"\.(jpe?g|jpe|jfif|png|gif|bmp|webp|tiff?|avif|heic|heif)$", re.IGNORECASE)
_VIDEO = re.compile(r"\.(mp4|avi|mov|mkv|webm)$", re.IGNORECASE)
_PART = re.compile(r"((jpeg)?image|img|photo|mask|label|annotation|segmentation\w*|bbox|ground.?truth)(e?s)?", re.I)
_NAME_CLASSES = (
    "Put the images of each class into a folder, such as cat/1.jpg or train/cat/1.jpg, or list the images in "
    "labels.csv with the columns path and label"
)


@dataclass(frozen=True)
class Arrangement:
    """Specifies which folder in the path of a file gives the split and which folder gives the label."""

    layout: Literal["folders", "presplit"]
    base: str  # folder that contains the class or split folders, with a final `/` unless it is the root
    splits: dict[str, str]  # split by the name of its folder
    classes_in: dict[str, str]  # by split folder: the folder that contains its class folders, with a final `/`

    def place(self, path: str) -> tuple[str | None, str]:
        """Return the split and the label of a file; the label is empty if the file is in no class folder."""
        top = self.top(path)
        above = self.base if self.layout == "folders" else self.classes_in.get(top)
        if not top or above is None or not path.startswith(above):
            return self.splits.get(top), ""
        label, _, rest = path[len(above) :].partition("/")
        return self.splits.get(top), label if rest else ""

    def top(self, path: str) -> str:
        """Return the name of the class or split folder that contains a file, or an empty string."""
        top, _, rest = path.removeprefix(self.base).partition("/")
        return top if rest and path.startswith(self.base) else ""


def split_of(name: str) -> str | None:
    """Return the split that the name of a folder or class stands for: train for Training_set, None for cat."""
    split, others = _parse(name)
    return None if others else split


def find_arrangement(paths: Sequence[str], layout: Literal["auto", "folders", "presplit"], root: str) -> Arrangement:
    """Return which folders in ``paths`` are classes and which are splits.

    The layout ``auto`` decides by the names and content of the folders.

    Raises:
        InputError: ``layout`` is auto, and the folders are ambiguous or hold fewer than two classes.
    """
    folders = _Folders(paths)
    base = folders.unwrap("", through_splits=layout == "folders")
    if base:
        logger.info(
            "images.root: all images are in '%s', whose folders are read as classes or splits",
            printable(base),
        )
    tops = folders.inside(base)
    above = {top: folders.class_level(f"{base}{top}/") for top in tops}
    classes = {top: set(folders.inside(above[top])) for top in tops}
    splits = find_splits(tops) if layout != "folders" else {}
    where = "" if PurePath(root).suffix else f"{root}/{base}"  # an archive has no folder that can be read alone
    problem = _contradiction(tops, splits, classes, root, where) if layout == "auto" else None
    if problem is not None and not splits and len(tops) > 1:
        named = [path for path in paths if IMAGE_NAME.search(path)]
        if len(_Folders(named).inside(base)) == 1:  # the other folders have no images, only files without an ending
            return find_arrangement(named, layout, root)
    presplit = layout == "presplit" or any(classes[top] for top in splits) or len(splits) == len(tops)
    labels = set().union(*(classes[top] for top in splits)) if presplit else tops
    if problem is not None:
        raise InputError(f"images.root: cannot tell which folders in '{root}' are classes: {printable(problem)}")
    if layout == "auto" and len(labels) < 2:
        raise InputError(f"images.root: {printable(_without_classes(tops, paths, root))}")
    if not presplit:
        return Arrangement("folders", base, {}, {})
    return Arrangement("presplit", base, splits, {top: above[top] for top in splits if classes[top]})


class _Folders:
    """The folders that contain files that may be images, directly or in subfolders."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._with_images = {path.rpartition("/")[0] for path in paths if not _NO_IMAGE.search(path)}
        self._inside: dict[str, dict[str, None]] = {}
        for folder in self._with_images:
            above = ""
            for name in folder.split("/")[:MAX_DEPTH] if folder else ():
                self._inside.setdefault(above, {})[name] = None
                above += f"{name}/"

    def inside(self, folder: str) -> list[str]:
        """Return the names of the subfolders of ``folder``, a path that ends with `/` or is empty for the root."""
        return sorted(self._inside.get(folder, ()))

    def unwrap(self, folder: str, *, through_splits: bool) -> str:
        """Descend from ``folder`` while there is only one subfolder, and return the last folder.

        The descent stops before a subfolder that is named like a split, unless ``through_splits`` is True. If a single
        subfolder directly contains images, the subfolder may be a class; the result is then ``folder``.
        """
        inside, unwrapped = self.inside(folder), folder
        while len(inside) == 1 and (through_splits or split_of(inside[0]) is None):
            if unwrapped + inside[0] in self._with_images:
                return folder
            unwrapped += f"{inside[0]}/"
            inside = self.inside(unwrapped)
        return unwrapped if inside else folder

    def class_level(self, split: str) -> str:
        """Return the folder that holds the class folders of ``split``: train/, train/train/ or train/images/."""
        inside = self.inside(split)
        if len(inside) == 1 and (_is_filler(inside[0]) or split.endswith(f"{inside[0]}/")):
            return f"{split}{inside[0]}/"
        return split


def _parse(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the split that a name mentions and the other words of the name, except fillers such as images.

    If the name mentions no split or several, return None and all words.
    """
    words = _WORD.findall(_HUMP.sub(" ", name).lower().replace("hold-out", "holdout").replace("hold_out", "holdout"))
    found = [match[1] for match in map(_SPLIT_WORD.fullmatch, words) if match]
    others = tuple(word for word in words if not _SPLIT_WORD.fullmatch(word) and not re.fullmatch(_FILLER, word))
    return (SPLIT_NAMES[found[0]], others) if len(found) == 1 else (None, tuple(words))


def _is_filler(name: str) -> bool:
    return split_of(f"train {name}") is not None


def find_splits(names: Sequence[str]) -> dict[str, str]:
    """Map folder names to splits. birds_train is a split only if there is also a folder such as birds_test."""
    parsed = {name: _parse(name) for name in names}
    splits: dict[tuple[str, ...], set[str]] = {}
    for split, others in parsed.values():
        if split:
            splits.setdefault(others, set()).add(split)
    return {
        name: split for name, (split, others) in parsed.items() if split and (not others or len(splits[others]) > 1)
    }


def warn_of_labels(labels: Sequence[str]) -> Iterator[str]:
    """Yield a warning for each label that may not be a class, or may mean the same class as another label."""
    like_splits = [label for label in labels if split_of(label)]
    parts = [label for label in labels if _PART.fullmatch(label)]
    for label in like_splits if not parts else ():
        yield f"Class '{label}' is named like a split. If '{label}' is no class: {_NAME_CLASSES}"
    parts += like_splits
    if len(parts) > 1 and parts != like_splits:
        yield f"Classes {_list(parts)} are named like parts of a dataset. If they are no classes: {_NAME_CLASSES}"
    yield from similar_labels(labels)


def similar_labels(labels: Iterable[str]) -> list[str]:
    """Return a warning for each set of labels that differ only by case or white space."""
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault("".join(label.split()).casefold(), []).append(label)
    return [
        f"The labels {', '.join(map(repr, similar))} differ only by case or white space, but count as different "
        "classes. If they mean the same, give the images one label: rename the folders, or edit the manifest."
        for similar in alike.values()
        if len(similar) > 1
    ]


def _contradiction(
    tops: Sequence[str], splits: dict[str, str], classes: dict[str, set[str]], root: str, where: str
) -> str | None:
    """Return why it is unclear whether the folders ``tops`` are classes or splits, or None if it is clear.

    ``splits`` maps folders with the name of a split to this split. ``classes`` maps each folder to the class folders in
    it. ``where`` is the path of the folder that contains ``tops``; it is empty if ``root`` is an archive.
    """
    as_classes = option("images.root", f"{root},images.layout=folders")
    name_splits = (
        "If the folders are splits, name them train, validation and test (images.layout=presplit leaves out folders "
        f"with other names). If they are classes, add {as_classes}"
    )
    others = [top for top in tops if top not in splits]
    filled = [top for top in splits if classes[top]]
    held_out = [top for top, split in splits.items() if split != "train"]
    known = set().union(*(classes[top] for top in filled))
    alike = [top for top in others if classes[top] & known]
    problem = None
    if not splits:
        problem = _nested_copy(tops, classes, where) or _same_folders(tops, classes, as_classes, where)
    elif not filled and others and held_out:  # beside bus and car, a folder train is a class
        problem = (
            f"{_are(held_out)} named like a split but without class folders, and {_are(others)} not named like a "
            f"split. If all are classes, add {as_classes}; if not, move {_list(held_out)} out of images.root"
        )
    elif len({_parse(top)[1] for top in splits}) > 1:
        advice = name_splits if filled else f"{_move_to_splits(splits)}. If the folders are classes, add {as_classes}"
        problem = f"the folders {_list(splits)} are named like splits of several classes. {advice}"
    elif alike:
        problem = f"{_list(filled)} and {_list(alike)} contain class folders with the same names. {name_splits}"
    elif filled and "train" not in (splits[top] for top in filled):
        problem = f"{_are(filled)} named like a split, but a folder train with classes is missing. {name_splits}"
    elif len(filled) == 1 and any(classes[top] for top in others):
        problem = f"{_are(filled)} named like a split, but {_are(others)} not. {name_splits}"
    return problem


def _move_to_splits(splits: dict[str, str]) -> str:
    """Return the advice to move folders with a split and a class in their name, such as trainA to train/A."""
    moves = []
    for name, split in splits.items():
        words = _WORD.findall(_HUMP.sub(" ", name))
        label = "_".join(word for word in words if word.lower() in _parse(name)[1])
        if label:
            moves.append(f"'{name}' to '{split}/{label}'")
    return f"If the folders are splits, move {', '.join(moves[:2])}{', and so on' * (len(moves) > 2)}"


def _nested_copy(tops: Sequence[str], classes: dict[str, set[str]], where: str) -> str | None:
    for top in tops:
        again = sorted(classes[top].intersection(tops) - {top})
        if len(again) > 1:
            advice = f"Move '{top}' out of images.root{_or_read_only(where, top)}"
            return f"'{top}' contains folders named like its siblings {_list(again)}. {advice}"
    return None


def _same_folders(tops: Sequence[str], classes: dict[str, set[str]], as_classes: str, where: str) -> str | None:
    names = sorted(classes[tops[0]]) if tops else []
    if len(tops) < 2 or len(names) < 2 or any(classes[top] != set(names) for top in tops):
        return None
    if len(find_splits(names)) == len(names):
        return f"split folders are in class folders. Move '{tops[0]}/{names[0]}' to '{names[0]}/{tops[0]}', and so on"
    return (
        f"the folders {_list(tops)} all contain the folders {_list(names)}. If {_list(tops)} are splits, name them "
        f"train, validation and test; if they are classes, add {as_classes}. To take {_list(names)} or folders in them "
        f"as classes, list the images in labels.csv with columns path,label{_or_read_only(where, tops[0])}"
    )


def _or_read_only(where: str, folder: str) -> str:
    return f", or add {option('images.root', where + folder)} to read only '{folder}'" if where else ""


def _without_classes(tops: Sequence[str], paths: Sequence[str], root: str) -> str:
    loose = sum("/" not in path and not _NO_IMAGE.search(path) and not _ARCHIVE.search(path) for path in paths)
    if tops:
        found = f"in '{root}', images are only in {_list(tops)}; two class folders are needed"
    elif loose:
        lie = "lies" if loose == 1 else "lie"
        found = f"{counted(loose, 'image')} {lie} directly in '{root}', none in a class folder"
    else:
        videos = sum(bool(_VIDEO.search(path)) for path in paths)
        found = (
            f"no folder in '{root}' has images"
            + f", but {counted(videos, 'video')}; save the frames as images" * bool(videos)
        )
    archives = [path for path in paths if _ARCHIVE.search(path)]
    if archives:
        setting = option("images.root", f"{root}/{archives[0]}")
        return f"{found}. If the images are in {_list(archives)}, name one of them, {setting}, or a pattern"
    return f"{found}. {_name_tables(paths, root) or _NAME_CLASSES}"


def _name_tables(paths: Sequence[str], root: str) -> str | None:
    """Return how to read the tables in the root, or else in folders of the root, or None if there are no tables."""
    tables = [path for path in paths if _TABLE.search(path) and not _SUBMISSION.search(path)]
    tables = [path for path in tables if "/" not in path] or tables
    tables.sort(key=lambda path: (bool(_TEST.search(path)), "train" not in path.lower()))
    if not tables or _TEST.search(tables[0]):
        return None
    join = f"join the tables into labels.csv in '{root}' with the columns path (such as train/1.jpg), label and split"
    if len(tables) > 1 and "/" in tables[0]:
        return f"If the labels are in {_list(tables)}, {join}"
    several = f". If several of {_list(tables)} have labels, {join}" if len(tables) > 1 else ""
    setting = option("images.root", f"{root},images.manifest={tables[0]}")
    columns = "images.columns.path=NAME,images.columns.label=NAME"
    return (
        f"If the labels are in '{tables[0]}', add {setting}; if its columns are not path and label, also name the "
        f"columns: {columns}{several}"
    )


def _are(names: Collection[str]) -> str:
    return f"{_list(names)} {'is' if len(names) == 1 else 'are'}"


def _list(names: Iterable[str]) -> str:
    shown = [f"'{name}'" for name in names]
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")
