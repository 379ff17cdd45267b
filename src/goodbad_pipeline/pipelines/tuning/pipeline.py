"""Pipeline: network, train and validation images → learning-rate range test → trials → finalists → parameters."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.experiments.tuning import confirm_finalists, search_parameters
from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.tuning import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline that searches for better parameters."""
    return stage(
        "tuning",
        named_node(
            nodes.build_tuning_context,
            inputs=[
                "development",
                "tuning_network",
                "params:model",
                "params:training",
                "params:images",
                "params:registry",
                "pixel_cache",
                "stop_request",
            ],
            outputs="tuning_context",
        ),
        named_node(
            nodes.find_learning_rates,
            inputs=["tuning_context", "params:tune"],
            outputs=["rate_curve", "rate_range"],
            heavy=True,
        ),
        named_node(nodes.draw_learning_rates, inputs=["rate_curve", "rate_range"], outputs="rate_figure"),
        named_node(
            search_parameters,
            inputs=["tuning_context", "params:tune", "rate_range", "studies", "trial_cache"],
            outputs="tuning_trials",
            heavy=True,
        ),
        named_node(
            confirm_finalists,
            inputs=["tuning_context", "params:tune", "tuning_trials", "studies", "trial_cache"],
            outputs="finalist_trials",
            heavy=True,
        ),
        named_node(
            nodes.choose_parameters,
            inputs=["finalist_trials", "development", "params:tune"],
            outputs=["tuning_ranking", "tuned_values", "tuning_metrics", "tuned_parameters"],
        ),
        named_node(
            nodes.draw_search, inputs=["tuning_trials", "finalist_trials", "params:tune"], outputs="tuning_figure"
        ),
    )
