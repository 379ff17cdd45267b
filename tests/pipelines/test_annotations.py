from typing import get_type_hints

from goodbad_pipeline.pipeline_registry import register_pipelines


def test_kedro_can_read_the_parameter_types_of_every_node() -> None:
    nodes = [node for stages in register_pipelines().values() for node in stages.nodes]
    assert len(nodes) > 50
    assert all("return" in get_type_hints(node.func) for node in nodes)
