"""Turn the data folder of an installed Battle for Wesnoth into labelled images.

    python examples/wesnoth.py <wesnoth data folder> <output folder>

The data folder contains `core`; Debian's package wesnoth-1.16-data installs it as
`/usr/share/games/wesnoth/1.16/data`. The output folder receives `images/` and `labels.csv` (columns path, label,
group and race). The images keep the game's licences (GPL-2+ and CC BY-SA 4.0).

- label: the game's own alignment. Lawful units are good, chaotic ones bad; neutral and liminal units are excluded.
- group: the unit type. Its images are near-duplicates and belong in one split.
- An image belongs to the unit type whose base image its name starts with (the longest such name), else to the one
  whose configuration names it. Images that belong to unit types of different alignments are excluded, and so are
  those that only a macro names (most of the Walking Corpses). Team colours stay as they are in the files: magenta.
"""

import argparse
import csv
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

LABELS = {"lawful": "good", "chaotic": "bad"}
COLUMNS = ("path", "label", "group", "race")
BASE_BLOCKS = (["unit_type"], ["unit_type", "female"], ["unit_type", "male"], ["unit_type", "variation"])

TAG = re.compile(r"^\s*\[(/?)\+?(\w+)\]")
KEY = re.compile(r'^\s*(\w+)\s*=\s*(?:_\s*)?"?([^"#]*?)"?\s*(?:#.*)?$')
IMAGE = re.compile(r'units/((?:[^\s"~:,\[\]{}()]|\[[^\]]*\])+\.png)')
RANGE = re.compile(r"\[([^\]]*)\]")


@dataclass
class UnitType:
    """The needed values of a [unit_type] block.

    Attributes:
        name: Id of the unit type.
        alignment: lawful, chaotic, neutral or liminal; empty if inherited from the parent.
        race: Race; empty if inherited from the parent.
        parent: Id of the base unit type, or empty.
        bases: Paths of base images without `.png`, including the female form and variations.
        named: Paths of all images that the block names.
    """

    name: str = ""
    alignment: str = ""
    race: str = ""
    parent: str = ""
    bases: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)


def main(arguments: list[str] | None = None) -> None:
    """Run the script; exit with status 1 and a one-line error if a folder is invalid."""
    parser = argparse.ArgumentParser(description="Turn Battle for Wesnoth's units into labelled images.")
    parser.add_argument("data", type=Path, help="data folder of the game, which contains core")
    parser.add_argument("output", type=Path, help="output folder for images/ and labels.csv")
    options = parser.parse_args(arguments)
    try:
        rows = convert(options.data, options.output)
    except (ValueError, OSError) as error:
        sys.exit(f"wesnoth.py: {error}")
    groups = len({row[2] for row in rows})
    print(f"{len(rows)} images of {groups} unit types in {options.output}")


def convert(data: Path, output: Path) -> list[tuple[str, str, str, str]]:
    """Copy the labelled images and write the manifest.

    Returns:
        The rows of the manifest: path relative to the output folder, label, group, race.

    Raises:
        ValueError: The data folder is not Wesnoth's, or no unit in it is lawful or chaotic.
    """
    images_root = _find_folder(data, "core/images/units")
    units = read_unit_types(_find_folder(data, "core/units"))
    images = sorted(path.relative_to(images_root).as_posix() for path in images_root.rglob("*.png"))
    owners = assign_images(images, units)
    if not owners:
        raise ValueError(f"{data}/core contains no image of a lawful or chaotic unit; pass a complete data folder")
    for image in owners:
        target = output / "images" / image
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(images_root / image, target)
    rows = [(f"images/{path}", LABELS[unit.alignment], unit.name, unit.race) for path, unit in owners.items()]
    _write_manifest(output / "labels.csv", rows)
    return rows


def _find_folder(data: Path, name: str) -> Path:
    folder = data / name
    if not folder.is_dir():
        raise ValueError(f"{data} has no folder {name}; pass the data folder of Wesnoth, which contains core")
    return folder


def read_unit_types(folder: Path) -> list[UnitType]:
    """Read all [unit_type] blocks under a folder, with inherited values."""
    units = [unit for path in sorted(folder.rglob("*.cfg")) for unit in _read_blocks(path)]
    by_name = {unit.name: unit for unit in units}
    for unit in units:
        unit.alignment = _look_up(unit, "alignment", by_name)
        unit.race = _look_up(unit, "race", by_name)
    return units


