"""Optimizers and learning-rate schedules, with averaged weights and a learning rate for each layer."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from goodbad_pipeline.training.recipe import Recipe

# RMSProp follows the paper (arXiv 1905.11946, section 5.2), with the epsilon of the authors' code. SGD follows
# "Accurate, Large Minibatch SGD" (arXiv 1706.02677).
_OPTIMIZERS: dict[str, tuple[type[keras.optimizers.Optimizer], dict[str, Any]]] = {
    "adamw": (keras.optimizers.AdamW, {}),
    "sgd": (keras.optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
    "rmsprop": (keras.optimizers.RMSprop, {"rho": 0.9, "momentum": 0.9, "epsilon": 1e-3}),
}


def compile_model(model: keras.Model, recipe: Recipe, peak: float, *, steps: int, epochs: int) -> None:
    """Compile a model for a phase with ``epochs`` epochs of ``steps`` steps each.

    ``peak`` is the largest learning rate. The loss is cross-entropy with label smoothing (arXiv 1512.00567).
    """
    layers = [layer.name for layer in model.layers if layer.weights]
    model.compile(
        optimizer=make_optimizer(recipe, peak, steps=steps, epochs=epochs, layers=layers),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        # With a name instead, Keras creates the variables in the first step, and therefore traces the step again.
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=recipe.jit_compile,
    )
    model.optimizer.build(model.trainable_variables)  # else Keras creates slots outside the strategy


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Use the moving average of a compiled model's weights within this context, if the optimizer computes one."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # mixed precision wraps the optimizer
    if not optimizer.use_ema:
        yield
        return
    own = [np.array(variable) for variable in model.trainable_variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)


def make_optimizer(
    recipe: Recipe, peak: float, *, steps: int, epochs: int, layers: Sequence[str] = ()
) -> keras.optimizers.Optimizer:
    """Return the optimizer of the recipe for one phase.

    Weight decay is decoupled from the gradient (arXiv 1711.05101) and excludes biases and batch normalisation.
    ``layers``, the layer names from input to output, are needed only if ``recipe.layer_decay`` is below 1.
    """
    average, (base, options) = recipe.ema > 0, _OPTIMIZERS[recipe.optimizer]
    optimizer = _by_depth(base)(
        learning_rate=make_schedule(recipe, peak, steps=steps, epochs=epochs),
        weight_decay=recipe.weight_decay,
        use_ema=average,
        ema_momentum=0.5 ** (1 / (recipe.ema * steps)) if average else 0.99,
        **options,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if recipe.layer_decay < 1:
        optimizer.rates = rates_by_depth(layers, recipe.layer_decay)
    return optimizer


def make_schedule(
    recipe: Recipe, peak: float, *, steps: int, epochs: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning-rate schedule of the recipe for a phase with ``epochs`` epochs of ``steps`` steps each."""
    rising = max(1, round(steps * epochs * recipe.warmup))
    if recipe.schedule == "exponential":
        return WarmExponential(peak, rising, recipe.decay_rate, recipe.decay_epochs * steps)
    # With integer steps, Keras would compute the schedule in mixed dtypes.
    return keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=float(max(1, steps * epochs - rising)), warmup_target=peak, warmup_steps=float(rising)
    )


@keras.saving.register_keras_serializable("goodbad_pipeline")
class WarmExponential(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly for ``rising`` steps and then decays exponentially.

    The decay is continuous: after ``every`` steps, the rate has been multiplied by ``factor``. EfficientNet's
    paper has a factor of 0.97 for 2.4 epochs.
    """

    def __init__(self, peak: float, rising: int, factor: float, every: float) -> None:
        super().__init__()
        self._values = {"peak": peak, "rising": rising, "factor": factor, "every": every}
        self._peak, self._rising, self._slope = peak, float(rising), math.log(factor) / every

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step."""
        step = keras.ops.cast(step, "float32")
        falling = self._peak * keras.ops.exp(self._slope * (step - self._rising))
        return keras.ops.where(step < self._rising, self._peak * step / self._rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return dict(self._values)


def rates_by_depth(layers: Sequence[str], decay: float) -> dict[str, float]:
    """Return a factor for the learning rate of each layer (discriminative fine-tuning, arXiv 1801.06146).

    Layers whose names are equal up to the first underscore form a part, such as the stem, and have an equal factor. The
    last part has factor 1. Each earlier part has ``decay`` times the factor of the next part (arXiv 2106.08254).
    """
    parts = list(dict.fromkeys(name.split("_")[0] for name in layers))
    last = len(parts) - 1
    return {name: decay ** (last - parts.index(name.split("_")[0])) for name in layers}


def _by_depth(base: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
    """Return a subclass of an optimizer with a learning rate for each layer.

    The subclass computes the schedule only once per step. Keras would compute the schedule again for the weight decay
    of each variable, and tracing a step would take twice as long.
    """

    class ByDepth(base):
        rates: dict[str, float] = {}  # noqa: RUF012 - replaced, never changed
        _rate: Any = None  # learning rate of the step that is being applied

        @property
        def learning_rate(self) -> Any:
            return super().learning_rate if self._rate is None else self._rate

        @learning_rate.setter
        def learning_rate(self, learning_rate: Any) -> None:
            base.learning_rate.fset(self, learning_rate)

        def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
            self._rate = self.learning_rate
            try:
                super().apply(grads, trainable_variables)
            finally:
                self._rate = None

        def build(self, variables: Sequence[Any]) -> None:
            super().build(variables)
            self._factors = [self.rates.get(variable.path.split("/")[0], 1.0) for variable in variables]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            factor = self._factors[self._get_variable_index(variable)]
            super().update_step(gradient, variable, learning_rate if factor == 1 else learning_rate * factor)

    ByDepth.__name__ = base.__name__
    return ByDepth
