"""The parts of an EfficientNet as Keras layers, named as in keras.applications.

Strided convolutions use `same` padding; keras.applications uses ZeroPadding2D and `valid`. A test checks that the
results are equal for stride 2 and odd kernels.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import keras

from goodbad_pipeline.networks.architecture import IMAGENET_CLASSES, IMAGENET_MEAN, IMAGENET_STDDEV, Block, Family


@dataclass(frozen=True)
class LayerMaker:
    """Adds layers that share an activation, a batch-normalisation momentum and a seed.

    The seed of a layer is derived from the shared seed and the name of the layer. If the shared seed is None, every
    layer has a random seed.
    """

    activation: str
    momentum: float
    seed: int | None

    def layer_seed(self, name: str) -> int | None:
        """Return the seed of one layer. With one seed for all layers, layers of equal shape would get equal weights."""
        return None if self.seed is None else zlib.crc32(f"{self.seed}:{name}".encode())

    def _kernel(self, name: str) -> keras.Initializer:
        return keras.initializers.VarianceScaling(
            scale=2.0, mode="fan_out", distribution="truncated_normal", seed=self.layer_seed(name)
        )

    def convolution(self, x: Any, filters: int, name: str, *, kernel: int = 1, strides: int = 1, **options: Any) -> Any:
        """Add a convolution, which has no bias unless `options` request it."""
        options = {"use_bias": False, "padding": "same", "kernel_initializer": self._kernel(name)} | options
        return keras.layers.Conv2D(filters, kernel, strides=strides, name=name, **options)(x)

    def depthwise(self, x: Any, kernel: int, strides: int, name: str) -> Any:
        """Add a depthwise convolution without bias."""
        return keras.layers.DepthwiseConv2D(
            kernel,
            strides=strides,
            padding="same",
            use_bias=False,
            depthwise_initializer=self._kernel(name),
            name=name,
        )(x)

    def normalise(self, x: Any, name: str) -> Any:
        """Add batch normalisation."""
        return keras.layers.BatchNormalization(momentum=self.momentum, name=name)(x)

    def activate(self, x: Any, name: str) -> Any:
        """Add the activation layer."""
        return keras.layers.Activation(self.activation, name=name)(x)

    def drop(self, x: Any, rate: float, name: str, **options: Any) -> Any:
        """Add dropout; at rate 0 return the input unchanged."""
        if rate == 0:
            return x
        return keras.layers.Dropout(rate, seed=self.layer_seed(name), name=name, **options)(x)


def scale_pixels(x: Any, family: Family) -> Any:
    """Scale pixels from 0–255 to the input range of the family, always in float32."""
    x = keras.layers.Rescaling(family.pixel_scale, family.pixel_offset, dtype="float32", name="rescaling")(x)
    if not family.standardises:
        return x
    layer = keras.layers.Normalization(axis=-1, dtype="float32", name="normalization")
    x = layer(x)
    layer.adapt_mean.assign(IMAGENET_MEAN)
    layer.adapt_variance.assign([deviation**2 for deviation in IMAGENET_STDDEV])
    layer.finalize_state()
    return x


def renew_standardisation(model: keras.Model) -> None:
    """Make Keras's Normalization layers use the mean and variance that their weights hold.

    A Normalization layer computes with copies of its weights. Assigning weights does not update the copies. In a cloned
    model the copies are mean 0 and variance 1.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def add_block(make: LayerMaker, x: Any, block: Block) -> Any:
    """Add one MBConv block (arXiv 1801.04381, figure 4d). Only the standard family has squeeze-and-excitation."""
    inputs = x
    if block.has_expansion:
        x = make.convolution(x, block.expanded, f"{block.name}_expand_conv")
        x = make.normalise(x, f"{block.name}_expand_bn")
        x = make.activate(x, f"{block.name}_expand_activation")
    x = make.depthwise(x, block.kernel, block.stride, f"{block.name}_dwconv")
    x = make.normalise(x, f"{block.name}_bn")
    x = make.activate(x, f"{block.name}_activation")
    if block.squeezed:
        x = _squeeze_excite(make, x, block)
    x = make.convolution(x, block.outputs, f"{block.name}_project_conv")
    x = make.normalise(x, f"{block.name}_project_bn")
    if not block.has_shortcut:
        return x
    # Stochastic depth (arXiv 1603.09382): the block is skipped or kept for each image as a whole.
    x = make.drop(x, block.drop_rate, f"{block.name}_drop", noise_shape=(None, 1, 1, 1))
    return keras.layers.Add(name=f"{block.name}_add")([x, inputs])


def _squeeze_excite(make: LayerMaker, x: Any, block: Block) -> Any:
    """Multiply each channel by a weight computed from the pooled feature map (arXiv 1709.01507)."""
    name = block.name
    weights = keras.layers.GlobalAveragePooling2D(name=f"{name}_se_squeeze")(x)
    weights = keras.layers.Reshape((1, 1, block.expanded), name=f"{name}_se_reshape")(weights)
    weights = make.convolution(weights, block.squeezed, f"{name}_se_reduce", use_bias=True, activation=make.activation)
    weights = make.convolution(weights, block.expanded, f"{name}_se_expand", use_bias=True, activation="sigmoid")
    return keras.layers.Multiply(name=f"{name}_se_excite")([x, weights])


def add_classifier(make: LayerMaker, x: Any, classes: int, dropout: float, activation: str | None) -> Any:
    """Add dropout and the dense layer, whose output is float32 even under mixed precision.

    Initial weights are uniform within ±√(1 / 1000), the range of the reference code for 1000 classes. The range of
    the reference code for two classes, ±√(1 / 2), would give initial logits of ±5 and losses of up to 9 nats.
    """
    x = make.drop(x, dropout, "top_dropout")
    kernel = keras.initializers.VarianceScaling(
        scale=classes / IMAGENET_CLASSES / 3,
        mode="fan_out",
        distribution="uniform",
        seed=make.layer_seed("predictions"),
    )
    return keras.layers.Dense(
        classes, activation=activation, kernel_initializer=kernel, dtype="float32", name="predictions"
    )(x)
