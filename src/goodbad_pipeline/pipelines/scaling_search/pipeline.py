"""splits → grid of α, β, γ → trials → ranking."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.scaling_search.nodes import (
    draw_ranking,
    list_candidates,
    rank_candidates,
    train_candidates,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that searches for α, β and γ."""
    return pipeline(
        [
            node(
                list_candidates,
                name="list_candidates",
                inputs=["splits", "params:scaling_search"],
                outputs="search_candidates",
            ),
            node(
                train_candidates,
                name="train_candidates",
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
            ),
            node(
                rank_candidates,
                name="rank_candidates",
                inputs=["search_candidates", "search_trials", "splits"],
                outputs=["search_ranking", "search_report", "search_parameters"],
            ),
            node(
                draw_ranking,
                name="draw_ranking",
                inputs=["search_ranking", "search_trials"],
                outputs="search_figure",
            ),
        ],
        namespace="scaling_search",
        prefix_datasets_with_namespace=False,
    )
