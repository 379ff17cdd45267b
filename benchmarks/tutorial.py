"""Train as in tutorials, with pandas, Pillow, Keras and scikit-learn; the reference of `whole_run`.

``python tutorial.py <images> <splits.parquet> <start.keras> <recipe.json> <outputs>``. Network, splits, phases,
epochs and augmentation are those of the project; the code is independent. Writes metrics and the model.
"""

import json
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from PIL import Image, ImageOps
from sklearn.metrics import ConfusionMatrixDisplay, classification_report, roc_auc_score

image_files, table, start, recipe, outputs = map(Path, sys.argv[1:])
recipe = json.loads(recipe.read_text())
keras.utils.set_random_seed(recipe["seed"])
outputs.mkdir(parents=True, exist_ok=True)

splits = pd.read_parquet(table)
names = sorted(splits["label"].unique())
model = keras.models.load_model(start)
side = model.input_shape[1]


def read_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Decode the images of a split: pixels (n, side, side, 3) and one-hot labels (n, classes)."""
    part = splits[splits["split"] == split]
    images = [ImageOps.pad(Image.open(image_files / path).convert("RGB"), (side, side)) for path in part["path"]]
    return np.stack([np.asarray(image) for image in images]), np.eye(len(names))[part["label"].map(names.index)]


(x, y), validation, (x_test, y_test) = (read_split(split) for split in ("train", "validation", "test"))

changes = recipe["augmentation"]
augment = keras.Sequential(
    [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomRotation(changes["rotation"] / 360, fill_mode="nearest"),
        keras.layers.RandomTranslation(changes["translation"], changes["translation"], fill_mode="nearest"),
        keras.layers.RandomZoom(changes["zoom"], fill_mode="nearest"),
        keras.layers.RandomBrightness(changes["brightness"], value_range=(0, 255)),
    ]
)
plain = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(recipe["batch_size"])
augmented = plain.map(lambda images, labels: (augment(images, training=True), labels), tf.data.AUTOTUNE)


def fit(data: tf.data.Dataset, epochs: int, rate: float) -> keras.callbacks.History:
    """Train the trainable layers and keep the best epoch's weights."""
    steps = epochs * len(plain)
    warmup = recipe["warmup"] * steps
    schedule = keras.optimizers.schedules.CosineDecay(0.0, steps - warmup, warmup_target=rate, warmup_steps=warmup)
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=recipe["weight_decay"]),
        keras.losses.CategoricalCrossentropy(label_smoothing=recipe["label_smoothing"]),
        metrics=["accuracy"],
    )
    best = keras.callbacks.EarlyStopping(patience=recipe["patience"], restore_best_weights=True)
    return model.fit(data.prefetch(2), epochs=epochs, validation_data=validation, callbacks=[best], verbose=2)


history = []
if recipe["pretrained"]:
    for layer in model.layers:
        layer.trainable = layer.name == "predictions"
    history.append(fit(plain, recipe["head_epochs"], recipe["head_learning_rate"]))
    for layer in model.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    history.append(fit(augmented, recipe["epochs"], recipe["learning_rate"]))
else:
    history.append(fit(augmented, recipe["scratch_epochs"], recipe["scratch_learning_rate"]))

probabilities, y_true = model.predict(x_test, verbose=0), y_test.argmax(axis=1)
print(classification_report(y_true, probabilities.argmax(axis=1), target_names=names, zero_division=0))
print("ROC AUC", roc_auc_score(y_test, probabilities))
ConfusionMatrixDisplay.from_predictions(y_true, probabilities.argmax(axis=1), display_labels=names)
plt.savefig(outputs / "confusion_matrix.png")
pd.concat([pd.DataFrame(phase.history) for phase in history]).to_csv(outputs / "history.csv")
model.save(outputs / "model.keras")
