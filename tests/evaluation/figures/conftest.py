import io
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

LONG_NAMES = [
    "Northern red-bellied woodpecker (male)",
    "Northern red-bellied woodpecker (female)",
    "kingfisher",
    "common blackbird",
    "white-throated needletail swift",
    "owl",
    "Eurasian three-toed woodpecker",
    "finch",
    "cost $5 to $10",
    "great spotted woodpecker juvenile",
]


@pytest.fixture
def long_names():
    """Ten class names, long and short."""
    return LONG_NAMES


@pytest.fixture(params=[2, 3, 10])
def case(request):
    """Labels, probabilities and class names, for 2, 3 and 10 classes."""
    classes = request.param
    rng = np.random.default_rng(classes)
    y_true = np.concatenate([np.arange(classes), rng.integers(0, classes, 4000)])
    logits = rng.normal(size=(len(y_true), classes)) + 2 * np.eye(classes)[y_true]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return y_true, probabilities, ["good", "bad"] if classes == 2 else LONG_NAMES[:classes]


@pytest.fixture
def drawn():
    """Render a figure as a user gets it, check its size and that no two texts overlap, and give its texts back."""

    def draw(figure):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        png = buffer.getvalue()
        assert png.startswith(b"\x89PNG")
        assert int.from_bytes(png[16:20], "big") == 1000
        renderer = FigureCanvasAgg(figure).get_renderer()
        hidden = _ticks_out_of_sight(figure)
        texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
        texts = [text for text in texts if text not in hidden]
        # The upright box around a slanted text is too large, so slanted texts are not checked.
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_rotation() % 90 == 0]
        for (one, box), (other, other_box) in combinations(boxes, 2):
            assert not _overlap(box, other_box), f"{one!r} overlaps {other!r}"
        return [text.get_text() for text in texts]

    return draw


def _ticks_out_of_sight(figure):
    """Labels of the ticks beyond the axes' limits, which Matplotlib keeps but does not draw."""
    labels = []
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
            for tick in (*axis.majorTicks, *axis.minorTicks):
                if not limits[0] - 1e-9 <= tick.get_loc() <= limits[1] + 1e-9:
                    labels += [tick.label1, tick.label2]
    return labels


def _overlap(a, b):
    slack = 1  # pixel, of the descenders' empty space
    return min(a.x1, b.x1) - max(a.x0, b.x0) > slack and min(a.y1, b.y1) - max(a.y0, b.y0) > slack
