"""Prediction from image files: the code bundled with a registered model, and the runtimes that run the model."""
