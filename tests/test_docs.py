"""The documents: links resolve, commands and files that they name exist, docs/parameters.md is up to date."""

import json
import re
import runpy
from pathlib import Path

import pytest
import yaml
from factories import PROJECT, parameters

from goodbad_pipeline.cli import NEXT_PARAMETER, cli
from goodbad_pipeline.evaluation.findings import SHORTCUT_MARGIN
from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.pipeline_registry import register_pipelines

PAGES = sorted(
    page for page in [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")] if page.name != "CHANGELOG.md"
)  # the changelog names what no longer exists
PARAMETERS = PROJECT / "docs/parameters.md"
BLOCK = re.compile(r"```.*?```", re.DOTALL)


def page_parameters() -> list:
    return [pytest.param(page, id=str(page.relative_to(PROJECT))) for page in PAGES]


def merged(base: dict, changes: dict) -> dict:
    changed = {
        key: merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in changes.items()
    }
    return base | changed


def nested(name: str, value: str) -> dict:
    """A dotted name and its value as a tree; numbers, true, false and null are converted, as Kedro does."""
    try:
        tree = json.loads(value)
    except ValueError:
        tree = value
    for part in reversed(name.split(".")):
        tree = {part: tree}
    return tree


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", page_parameters())
def test_links_and_figures_resolve(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:|javascript:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} does not exist"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", page_parameters())
def test_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    assert set(re.findall(r"--pipeline=([a-z_]+)", text)) <= set(register_pipelines())
    for module in re.findall(r"python -m (goodbad_pipeline[\w.]*|benchmarks[\w.]*)", text):
        path = module.replace(".", "/")
        files = [PROJECT / folder / f"{path}{end}" for folder in ("src", ".") for end in (".py", "/__main__.py")]
        assert any(file.exists() for file in files), f"no module {module}"


def test_the_rule_of_the_finding_shortcut_is_that_of_the_code() -> None:
    text = " ".join((PROJECT / "docs/evaluation.md").read_text(encoding="utf-8").split())
    rule = "lower end of the 95 % interval of the balanced accuracy of file properties is more than"
    assert f"{rule} {SHORTCUT_MARGIN} above chance (1 / number of classes)" in text


@pytest.mark.parametrize("page", page_parameters())
def test_parameters_exist(page: Path) -> None:
    known = set(re.findall(r"^\| `([\w.]+)`", PARAMETERS.read_text(encoding="utf-8"), re.MULTILINE))
    groups = "|".join({name.partition(".")[0] for name in known})
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(rf"(?:--params=\"?|,|`)((?:{groups})(?:\.\w+)+)(?=[=`:,])", text))
    others = {name for name in named if re.search(r"\.(csv|json|onnx|png|py|tflite|yml)$", name)} | {"model.predict"}
    assert named - others <= known


@pytest.mark.parametrize("page", page_parameters())
def test_examples_are_valid_parameters(page: Path) -> None:
    """Each ``--params`` and each YAML block of parameters, on top of the defaults."""
    text = page.read_text(encoding="utf-8")
    for options in re.findall(r"--params=\"?([\w.]+=[^\s`\"';]*)", text):
        example = parameters()
        for name, value in (pair.split("=", 1) for pair in NEXT_PARAMETER.split(options)):
            if value[:1] not in "<$":
                example = merged(example, nested(name, value))
        validate_parameters(example)
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        example = next(yaml.safe_load_all(block))
        if set(example) <= set(parameters()):
            validate_parameters(merged(parameters(), example))


@pytest.mark.parametrize("page", page_parameters())
def test_commands_of_kedro_exist(page: Path) -> None:
    known = {"run", "registry", "viz", "mlflow", "airflow", "package", "ipython", "jupyter", *cli.commands}
    assert set(re.findall(r"(?:^|[`/])kedro ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)) <= known


@pytest.mark.parametrize("page", page_parameters())
def test_files_exist(page: Path) -> None:
    """Paths of files in backticks; those of src may leave out src/goodbad_pipeline/."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for name in re.findall(r"`([\w/.-]+\.(?:py|yml|toml|ipynb))`", text):
        if "/" not in name or name.startswith(("data/", "conf/local/")):
            continue
        places = (PROJECT, PROJECT / "src/goodbad_pipeline", page.parent)
        assert any((place / name).exists() for place in places), f"{name} does not exist"


def test_the_page_of_parameters_is_up_to_date() -> None:
    written = runpy.run_path(str(PROJECT / "docs/make_parameters.py"))["parameters_page"]()
    assert PARAMETERS.read_text(encoding="utf-8") == written, "run make parameters"


def test_the_index_lists_every_decision() -> None:
    index = (PROJECT / "docs/decisions/README.md").read_text(encoding="utf-8")
    records = {page.name for page in PROJECT.glob("docs/decisions/*.md")} - {"README.md"}
    assert records == set(re.findall(r"\]\(([\w-]+\.md)\)", index))


@pytest.mark.parametrize("record", [param for param in page_parameters() if param.values[0].parent.name == "decisions"])
def test_a_decision_has_context_decision_and_consequence(record: Path) -> None:
    if record.name == "README.md":
        return
    headings = re.findall(r"^## (.*)$", record.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[:3] == ["Context", "Decision", "Consequence"]
