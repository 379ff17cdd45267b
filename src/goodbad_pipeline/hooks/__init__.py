"""Kedro hooks: checks, tracking, run lock, signals, memory."""
