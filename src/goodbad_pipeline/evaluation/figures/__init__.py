"""Figures of a run: free-standing Matplotlib `Figure` objects, 1000 pixels wide, and Plotly charts; no global state."""

from goodbad_pipeline.evaluation.figures.bars import metrics_figure, split_figure
from goodbad_pipeline.evaluation.figures.confusion import confusion_matrix_figure
from goodbad_pipeline.evaluation.figures.curves import history_figure
from goodbad_pipeline.evaluation.figures.interactive import history_chart, roc_chart, slices_chart
from goodbad_pipeline.evaluation.figures.precision_recall import precision_recall_figure
from goodbad_pipeline.evaluation.figures.reliability import reliability_figure
from goodbad_pipeline.evaluation.figures.roc import roc_figure
from goodbad_pipeline.evaluation.figures.scaling import accuracy_figure, coefficients_figure, law_figure
from goodbad_pipeline.evaluation.figures.sheets import contact_sheet
from goodbad_pipeline.evaluation.figures.slices import slices_figure
from goodbad_pipeline.evaluation.figures.style import class_colours, split_colours
from goodbad_pipeline.evaluation.figures.trials import ranking_figure, study_figure
from goodbad_pipeline.evaluation.figures.tuning import rate_figure, search_figure

__all__ = [
    "accuracy_figure",
    "class_colours",
    "coefficients_figure",
    "confusion_matrix_figure",
    "contact_sheet",
    "history_chart",
    "history_figure",
    "law_figure",
    "metrics_figure",
    "precision_recall_figure",
    "ranking_figure",
    "rate_figure",
    "reliability_figure",
    "roc_chart",
    "roc_figure",
    "search_figure",
    "slices_chart",
    "slices_figure",
    "split_colours",
    "split_figure",
    "study_figure",
]
