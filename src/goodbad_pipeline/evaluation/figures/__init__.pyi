from .bars import confusion_matrix_figure, metrics_figure, slices_figure, split_figure, suggestion_matrix_figure
from .curves import history_figure, precision_recall_figure, reliability_figure, roc_figure
from .experiments import ranking_figure, rate_figure, search_figure, study_figure
from .interactive import Chart, history_chart, roc_chart, slices_chart
from .scaling import accuracy_figure, coefficients_figure, law_figure
from .sheets import border_share, contact_sheet, enlarge, mask_centre, overlay
from .style import VERDICTS, Figure, choose_fonts, class_colours, split_colours

__all__ = [
    "VERDICTS",
    "Chart",
    "Figure",
    "accuracy_figure",
    "border_share",
    "choose_fonts",
    "class_colours",
    "coefficients_figure",
    "confusion_matrix_figure",
    "contact_sheet",
    "enlarge",
    "history_chart",
    "history_figure",
    "law_figure",
    "mask_centre",
    "metrics_figure",
    "overlay",
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
    "suggestion_matrix_figure",
]
