"""The Wesnoth converter on a miniature installation."""

import csv
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "wesnoth.py"

PALADIN = """\
#textdomain wesnoth-units
[unit_type]
    id=Test Paladin
    name= _ "Test Paladin"
    race=human
    image="units/humans/paladin.png"
    alignment=lawful
    {DEFENSE_ANIM "units/humans/paladin-defend.png" "units/humans/paladin.png" hit.wav}
    [attack_anim]
        [frame]
            image="units/humans/smite-[1~3,2].png:[100*2,50,100]"
        [/frame]
    [/attack_anim]
    [female]
        image="units/humans/lady.png"
    [/female]
[/unit_type]
"""
GHOUL = """\
[unit_type]
    id=Test Ghoul
    race=undead # not alive
    alignment=chaotic
    image="units/undead/ghoul.png~RC(magenta>red)"
[/unit_type]
[unit_type]
    id=Test Ghoul Lord
    image="units/undead/ghoul-lord.png"
    [base_unit]
        id=Test Ghoul
    [/base_unit]
[/unit_type]
"""
ELF = """\
[unit_type]
    id=Test Elf
    race=elf
    alignment=neutral
    image="units/elves/elf.png"
    [idle_anim]
        image="units/humans/smite-3.png"
    [/idle_anim]
[/unit_type]
"""
IMAGES = (
    "humans/paladin.png",
    "humans/paladin-defend.png",
    "humans/smite-1.png",
    "humans/smite-2.png",
    "humans/smite-3.png",
    "humans/lady.png",
    "humans/lady+idle.png",
    "humans/ladybird.png",
    "undead/ghoul.png",
    "undead/ghoul-attack-1.png",
    "undead/ghoul-lord.png",
    "undead/ghoul-lord-attack.png",
    "elves/elf.png",
    "elves/elf-bow.png",
)
EXPECTED = {
    "images/humans/paladin.png": ("good", "Test Paladin", "human"),
    "images/humans/paladin-defend.png": ("good", "Test Paladin", "human"),
    "images/humans/smite-1.png": ("good", "Test Paladin", "human"),
    "images/humans/smite-2.png": ("good", "Test Paladin", "human"),
    "images/humans/lady.png": ("good", "Test Paladin", "human"),
    "images/humans/lady+idle.png": ("good", "Test Paladin", "human"),
    "images/undead/ghoul.png": ("bad", "Test Ghoul", "undead"),
    "images/undead/ghoul-attack-1.png": ("bad", "Test Ghoul", "undead"),
    "images/undead/ghoul-lord.png": ("bad", "Test Ghoul Lord", "undead"),
    "images/undead/ghoul-lord-attack.png": ("bad", "Test Ghoul Lord", "undead"),
}


@pytest.fixture(scope="module")
def wesnoth() -> ModuleType:
    spec = spec_from_file_location("wesnoth_example", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def install(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    for name, text in (("humans/Paladin.cfg", PALADIN), ("undead/Ghoul.cfg", GHOUL), ("elves/Elf.cfg", ELF)):
        path = data / "core" / "units" / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    for name in IMAGES:
        path = data / "core" / "images" / "units" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return data


def _read(output: Path) -> dict[str, tuple[str, str, str]]:
    with (output / "labels.csv").open(encoding="utf-8", newline="") as stream:
        return {row["path"]: (row["label"], row["group"], row["race"]) for row in csv.DictReader(stream)}


def test_labels_come_from_the_alignment_and_groups_from_the_unit_type(
    wesnoth: ModuleType, install: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    wesnoth.main([str(install), str(output)])
    assert _read(output) == EXPECTED
    assert "10 images of 3 unit types" in capsys.readouterr().out


def test_only_labelled_images_are_copied(wesnoth: ModuleType, install: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    wesnoth.convert(install, output)
    wesnoth.convert(install, output)  # overwrites the first output
    copied = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert copied == set(EXPECTED) | {"labels.csv"}
    assert (output / "images/humans/lady.png").read_bytes() == b"humans/lady.png"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.png", ["a.png"]),
        ("a-[1~3].png", ["a-1.png", "a-2.png", "a-3.png"]),
        ("a-[2~1,5].png", ["a-2.png", "a-1.png", "a-5.png"]),
        ("a-[08~10].png", ["a-08.png", "a-09.png", "a-10.png"]),
        ("a-[n,s*2]-[1,2].png", [f"a-{side}-{step}.png" for side in "nss" for step in "12"]),
    ],
)
def test_ranges_are_expanded(wesnoth: ModuleType, pattern: str, names: list[str]) -> None:
    assert wesnoth.expand_ranges(pattern) == names


def _run(*arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_folder_without_wesnoth_data_is_a_one_line_error(tmp_path: Path) -> None:
    result = _run(tmp_path, tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert str(tmp_path) in result.stderr
    assert "core/" in result.stderr
    assert not (tmp_path / "out").exists()


def test_data_folder_without_lawful_or_chaotic_units_is_a_one_line_error(install: Path, tmp_path: Path) -> None:
    for name in ("humans/Paladin.cfg", "undead/Ghoul.cfg"):
        (install / "core" / "units" / name).unlink()
    result = _run(install, tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "lawful or chaotic" in result.stderr
