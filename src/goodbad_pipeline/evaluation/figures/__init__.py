"""Figures of a run: free-standing Matplotlib `Figure` objects, 1000 pixels wide, without pyplot or global state."""

from goodbad_pipeline.evaluation.figures.bars import metrics_figure, split_figure
from goodbad_pipeline.evaluation.figures.confusion import confusion_matrix_figure
from goodbad_pipeline.evaluation.figures.curves import history_figure
from goodbad_pipeline.evaluation.figures.roc import roc_figure
from goodbad_pipeline.evaluation.figures.sheets import contact_sheet
from goodbad_pipeline.evaluation.figures.style import class_colours, split_colours

__all__ = [
    "class_colours",
    "confusion_matrix_figure",
    "contact_sheet",
    "history_figure",
    "metrics_figure",
    "roc_figure",
    "split_colours",
    "split_figure",
]
