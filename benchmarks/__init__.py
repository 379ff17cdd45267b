"""Benchmarks of this project against references: one module per comparison."""

FILES = (
    "train_step",
    "epoch",
    "feeding",
    "first_pass",
    "augmentation",
    "head_phase",
    "startup",
    "prediction",
    "memory",
    "scan",
    "whole_run",
)
