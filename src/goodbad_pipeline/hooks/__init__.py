"""Kedro hooks: parameter checks, tracking, run lock, signals, memory."""
