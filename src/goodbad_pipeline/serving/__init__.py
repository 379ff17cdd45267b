"""From a trained model to answers about files: what is carried with the registered model, and runs without MLflow."""
