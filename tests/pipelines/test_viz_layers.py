import networkx as nx
import pytest
import yaml
from factories import PROJECT

from goodbad_pipeline.pipeline_registry import register_pipelines


def layers() -> dict[str, str]:
    found = {}
    for file in (PROJECT / "conf" / "base").glob("catalog*.yml"):
        for name, entry in yaml.safe_load(file.read_text()).items():
            if isinstance(entry, dict) and "kedro-viz" in entry.get("metadata", {}):
                found[name] = entry["metadata"]["kedro-viz"]["layer"]
    return found


@pytest.mark.no_cover
@pytest.mark.parametrize("name", register_pipelines())
def test_no_layer_comes_before_and_after_another(name: str) -> None:
    """Kedro-Viz shows no layers at all where two of them form a circle."""
    road, layer, order = nx.DiGraph(), layers(), nx.DiGraph()
    for node in register_pipelines()[name].nodes:
        road.add_edges_from((given, node.name) for given in node.inputs)
        road.add_edges_from((node.name, made) for made in node.outputs)
    for earlier in layer.keys() & road.nodes:
        later = nx.descendants(road, earlier) & layer.keys()
        order.add_edges_from((layer[earlier], layer[one]) for one in later if layer[one] != layer[earlier])
    assert nx.is_directed_acyclic_graph(order), nx.find_cycle(order)
