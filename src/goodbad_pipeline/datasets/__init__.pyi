from .files import (
    ChartDataset,
    FigureDataset,
    FilesDataset,
    JSONDataset,
    MetricsDataset,
    PageDataset,
    TextDataset,
)
from .keras_model import KerasModelDataset
from .load_only import FolderDataset, OptionalDataset
from .pixels import PixelCacheDataset, PixelsDataset
from .table_schema import TableSchema
from .tables import CSVDataset, ParquetDataset, SafeCSVDataset, TableStreamDataset
from .training import CheckpointsDataset, EpochLogDataset, StudyDataset, TrialsDataset

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
