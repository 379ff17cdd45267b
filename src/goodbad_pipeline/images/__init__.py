"""Turn files on disk into labelled images, splits and pixels."""
