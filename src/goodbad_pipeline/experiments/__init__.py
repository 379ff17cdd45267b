"""Experiments that compare several trainings: trials, hyperparameter search and the learning-rate range test."""
