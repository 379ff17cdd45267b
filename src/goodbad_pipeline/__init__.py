"""goodbad_pipeline: from a folder of labelled images to a classifier one can trust."""

__version__ = "0.1.0"
