"""The project's pipelines by name. Importing this module imports neither TensorFlow nor Keras."""

from kedro.pipeline import Pipeline, pipeline

from goodbad_pipeline.pipelines import (
    evaluation,
    exporting,
    ingestion,
    prediction,
    registration,
    replay,
    reporting,
    review,
    sample_data,
    scaling_report,
    scaling_search,
    scaling_study,
    splitting,
    stage,
    training,
    tuning,
)

FOLLOWING = ("training.choose_network", "training.build_model", "training.train_model")
"""Nodes that every process of a distributed training runs; all other nodes run in the first process only."""


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines by name; ``__default__`` runs ``data`` and then ``train``.

    Kedro-Viz shows ``__default__`` as three boxes, the namespaces data, training and results.
    """
    data = stage("data", ingestion.create_pipeline() + splitting.create_pipeline())
    register = registration.create_pipeline() + reporting.create_pipeline()
    train = training.create_pipeline() + stage("results", evaluation.create_pipeline() + register)
    share_pixels = training.create_following_pipeline()
    return {
        "__default__": data + train,
        "data": data,
        "train": train,
        "register": stage("results", register),
        "predict": prediction.create_pipeline(),
        "export": exporting.create_pipeline(),
        "follow": _separated(train.only_nodes(*FOLLOWING) + share_pixels, {}, "following_process"),
        "replay": _replay(data, (splitting.create_pipeline() + train).to_outputs("test_metrics")),
        "review": review.create_pipeline(),
        "sample_data": sample_data.create_pipeline(),
        "scaling_report": scaling_report.create_pipeline(),
        "scaling_search": scaling_search.create_pipeline(),
        "scaling_study": scaling_study.create_pipeline(),
        "tune": _tune(training.create_pipeline().to_outputs("network")),
    }


def _tune(choice: Pipeline) -> Pipeline:
    """Return the pipeline that chooses a network and searches for training parameters. Test images are left out."""
    parameters = {name for name in choice.inputs() if name.startswith("params:")}
    images, network = {"splits": "development", "pixel_cache": "pixel_cache"}, {"network": "tuning_network"}
    chosen = pipeline(choice, namespace="tune", parameters=parameters, inputs=images, outputs=network)
    return chosen + tuning.create_pipeline()


def _replay(before: Pipeline, after: Pipeline) -> Pipeline:
    """Return the pipeline that builds ``labels``, compares them with the labels of a recorded run, and trains again.

    Labels, splits and checkpoints of other runs are not overwritten.
    """
    renamed = {"labels": "replayed_run.verified_labels", "checkpoints": "replayed_run.checkpoints"}
    return _separated(before.to_outputs("labels"), {}) + replay.create_pipeline() + _separated(after, renamed)


def _separated(stages: Pipeline, renamed: dict[str, str], namespace: str = "replayed_run") -> Pipeline:
    """Put the stages into ``namespace``, so that the names of all outputs begin with ``namespace``.

    ``renamed`` maps inputs to new names. Parameters, and inputs that ``renamed`` lacks, keep their names.
    """
    inputs = stages.inputs()
    parameters = {name for name in inputs if name.startswith("params:")}
    unchanged = {name: name for name in inputs - parameters}
    return pipeline(stages, namespace=namespace, parameters=parameters, inputs=unchanged | renamed)
