"""Table 2 of the EfficientNet paper (arXiv 1905.11946), and the cost of networks of keras.applications."""

import math
from dataclasses import dataclass

import keras

from goodbad_pipeline.networks.complexity import Cost


@dataclass(frozen=True)
class PaperNetwork:
    """One row of Table 2 with the published numbers.

    `parameters` is in millions, `flops` in billions of multiply-adds, `top1` in per cent. `flops` is None if the table
    has a dash. `application` is the name of a function in keras.applications.
    """

    name: str
    parameters: float
    flops: float | None
    top1: float
    variant: str | None = None
    application: str | None = None


NETWORKS = (
    PaperNetwork("EfficientNet-B0", 5.3, 0.39, 77.1, variant="b0"),
    PaperNetwork("EfficientNet-B1", 7.8, 0.70, 79.1, variant="b1"),
    PaperNetwork("EfficientNet-B2", 9.2, 1.0, 80.1, variant="b2"),
    PaperNetwork("EfficientNet-B3", 12, 1.8, 81.6, variant="b3"),
    PaperNetwork("EfficientNet-B4", 19, 4.2, 82.9, variant="b4"),
    PaperNetwork("EfficientNet-B5", 30, 9.9, 83.6, variant="b5"),
    PaperNetwork("EfficientNet-B6", 43, 19, 84.0, variant="b6"),
    PaperNetwork("EfficientNet-B7", 66, 37, 84.3, variant="b7"),
    PaperNetwork("ResNet-50", 26, 4.1, 76.0, application="ResNet50"),
    PaperNetwork("ResNet-152", 60, 11, 77.8, application="ResNet152"),
    PaperNetwork("DenseNet-169", 14, 3.5, 76.2, application="DenseNet169"),
    PaperNetwork("DenseNet-264", 34, 6.0, 77.9),
    PaperNetwork("Inception-v3", 24, 5.7, 78.8, application="InceptionV3"),
    PaperNetwork("Xception", 23, 8.4, 79.0, application="Xception"),
    PaperNetwork("Inception-v4", 48, 13, 80.0),
    PaperNetwork("Inception-ResNet-v2", 56, 13, 80.1, application="InceptionResNetV2"),
    PaperNetwork("ResNeXt-101", 84, 32, 80.9),
    PaperNetwork("PolyNet", 92, 35, 81.3),
    PaperNetwork("SENet", 146, 42, 82.7),
    PaperNetwork("NASNet-A", 89, 24, 82.7, application="NASNetLarge"),
    PaperNetwork("AmoebaNet-A", 87, 23, 82.8),
    PaperNetwork("PNASNet", 86, 23, 82.9),
    PaperNetwork("AmoebaNet-C", 155, 41, 83.5),
    PaperNetwork("GPipe", 557, None, 84.3),
)


def count_application(name: str) -> Cost:
    """Return the cost of a network of keras.applications, such as `ResNet50`, at its default resolution.

    Multiply-adds are counted for convolutions and dense layers.
    """
    model = getattr(keras.applications, name)(weights=None)
    macs = activations = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            macs += math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D):
            _, height, width, channels = layer.output.shape
            kernels = [weight for weight in layer.weights if len(weight.shape) == 4]
            macs += sum(math.prod(kernel.shape) for kernel in kernels) * height * width
            activations += channels * height * width
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return Cost(model.count_params(), trainable, macs, activations)