def _look_up(unit: UnitType, key: str, by_name: dict[str, UnitType]) -> str:
    visited: set[str] = set()
    while not getattr(unit, key) and unit.parent in by_name and unit.name not in visited:
        visited.add(unit.name)
        unit = by_name[unit.parent]
    return str(getattr(unit, key))


def _read_blocks(path: Path) -> Iterator[UnitType]:
    stack: list[str] = []
    unit = UnitType()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        tag = TAG.match(line)
        if tag is None:
            if stack[:1] == ["unit_type"]:
                _read_line(unit, stack, line)
        elif tag[1]:
            if stack == ["unit_type"] and unit.name:
                yield unit
            stack = stack[:-1]
        elif stack or tag[2] == "unit_type":
            if not stack:
                unit = UnitType()
            stack.append(tag[2])


def _read_line(unit: UnitType, stack: list[str], line: str) -> None:
    unit.named.update(image for pattern in IMAGE.findall(line) for image in expand_ranges(pattern))
    key = KEY.match(line)
    if key is None:
        return
    name, value = key.groups()
    if stack == ["unit_type"] and name == "id":
        unit.name = value
    elif stack == ["unit_type"] and name in ("alignment", "race"):
        setattr(unit, name, value)
    elif stack == ["unit_type", "base_unit"] and name == "id":
        unit.parent = value
    elif name == "image" and stack in BASE_BLOCKS:
        unit.bases.update(image.removesuffix(".png") for image in IMAGE.findall(value))


def expand_ranges(pattern: str) -> list[str]:
    """Expand Wesnoth's ranges: `a-[1~3,2].png` is a-1.png, a-2.png, a-3.png, a-2.png."""
    match = RANGE.search(pattern)
    if match is None:
        return [pattern]
    head, tail = pattern[: match.start()], pattern[match.end() :]
    return [head + item + rest for item in _expand_items(match[1]) for rest in expand_ranges(tail)]


def _expand_items(text: str) -> Iterator[str]:
    for item in text.split(","):
        span, _, times = item.strip().partition("*")
        first, _, last = span.partition("~")
        repeats = int(times) if times.isdigit() else 1
        if first.isdigit() and last.isdigit():
            step = 1 if int(first) <= int(last) else -1
            numbers = range(int(first), int(last) + step, step)
            yield from [str(number).zfill(len(first)) for number in numbers] * repeats
        else:
            yield from [span] * repeats


def assign_images(images: Iterable[str], units: list[UnitType]) -> dict[str, UnitType]:
    """Return the lawful or chaotic unit type of each image.

    Args:
        images: Paths relative to `core/images/units`.
        units: All unit types, including neutral ones, whose images are excluded.
    """
    by_base, by_name = _index_units(units)
    owners: dict[str, UnitType] = {}
    for image in images:
        claimants = _claim_by_base(image, by_base) or by_name.get(image, [])
        if len({unit.alignment for unit in claimants}) == 1 and claimants[0].alignment in LABELS:
            owners[image] = claimants[0]
    return owners


def _index_units(units: list[UnitType]) -> tuple[dict[str, list[UnitType]], dict[str, list[UnitType]]]:
    by_base: dict[str, list[UnitType]] = {}
    by_name: dict[str, list[UnitType]] = {}
    for unit in units:
        for base in unit.bases:
            by_base.setdefault(base, []).append(unit)
        for image in unit.named:
            by_name.setdefault(image, []).append(unit)
    return by_base, by_name


def _claim_by_base(image: str, by_base: dict[str, list[UnitType]]) -> list[UnitType]:
    folder, _, stem = image.removesuffix(".png").rpartition("/")
    prefix = f"{folder}/" if folder else ""
    ends = [len(stem), *(index for index in range(len(stem) - 1, 0, -1) if stem[index] in "-+_")]
    return next((by_base[prefix + stem[:end]] for end in ends if prefix + stem[:end] in by_base), [])


def _write_manifest(path: Path, rows: list[tuple[str, str, str, str]]) -> None:
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    os.replace(partial, path)


if __name__ == "__main__":
    main()
