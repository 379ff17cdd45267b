"""Kedro hooks: checks of parameters, MLflow tracking, run lock, stop signals, free memory."""
