"""The project's pipelines, one package each: nodes.py holds the functions, pipeline.py connects them to datasets."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline, node, pipeline

Names = str | list[str] | dict[str, str] | None


def stage(namespace: str, *nodes: Node | Pipeline) -> Pipeline:
    """Put the nodes into ``namespace``, which Kedro-Viz shows as one box, and tag the nodes with ``namespace``.

    Datasets keep their names.
    """
    return pipeline(nodes, namespace=namespace, prefix_datasets_with_namespace=False, tags=namespace)


def named_node(function: Callable[..., Any], inputs: Names, outputs: Names, *, heavy: bool = False) -> Node:
    """Return a node with the name of its function.

    ``heavy`` is true for a node that reads or predicts many images, or trains. The node has the tag heavy or light.
    """
    return node(function, inputs, outputs, name=function.__name__, tags="heavy" if heavy else "light")
