"""Registered models in MLflow: register, load, lineage and exported files."""
