"""Pixels and a network in, a trained network and its history out. Keras on any backend; no Kedro, no MLflow."""
