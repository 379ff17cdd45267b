"""A trained network as files that other runtimes read: ONNX and LiteRT. Keras and TensorFlow; no Kedro, no MLflow."""
