from .bars import metrics_figure, split_figure
from .confusion import confusion_matrix_figure
from .curves import history_figure
from .interactive import Chart, history_chart, roc_chart, slices_chart
from .precision_recall import precision_recall_figure
from .reliability import reliability_figure
from .roc import roc_figure
from .scaling import accuracy_figure, coefficients_figure, law_figure
from .sheets import contact_sheet
from .slices import slices_figure
from .style import Figure, class_colours, split_colours
from .trials import ranking_figure, study_figure
from .tuning import rate_figure, search_figure

__all__ = [
    "Chart",
    "Figure",
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
