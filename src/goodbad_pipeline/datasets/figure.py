"""A figure that is saved to be looked at, and loaded to be put into a report."""

from pathlib import Path

from kedro_datasets.matplotlib import MatplotlibDataset


class FigureDataset(MatplotlibDataset):
    """Kedro's Matplotlib dataset, preview included, that also gives back what it saved."""

    def load(self) -> bytes:
        """Return the PNG."""
        return Path(self._get_load_path()).read_bytes()
