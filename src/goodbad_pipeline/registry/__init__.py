"""Registered models in MLflow: log, load, lineage and exported files."""
