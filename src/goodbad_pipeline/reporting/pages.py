"""Turn the facts of a run into a self-contained HTML report, and a model card in Markdown and HTML."""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from plotly.offline import get_plotlyjs

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def write_report(
    facts: Mapping[str, Any], figures: Mapping[str, bytes], charts: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """Return the report: one HTML page with embedded images, which loads nothing from a server.

    A Content-Security-Policy allows only two scripts, plotly.js and ``charts.js``, by their hashes. Where scripts do
    not run, the figures are shown instead of the charts.

    Args:
        facts: Result of `gather_facts`.
        figures: PNG images by their name in the template; the template skips figures that are missing.
        charts: Plotly charts (data and layout, as plain values) that replace the figures of the same name.
    """
    inlined = {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in figures.items()}
    environment = _environment(html=True)
    scripts = [get_plotlyjs(), environment.get_template("charts.js").render()] if charts else []
    return environment.get_template("report.html.j2").render(
        facts=facts, figures=inlined, charts=charts, scripts=scripts, hashes=[_csp_hash(script) for script in scripts]
    )


def _csp_hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def write_card(facts: Mapping[str, Any]) -> str:
    """Return the model card in Markdown; names from the data are escaped."""
    return _environment(html=False).get_template("card.md.j2").render(facts=facts)


def render_card(card: str) -> str:
    """Return the card as an HTML page; HTML inside the card is escaped."""
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
    environment.filters |= {"number": number, "share": share, "span": span, "trusted": _Safe}
    return environment


def escape_markdown(value: Any) -> Any:
    """Escape a text for Markdown and join its lines; return any other value unchanged."""
    if not isinstance(value, str) or isinstance(value, _Safe):
        return value
    return _MARKDOWN.sub(r"\\\1", " ".join(value.split()))


class _Safe(str):
    """A text that does not come from the data and needs no escaping."""

    __slots__ = ()


def number(value: float | None, decimals: int = 3) -> str:
    """Format a number; None becomes a dash."""
    return _Safe("–" if value is None else f"{value:,.{decimals}f}")


def share(value: float | None) -> str:
    """Format a share as a percentage; None becomes a dash."""
    return _Safe("–" if value is None else f"{value:.1%}")


def span(row: Mapping[str, Any], name: str = "") -> str:
    """Format the interval of a row, such as `0.81 to 0.93`; ``name`` selects `name_low` and `name_high`.

    The result is a dash for the calibration error, which has no interval, and `unknown` if there are too few groups.
    """
    if row.get("metric") == "ece":
        return _Safe("–")
    low, high = (row[f"{name}_{end}" if name else end] for end in ("low", "high"))
    return _Safe("unknown" if low is None or high is None else f"{low:.3f} to {high:.3f}")
