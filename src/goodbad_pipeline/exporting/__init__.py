"""Export of a trained network to ONNX and LiteRT. Uses Keras and TensorFlow, but neither Kedro nor MLflow."""

from importlib.util import find_spec

from goodbad_pipeline.errors import InputError, install_command


def require_packages() -> None:
    """Raise `InputError` if a converter package is missing. Keras is not imported."""
    missing = [name for name in ("onnx", "tf2onnx") if find_spec(name) is None]
    if missing:
        raise InputError(f"export: the package {missing[0]} is not installed; {install_command('export')}")
