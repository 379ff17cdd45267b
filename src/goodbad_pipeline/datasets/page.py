"""An HTML or Markdown page with a preview in Kedro-Viz."""

import re

from kedro_datasets._typing import HTMLPreview

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.datasets.load_only import PathDataset

_TAG = re.compile(r"(<[^>]*>)")
_LOOK_ALIKES = str.maketrans({"_": "\u02cd", "*": "\u2217", "`": "\u02cb"})  # of Markdown's characters
_WORD_JOINER = "\u2060"  # invisible


class PageDataset(PathDataset[str, str]):
    """Saves and loads a page as UTF-8 text."""

    def load(self) -> str:
        """Return the text."""
        return self._filepath.read_text(encoding="utf-8")

    def save(self, data: str) -> None:
        """Write the text."""
        with atomic_write(self._filepath) as draft:
            draft.write_text(data, encoding="utf-8")

    def preview(self) -> HTMLPreview:
        """Return the page as Kedro-Viz shows it."""
        return HTMLPreview(fit_preview(self.load()))


def fit_preview(page: str) -> str:
    """Adapt a page to Kedro-Viz 12.5, which drops the head and reads sanitized HTML as Markdown.

    An unchanged page would get extra line breaks, and a name in the data could become a link that runs a script.
    A Markdown page is returned without links. For an HTML page, only the body is returned, on one line and without
    scripts and links. The style sheet of the head is put before the body and applies to the body only. Texts in the
    HTML page must be escaped.
    """
    head, is_html, body = page.partition("<body>")
    if not is_html:
        return _unlink(page)
    style = "".join(re.findall(r"<style>(.*?)</style>", head, flags=re.DOTALL))
    style = re.sub(r"(?::root|body)(?= *\{)", "&", style)
    body = re.sub(r"<script\b.*?</script>", "", body.partition("</body>")[0], flags=re.DOTALL)
    body = re.sub(r' data-name="[^"]*"', "", body).replace("<li>", '<li class="item">')
    texts = (part if part.startswith("<") else _unlink(part.translate(_LOOK_ALIKES)) for part in _TAG.split(body))
    return " ".join(f'<div class="page"><style>.page {{ {style} }}</style>{"".join(texts)}</div>'.split())


def _unlink(text: str) -> str:
    """Break up link-like text, so that Markdown does not turn it into a link."""
    return text.replace("](", f"]{_WORD_JOINER}(")
