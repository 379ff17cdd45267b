"""Facts to pages: a report that needs nothing but itself, and a model card in Markdown and HTML."""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def write_report(
    facts: Mapping[str, Any], figures: Mapping[str, bytes], charts: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """Write the report: one HTML page with its images inside, which asks nothing of any server.

    The only scripts that a browser runs in it are plotly.js and ours, known by their hashes; where it runs none, the
    images stay.

    Args:
        facts: What `gather_facts` gave.
        figures: PNGs by the name that the template gives them a place by; those left out are left out.
        charts: Plotly charts (data and layout, as plain values) that take the place of the figure of their name.
    """
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - slow to import

    inlined = {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in figures.items()}
    environment = _environment(html=True)
    scripts = [get_plotlyjs(), environment.get_template("charts.js").render()] if charts else []
    return environment.get_template("report.html.j2").render(
        facts=facts, figures=inlined, charts=charts, scripts=scripts, hashes=[_hash(script) for script in scripts]
    )


def _hash(script: str) -> str:
    """Name a script as a Content-Security-Policy does."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def write_card(facts: Mapping[str, Any]) -> str:
    """Write the model card in Markdown; names from the data are escaped."""
    return _environment(html=False).get_template("card.md.j2").render(facts=facts)


def render_card(card: str) -> str:
    """Turn the card into an HTML page; HTML inside the card stays text."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - slow to import

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(card)
    return _environment(html=False).get_template("card.html.j2").render(body=body)


def _environment(*, html: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("goodbad_pipeline.reporting"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=None if html else escape_markdown,
    )
    environment.filters |= {"number": number, "share": share, "span": span, "ours": _Safe}
    return environment


def escape_markdown(value: Any) -> Any:
    """Let a text stand for itself in Markdown, in one line; what is no text stays as it is."""
    if not isinstance(value, str) or isinstance(value, _Safe):
        return value
    return _MARKDOWN.sub(r"\\\1", " ".join(value.split()))


class _Safe(str):
    """A text of our own making that needs no escaping."""

    __slots__ = ()


def number(value: float | None, decimals: int = 3) -> str:
    """Format a number; a dash where there is none."""
    return _Safe("–" if value is None else f"{value:,.{decimals}f}")


def share(value: float | None) -> str:
    """Format a share as a percentage; a dash where there is none."""
    return _Safe("–" if value is None else f"{value:.1%}")


def span(row: Mapping[str, Any], name: str = "") -> str:
    """Format the interval of a row, such as `0.81 to 0.93`; name chooses `name_low` and `name_high`."""
    low, high = (row[f"{name}_{end}" if name else end] for end in ("low", "high"))
    return _Safe("not known" if low is None or high is None else f"{low:.3f} to {high:.3f}")
