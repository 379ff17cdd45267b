"""A page of HTML, with a preview in Kedro-Viz."""

import re
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import HTMLPreview

from goodbad_pipeline.atomic_files import replacing

_TAG = re.compile(r"(<[^>]*>)")
_LOOK_ALIKES = str.maketrans({"_": "\u02cd", "*": "\u2217", "`": "\u02cb"})
_WORD_JOINER = "\u2060"
"""Is not seen."""


class PageDataset(AbstractDataset[str, str]):
    """Saves and loads a text, HTML or Markdown, in UTF-8.

    Args:
        filepath: The file.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> str:
        """Return the text."""
        return self._filepath.read_text(encoding="utf-8")

    def save(self, data: str) -> None:
        """Write the text."""
        with replacing(self._filepath) as draft:
            draft.write_text(data, encoding="utf-8")

    def preview(self) -> HTMLPreview:
        """Return the page as Kedro-Viz shows it."""
        return HTMLPreview(fit_preview(self.load()))

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def fit_preview(page: str) -> str:
    """Make a page fit Kedro-Viz (12.5), which shows no head and takes for Markdown what its sanitizer has passed.

    Line ends would become line breaks, and a name from the data could still become a link that runs a script.

    Args:
        page: HTML whose texts are escaped, with at most one style in its head, or Markdown.

    Returns:
        Of HTML the body in one line, without scripts, its style about nothing else; in both nothing is a link.
    """
    head, found, body = page.partition("<body>")
    if not found:
        return _unlink(page)
    style = "".join(re.findall(r"<style>(.*?)</style>", head, flags=re.DOTALL))
    style = re.sub(r"(?::root|body)(?= *\{)", "&", style)
    body = re.sub(r"<script\b.*?</script>", "", body.partition("</body>")[0], flags=re.DOTALL)
    body = re.sub(r' data-name="[^"]*"', "", body).replace("<li>", '<li class="item">')
    texts = (part if part.startswith("<") else _unlink(part.translate(_LOOK_ALIKES)) for part in _TAG.split(body))
    return " ".join(f'<div class="page"><style>.page {{ {style} }}</style>{"".join(texts)}</div>'.split())


def _unlink(text: str) -> str:
    """Part what Markdown takes for a link."""
    return text.replace("](", f"]{_WORD_JOINER}(")
