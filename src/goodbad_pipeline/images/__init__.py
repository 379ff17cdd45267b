"""From bytes on disk to a clean, labelled table: numpy, pandas, pyarrow and Pillow only."""
