"""Train as one of several processes: ``distributing.py <folder>``; write the weights, the history and the rows read."""

import json
import sys
from pathlib import Path

import numpy as np
from tiny_training import checkpointing, part, tiny_network, tiny_pixels, tiny_recipe

from goodbad_pipeline.training.distributed import choose_strategy
from goodbad_pipeline.training.train import fit_model

SHARDS = 4


class Recorded:
    """Pixels that record which rows were read."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels, self.rows = pixels, set()

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.rows.update(np.asarray(rows).tolist())
        return self._pixels[rows]


def main(folder: Path) -> None:
    strategy = choose_strategy(0, distributed=True)
    weights, facts = {}, {}
    choice = {"head": "logistic", "interpolation": "auto"}
    for kind, changes in (("scratch", {}), ("pretrained", {}), ("logistic", choice)):
        pixels, model = Recorded(tiny_pixels()), tiny_network(bias=False)
        history = fit_model(
            model,
            part(pixels, 0, 41),
            part(pixels, 41, 48),
            tiny_recipe(data_shards=SHARDS, scratch_epochs=3, jit_compile=True, class_weights=True, **changes),
            pretrained=kind != "scratch",
            strategy=strategy,
            checkpoints=checkpointing(folder / f"{kind}_checkpoints_{strategy.process_index}"),
        ).history
        weights |= {f"{kind}_{number}": value for number, value in enumerate(model.get_weights())}
        measures = history.drop(columns=["seconds", "phase", "epoch"])
        facts[kind] = {"rows": sorted(pixels.rows), "history": measures.to_numpy().tolist()}
    np.savez(folder / f"weights_{strategy.process_index}.npz", **weights)
    (folder / f"facts_{strategy.process_index}.json").write_text(json.dumps(facts))
    strategy.shutdown()


main(Path(sys.argv[1]))
