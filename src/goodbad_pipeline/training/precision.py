"""What was trained in mixed precision, as it is used afterwards: the same numbers, in float32."""

import keras

from goodbad_pipeline.training.distributed import copy_variables


def in_float32(model: keras.Model) -> keras.Model:
    """Return the network as one that computes in float32 all through, with the same values.

    Variables are float32 under mixed precision, too; what is computed of them is rounded to 16 bits, which makes a GPU
    train faster and a CPU answer more slowly. What is measured, registered and exported is the same network everywhere.

    Returns:
        The network itself where it is in float32 already, else a copy, not compiled.
    """
    layers = (layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer))
    if all(layer.compute_dtype == "float32" for layer in layers):
        return model
    config = model.get_config()
    for layer in config["layers"]:
        layer["config"]["dtype"] = "float32"
    copy = type(model).from_config(config)
    copy_variables(model, copy)
    return copy
