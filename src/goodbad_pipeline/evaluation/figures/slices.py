"""Accuracy on slices of the test split, with intervals."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from goodbad_pipeline.evaluation.figures.style import FAINT, INK, elide, literal, new_figure, plain_axes, series_colours

MOST = 40


def lowest_slices(slices: pd.DataFrame) -> pd.DataFrame:
    """Return the slices that a figure has room for: those with the lowest bounds, in the order of the table."""
    return slices if len(slices) <= MOST else slices.loc[slices["low"].nsmallest(MOST).index].sort_index()


def slices_figure(slices: pd.DataFrame, accuracy: float) -> Figure:
    """Draw one dot and whisker per slice, by column, beside the accuracy on all pictures.

    Args:
        slices: what `slice_table` makes; of more than `MOST` the lowest bounds are shown.
        accuracy: on all pictures.
    """
    shown = lowest_slices(slices)
    figure = new_figure(1.6 + 0.26 * max(2, len(shown)))
    axes = figure.subplots()
    axes.axvline(accuracy, color=FAINT, linewidth=1, linestyle="--")
    places = np.arange(len(shown)) + (shown["column"] != shown["column"].shift()).cumsum().to_numpy(float) * 0.7
    colour = series_colours(["model"])["model"]
    axes.hlines(places, shown["low"], shown["high"], color=colour, alpha=0.45, linewidth=4)
    axes.plot(shown["accuracy"], places, "o", color=colour, markersize=6)
    names = [
        literal(f"{elide(str(row.column), 18)}: {elide(str(row.value), 26)}  ({row.images})")
        for row in shown.itertuples(index=False)
    ]
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    note = "" if len(shown) == len(slices) else f", the {len(shown)} lowest of {len(slices)}"
    title = f"Accuracy by slice{note}; all test pictures {accuracy:.3f} (dashed)" if len(shown) else "No slices"
    plain_axes(axes, title=title, x="Accuracy with 95 % interval; pictures in brackets", grid="x")
    axes.tick_params(axis="y", labelsize=9, colors=INK)
    axes.set_xlim(-0.02, 1.02)
    return figure
