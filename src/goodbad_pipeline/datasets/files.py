"""Datasets that save files atomically: Kedro's file datasets, folders, and pages with a preview in Kedro-Viz."""

import math
import re
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from kedro.io import DatasetError
from kedro_datasets import json, matplotlib, plotly, text
from kedro_datasets._typing import HTMLPreview

from goodbad_pipeline import tracking
from goodbad_pipeline.atomic_files import atomic_write, recover
from goodbad_pipeline.datasets.load_only import PathDataset
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.reporting.facts import plain_values

_TAG = re.compile(r"(<[^>]*>)")
_LOOK_ALIKES = str.maketrans({"_": "\u02cd", "*": "\u2217", "`": "\u02cb"})  # of Markdown's characters
_WORD_JOINER = "\u2060"  # invisible


class AtomicSave:
    """Base class that makes saving atomic. List it before one of Kedro's file datasets in the base classes.

    Kedro's datasets write to the final file, which would be damaged if the process were killed or the disk were full.
    """

    def save(self, data: Any) -> None:
        """Write to a temporary path, then replace the file."""
        dataset: Any = self
        filepath, version = dataset._filepath, getattr(dataset, "_version", None)
        write = super().save.__wrapped__  # type: ignore[misc] # Kedro's wrapper would hide which error occurred
        with atomic_write(Path(dataset._get_save_path())) as draft:
            # with a version, Kedro would derive another path from the temporary one
            dataset._filepath, dataset._version = PurePosixPath(draft), None
            try:
                write(self, data)
            finally:
                dataset._filepath, dataset._version = filepath, version


class JSONDataset(AtomicSave, json.JSONDataset):
    """Plain values as JSON, which has no NaN and no infinity: both become null."""

    def save(self, data: Any) -> None:
        """Write the values."""
        super().save(plain_values(data))


class MetricsDataset(JSONDataset):
    """A flat mapping of names to numbers, saved as JSON and logged to the current MLflow run, if there is one."""

    def save(self, data: dict[str, float]) -> None:
        """Write the file and log each metric; leave out NaN and infinity."""
        measured = {name: value for name, value in data.items() if math.isfinite(value)}
        super().save(measured)
        tracking.log_metrics(measured)


class ChartDataset(AtomicSave, plotly.JSONDataset):
    """A Plotly chart in a JSON file."""


class TextDataset(AtomicSave, text.TextDataset):
    """A text file."""


class FigureDataset(AtomicSave, matplotlib.MatplotlibDataset):
    """A Matplotlib figure in a PNG file, or a dict of figures in a folder of PNG files."""

    # Level 1 takes at most half the time of Matplotlib's level 6, and the files are 10–20 % larger.
    DEFAULT_SAVE_ARGS: ClassVar = {"pil_kwargs": {"compress_level": 1}}

    def save(self, data: Any) -> None:
        """Choose fonts that have all characters of the texts, then write the figure or figures."""
        for figure in data.values() if isinstance(data, dict) else [data]:
            figures.choose_fonts(figure)
        super().save(data)

    def load(self) -> bytes:
        """Return the content of the PNG file."""
        return Path(self._get_load_path()).read_bytes()


class FilesDataset(PathDataset[dict[str, bytes], Path]):
    """A folder of files, saved from a dict of names and contents and loaded as the path of the folder."""

    def load(self) -> Path:
        """Return the folder, which must exist."""
        if not self._exists():
            raise DatasetError(f"{self._filepath} does not exist")
        return self._filepath

    def save(self, data: dict[str, bytes]) -> None:
        """Replace the folder and all its files."""
        with atomic_write(self._filepath) as draft:
            draft.mkdir()
            for name, content in data.items():
                (draft / name).write_bytes(content)

    def _exists(self) -> bool:
        return recover(self._filepath).is_dir()


class PageDataset(PathDataset[str, str]):
    """An HTML or Markdown page, saved and loaded as UTF-8 text."""

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
    """Adapt an HTML or Markdown page to Kedro-Viz 12.5, which shows both as Markdown.

    Markdown links are broken up, because a name in the data could become a link that runs a script. Of an HTML page,
    the body is returned without scripts, on one line, because Markdown would show line breaks. Kedro-Viz drops the head
    of a page, so the style sheet is moved into the body. Texts in an HTML page must be escaped.
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
    """Break up text that Markdown would turn into a link."""
    return text.replace("](", f"]{_WORD_JOINER}(")
