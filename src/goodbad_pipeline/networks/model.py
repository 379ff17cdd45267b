"""Build the Keras model of a network: one flat graph with stable layer names, which takes unscaled pixels."""

from pathlib import Path
from typing import Any

import keras

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks import layers
from goodbad_pipeline.networks.architecture import FAMILY_OF, expand_blocks, head_filters, stem_filters
from goodbad_pipeline.networks.pretrained import check_weights
from goodbad_pipeline.networks.scaling import (
    STOCHASTIC_DEPTH,
    Coefficients,
    NetworkScale,
    resolve_scale,
    warn_of_product,
)
from goodbad_pipeline.networks.weights import load_weights


def build_efficientnet(
    *,
    phi: float | None = None,
    variant: str | None = None,
    family: str = "efficientnet",
    coefficients: Coefficients | None = None,
    resolution: int | None = None,
    dropout: float | None = None,
    stochastic_depth: float = STOCHASTIC_DEPTH,
    **options: Any,
) -> keras.Model:
    """Build an EfficientNet or EfficientNet-Lite from φ or a published name (arXiv 1905.11946).

    `options`, such as `classes` and `weights`, are arguments of :func:`build_network`. All other arguments are those
    of :func:`goodbad_pipeline.networks.scaling.resolve_scale`.

    Returns:
        A model. The inputs are pixels 0–255, uint8 or float, of shape (batch, resolution, resolution, 3). The outputs
        have the shape (batch, classes).

    Raises:
        InputError: A value is invalid, or the weights do not exist or do not fit.
    """
    scale = resolve_scale(
        phi=phi,
        variant=variant,
        family=family,
        coefficients=coefficients,
        resolution=resolution,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
    )
    if phi is not None:
        warn_of_product(coefficients or Coefficients())
    return build_network(scale, **options)


def build_network(
    scale: NetworkScale,
    *,
    classes: int = 1000,
    weights: str | Path | None = None,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    batch_norm_momentum: float = 0.99,
    seed: int | None = None,
) -> keras.Model:
    """Build the Keras model of a network.

    Layers have the names of keras.applications, such as `stem_conv`, `block2a_dwconv` and `predictions`. The layer
    `top_activation` is the last feature map, `avg_pool` the pooled features. At rate 0 there is no `top_dropout`.

    `weights` is None for random weights, `imagenet`, or a file (.weights.h5, .h5 or .keras) of the same network. The
    classifier starts with zero weights if the file has no classifier, or if `imagenet` is set and `classes` is not
    1000. Without `include_top` the model returns the features of `avg_pool`, shape (batch, features). With
    `classifier_activation` None the model returns logits. For a short training from scratch, `batch_norm_momentum`
    must be below 0.99: with 0.99 the moving statistics lag behind the weights, and validation metrics are wrong.

    Raises:
        InputError: A value is invalid, or the weights do not exist or do not fit.
    """
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 2:
        raise InputError(f"classes must be a whole number, at least 2; received {classes!r}.")
    if not 0 < batch_norm_momentum < 1:
        raise InputError(f"batch_norm_momentum must be above 0 and below 1; received {batch_norm_momentum!r}.")
    check_weights(weights, scale)
    family = FAMILY_OF[scale.family]
    make = layers.LayerMaker(family.activation, batch_norm_momentum, seed)
    pixels = keras.Input((scale.resolution, scale.resolution, 3), name="image")
    outputs = _add_features(make, layers.scale_pixels(pixels, family), scale)
    if include_top:
        outputs = layers.add_classifier(make, outputs, classes, scale.dropout, classifier_activation)
    model = keras.Model(pixels, outputs, name=_model_name(scale))
    load_weights(model, weights, scale, classes if include_top else None)
    return model


def _add_features(make: layers.LayerMaker, x: Any, scale: NetworkScale) -> Any:
    x = make.convolution(x, stem_filters(scale), "stem_conv", kernel=3, strides=2)
    x = make.activate(make.normalise(x, "stem_bn"), "stem_activation")
    for block in expand_blocks(scale):
        x = layers.add_block(make, x, block)
    x = make.convolution(x, head_filters(scale), "top_conv")
    x = make.activate(make.normalise(x, "top_bn"), "top_activation")
    return keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)


def _model_name(scale: NetworkScale) -> str:
    if scale.variant is None:
        return f"{scale.family}_phi"
    return f"efficientnet{scale.variant}" if scale.family == "efficientnet" else f"efficientnet_{scale.variant}"
