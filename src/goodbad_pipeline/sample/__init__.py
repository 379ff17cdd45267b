"""The sample dataset: cartoon characters drawn by the project."""
