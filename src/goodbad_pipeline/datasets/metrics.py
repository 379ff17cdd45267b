"""Metrics: a JSON file to read and preview, and a metric of the MLflow run each."""

from goodbad_pipeline import tracking
from goodbad_pipeline.datasets.files import JSONDataset


class MetricsDataset(JSONDataset):
    """A flat mapping of names to numbers, saved as JSON and logged to the active MLflow run, if there is one."""

    def save(self, data: dict[str, float]) -> None:
        """Write the file and log each number under its name."""
        super().save(data)
        tracking.log_metrics(data)
