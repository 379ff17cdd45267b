"""Side-by-side measurements: one file for each thing of ours beside what one would use instead."""

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
