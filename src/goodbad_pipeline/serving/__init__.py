"""Prediction from image files: what is bundled with a registered model, and what runs it. No MLflow here."""
