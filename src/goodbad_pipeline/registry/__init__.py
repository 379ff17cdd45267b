"""Registered models in MLflow: registration, loading, lineage and exported files."""
