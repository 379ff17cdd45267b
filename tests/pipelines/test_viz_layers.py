import networkx as nx
import pytest
from factories import catalog_config
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from goodbad_pipeline.pipeline_registry import register_pipelines


def layers(stages: Pipeline) -> dict[str, str]:
    """Return the layer of each dataset that has one, also of those that match a pattern."""
    resolver = DataCatalog.from_config(catalog_config()).config_resolver
    entries = {name: resolver.resolve_pattern(name) for name in stages.datasets() if not name.startswith("params:")}
    metadata = {name: entry.get("metadata") or {} for name, entry in entries.items()}
    return {name: found["kedro-viz"]["layer"] for name, found in metadata.items() if "kedro-viz" in found}


@pytest.mark.no_cover
@pytest.mark.parametrize("name", register_pipelines())
def test_no_layer_comes_before_and_after_another(name: str) -> None:
    """Kedro-Viz shows no layers at all where two of them form a circle."""
    stages = register_pipelines()[name]
    flow, layer, order = nx.DiGraph(), layers(stages), nx.DiGraph()
    for node in stages.nodes:
        flow.add_edges_from((read, node.name) for read in node.inputs)
        flow.add_edges_from((node.name, written) for written in node.outputs)
    for earlier in layer.keys() & flow.nodes:
        later = nx.descendants(flow, earlier) & layer.keys()
        order.add_edges_from((layer[earlier], layer[other]) for other in later if layer[other] != layer[earlier])
    assert nx.is_directed_acyclic_graph(order), nx.find_cycle(order)


@pytest.mark.no_cover
@pytest.mark.parametrize("namespace", ["replayed_run", "following_process"])
def test_a_separated_pipeline_stores_nothing_by_a_pattern_of_another(namespace: str) -> None:
    """Kedro matches the pattern with most fixed characters, and among equal ones the first of the alphabet."""
    resolver = DataCatalog.from_config(catalog_config()).config_resolver
    patterns = [name for name in catalog_config() if name.startswith("{")]
    assert patterns
    for pattern in patterns:
        dataset = f"{namespace}.{pattern.replace('{', '').replace('}', '')}"
        assert resolver.match_dataset_pattern(dataset) == f"{namespace}.{{name}}"
        assert len(f"{namespace}.") > len(pattern.partition("}")[2])
