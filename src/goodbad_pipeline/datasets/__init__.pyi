from .checkpoints import CheckpointsDataset
from .epoch_log import EpochLogDataset
from .file_set import FilesDataset
from .files import (
    ChartDataset,
    CSVDataset,
    FigureDataset,
    JSONDataset,
    ParquetDataset,
    TextDataset,
)
from .folder import FolderDataset
from .keras_model import KerasModelDataset
from .metrics import MetricsDataset
from .optional import OptionalDataset
from .page import PageDataset
from .pixel_cache import PixelCacheDataset
from .pixels import PixelsDataset
from .safe_csv import SafeCSVDataset
from .schema import TableSchema
from .study import StudyDataset
from .table_stream import TableStreamDataset
from .trials import TrialsDataset

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
