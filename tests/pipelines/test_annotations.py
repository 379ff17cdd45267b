from typing import get_type_hints

from goodbad_pipeline.pipeline_registry import register_pipelines


def test_kedro_can_read_what_every_node_asks_for_or_it_would_hand_over_parameters_unchecked() -> None:
    nodes = [node for road in register_pipelines().values() for node in road.nodes]
    assert len(nodes) > 50
    assert all("return" in get_type_hints(node.func) for node in nodes)
