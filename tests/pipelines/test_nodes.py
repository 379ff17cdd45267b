from typing import get_type_hints

from goodbad_pipeline.pipeline_registry import register_pipelines


def test_every_node_is_tagged_by_cost_and_by_its_namespaces() -> None:
    for node in register_pipelines()["__default__"].nodes:
        assert node.tags - {"heavy", "light"} == set(node.namespace.split("."))
        assert len(node.tags & {"heavy", "light"}) == 1


def test_kedro_can_read_the_parameter_types_of_every_node() -> None:
    nodes = [node for stages in register_pipelines().values() for node in stages.nodes]
    assert len(nodes) > 50
    assert all("return" in get_type_hints(node.func) for node in nodes)
