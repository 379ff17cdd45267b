"""Train a network on pixels, with Keras on TensorFlow or JAX. Nothing here imports Kedro or MLflow."""
