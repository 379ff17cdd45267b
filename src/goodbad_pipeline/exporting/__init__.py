"""Export of a trained network to ONNX and LiteRT. Uses Keras and TensorFlow; no Kedro, no MLflow."""
