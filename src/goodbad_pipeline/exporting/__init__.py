"""Export of a trained network to ONNX and LiteRT. Uses Keras and TensorFlow, but neither Kedro nor MLflow."""
