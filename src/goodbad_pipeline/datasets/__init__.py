"""Kedro datasets of our own: what Kedro's collection has not, or imports TensorFlow for too early."""

from goodbad_pipeline.datasets.checkpoints import CheckpointsDataset
from goodbad_pipeline.datasets.epoch_log import EpochLogDataset
from goodbad_pipeline.datasets.file_set import FilesDataset
from goodbad_pipeline.datasets.files import (
    ChartDataset,
    CSVDataset,
    FigureDataset,
    JSONDataset,
    ParquetDataset,
    TextDataset,
)
from goodbad_pipeline.datasets.folder import FolderDataset
from goodbad_pipeline.datasets.keras_model import KerasModelDataset
from goodbad_pipeline.datasets.metrics import MetricsDataset
from goodbad_pipeline.datasets.optional import OptionalDataset
from goodbad_pipeline.datasets.page import PageDataset
from goodbad_pipeline.datasets.pixel_cache import PixelCacheDataset
from goodbad_pipeline.datasets.pixels import PixelsDataset
from goodbad_pipeline.datasets.safe_csv import SafeCSVDataset
from goodbad_pipeline.datasets.schema import TableSchema
from goodbad_pipeline.datasets.study import StudyDataset
from goodbad_pipeline.datasets.table_stream import TableStreamDataset
from goodbad_pipeline.datasets.trials import TrialsDataset

__all__ = [
    "CSVDataset",
    "ChartDataset",
    "CheckpointsDataset",
    "EpochLogDataset",
    "FigureDataset",
    "FilesDataset",
    "FolderDataset",
    "JSONDataset",
    "KerasModelDataset",
    "MetricsDataset",
    "OptionalDataset",
    "PageDataset",
    "ParquetDataset",
    "PixelCacheDataset",
    "PixelsDataset",
    "SafeCSVDataset",
    "StudyDataset",
    "TableSchema",
    "TableStreamDataset",
    "TextDataset",
    "TrialsDataset",
]
