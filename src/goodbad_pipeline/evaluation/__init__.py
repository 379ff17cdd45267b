"""Functions that turn arrays into metrics, baselines and figures; they need neither Keras, Kedro nor MLflow."""
