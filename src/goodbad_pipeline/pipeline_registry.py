"""The project's pipelines by name. Importing this starts neither TensorFlow nor Keras."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import (
    evaluation,
    ingestion,
    modelling,
    registration,
    sample_data,
    scaling_report,
    scaling_search,
    scaling_study,
    splitting,
    training,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Return ``data``, ``train``, both as ``__default__``, and what stands beside them."""
    data = ingestion.create_pipeline() + splitting.create_pipeline()
    train = (
        modelling.create_pipeline()
        + training.create_pipeline()
        + evaluation.create_pipeline()
        + registration.create_pipeline()
    )
    return {
        "__default__": data + train,
        "data": data,
        "train": train,
        "sample_data": sample_data.create_pipeline(),
        "scaling_report": scaling_report.create_pipeline(),
        "scaling_search": scaling_search.create_pipeline(),
        "scaling_study": scaling_study.create_pipeline(),
    }
