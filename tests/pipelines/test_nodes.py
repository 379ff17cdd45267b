from inspect import signature
from operator import attrgetter
from types import SimpleNamespace
from typing import get_type_hints

from factories import parameters

from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.pipeline_registry import register_pipelines


def test_every_node_is_tagged_by_cost_and_by_its_namespaces() -> None:
    for node in register_pipelines()["__default__"].nodes:
        assert node.tags - {"heavy", "light"} == set(node.namespace.split("."))
        assert len(node.tags & {"heavy", "light"}) == 1


def test_kedro_can_read_the_parameter_types_of_every_node() -> None:
    nodes = [node for stages in register_pipelines().values() for node in stages.nodes]
    assert len(nodes) > 50
    assert all("return" in get_type_hints(node.func) for node in nodes)


def test_every_node_declares_the_parameter_group_that_the_hooks_pass() -> None:
    groups, checked = SimpleNamespace(**validate_parameters(parameters())), 0
    for node in {node.name: node for stages in register_pipelines().values() for node in stages.nodes}.values():
        hints = get_type_hints(node.func)
        for argument, name in zip(signature(node.func).parameters, node.inputs, strict=False):
            if name.startswith("params:") and hasattr(value := attrgetter(name[7:])(groups), "model_dump"):
                assert hints[argument] is type(value), (node.name, argument)
                checked += 1
    assert checked > 50
