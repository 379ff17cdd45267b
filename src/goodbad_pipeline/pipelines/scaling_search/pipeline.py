"""Pipeline: splits → grid of α, β, γ → trials → ranking."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.scaling_search import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline that searches for α, β and γ."""
    return stage(
        "scaling_search",
        named_node(nodes.list_candidates, inputs=["splits", "params:scaling_search"], outputs="search_candidates"),
        named_node(
            nodes.train_candidates,
            inputs=[
                "search_candidates",
                "splits",
                "params:images",
                "params:training",
                "params:scaling_search",
                "pixel_cache",
                "trial_cache",
                "stop_request",
            ],
            outputs="search_trials",
            heavy=True,
        ),
        named_node(
            nodes.rank_candidates,
            inputs=["search_candidates", "search_trials", "splits"],
            outputs=["search_ranking", "search_report", "search_parameters"],
        ),
        named_node(nodes.draw_ranking, inputs=["search_ranking", "search_trials"], outputs="search_figure"),
    )
