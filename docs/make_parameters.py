"""Write docs/parameters.md from the schema in `goodbad_pipeline.params` and the comments in conf/base/parameters_*.yml.

Run with ``make parameters``. tests/test_docs.py fails when the page is out of date.
"""

import json
import re
import types
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from goodbad_pipeline.params.validation import GROUPS, RENAMED

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs/parameters.md"
FILES = (
    "data",
    "train",
    "predict",
    "export",
    "replay",
    "review",
    "tune",
    "scaling_search",
    "scaling_study",
    "tracking",
    "sample_data",
)
INTRODUCTION = """\
# Parameters

All parameters, in the order of the files in `conf/base/`. `make parameters` writes this page from the Pydantic schema
(`src/goodbad_pipeline/params/`) and the comments of the files; edit those.

Override a parameter in `conf/local/parameters.yml`, or for one run with `--params=images.root=photos,model.phi=1`.
An unknown name or an invalid value ends the run before it starts, with one line per problem.
"""
RENAMINGS = """\
## Old names

These names still work, with a warning.

| old name | name |
| --- | --- |"""
WORDS = {bool: "`true`, `false`", int: "whole number", float: "number", str: "text", Any: "any value", Path: "text"}
TABLE = ("| parameter | default | allowed | meaning |", "| --- | --- | --- | --- |")
BOUNDS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))


def parameters_page() -> str:
    """Return the page as Markdown."""
    sections = (_section(PROJECT / f"conf/base/parameters_{name}.yml") for name in FILES)
    renamed = (_row(old, f"`{old.partition('.')[0]}.{new}`") for old, new in RENAMED.items())
    return "\n".join([INTRODUCTION, *sections, RENAMINGS, *renamed, ""])


def _section(file: Path) -> str:
    """Return the section of one parameter file: its head comment, then a table for each group."""
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    head = [line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines)]
    command = [f"`{head.pop(0)}`", ""] if head[0].startswith("kedro run") else []
    parts = [f"## {file.name}", "", *command, *(line.replace("*", r"\*") for line in head), ""]
    for key, value in yaml.compose(text).value:
        rows = _rows(key.value, value, GROUPS[key.value], lines)
        parts += [f"### {key.value}", "", *TABLE, *rows, ""]
    return "\n".join(parts)


def _rows(prefix: str, node: yaml.Node, model: type[BaseModel] | None, lines: list[str]) -> Iterator[str]:
    """Yield a table row for each parameter of a mapping, and recurse into mappings in block style."""
    for key, value in node.value:
        name, comment = f"{prefix}.{key.value}", _comment(lines, key.start_mark.line)
        field = model.model_fields.get(key.value) if model else None
        group = _group(field)
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            if comment:
                yield _row(name, "", "group", comment)
            yield from _rows(name, value, group, lines)
            continue
        default = yaml.safe_load(yaml.serialize(value))
        allowed = _words(field.annotation, field.metadata) if field else _words_without_schema(name)
        if default is None and "null" not in allowed:
            allowed += " or `null`"
        yield _row(name, _code(default), allowed, comment)
        for child, info in group.model_fields.items() if group else ():
            yield _row(f"{name}.{child}", _code(info.default), _words(info.annotation, info.metadata), f"see `{name}`")


def _words_without_schema(name: str) -> str:
    """Return the allowed values of an entry of `tune.space` or of the presets, whose names are not in the schema."""
    return "range `{low, high, log}`, list, `auto` or `null`" if name.startswith("tune.space.") else "mapping"


def _row(*cells: str) -> str:
    first, *others = cells
    return f"| `{first}` | {' | '.join(cell.replace('|', chr(92) + '|') for cell in others)} |"


def _comment(lines: list[str], index: int) -> str:
    """Return the comment at the end of a line and on the indented comment lines that follow."""
    match = re.search(r"(?:^|\s)#\s?(.*)", lines[index])
    parts = [match[1]] if match else []
    for line in lines[index + 1 :]:
        if not re.match(r"\s+#", line):
            break
        parts.append(line.strip().removeprefix("#").strip())
    return " ".join(parts)


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def _group(field: FieldInfo | None) -> type[BaseModel] | None:
    """Return the parameter group that a field holds, or None."""
    if field is None:
        return None
    kinds = [field.annotation, *get_args(field.annotation)]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _words(kind: Any, metadata: Any = ()) -> str:
    """Return the allowed values of a type and its bounds in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(arguments[0], [*_constraints(arguments[1:]), *metadata])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return _union(arguments, metadata)
    if origin in (list, tuple):
        return f"list of {_words(arguments[0])}" if origin is list else f"{len(arguments)} × {_words(arguments[0])}"
    if kind is dict or origin is dict or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return "mapping"
    bounds = [f"{sign} {getattr(item, name)}" for item in metadata for name, sign in BOUNDS if hasattr(item, name)]
    return " ".join([WORDS[kind], ", ".join(bounds)]).strip()


def _union(kinds: tuple[Any, ...], metadata: Any) -> str:
    words = [_words(kind, metadata) for kind in kinds if kind is not types.NoneType]
    return " or ".join([*words, "`null`"] if types.NoneType in kinds else words)


def _constraints(metadata: tuple[Any, ...]) -> list[Any]:
    """Return the single constraints of `Field(...)` entries."""
    return [part for item in metadata for part in (item.metadata if isinstance(item, FieldInfo) else [item])]


if __name__ == "__main__":
    PAGE.write_text(parameters_page(), encoding="utf-8")
