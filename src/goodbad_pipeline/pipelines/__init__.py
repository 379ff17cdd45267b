"""Nodes and pipelines, one folder each. A node unpacks its parameters and calls a function or two of the rooms."""
