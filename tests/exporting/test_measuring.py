import numpy as np

from goodbad_pipeline.exporting.measuring import BATCH, measure_rates, predict_with_each


def test_every_image_is_predicted_once_and_padding_is_left_out() -> None:
    pixels = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    rows = np.arange(99, 29, -1)
    shapes = []

    def predict(batch: np.ndarray) -> np.ndarray:
        shapes.append(batch.shape)
        return batch[:, 0, 0] / 10

    probabilities = predict_with_each({"one": predict, "other": lambda batch: -predict(batch)}, pixels, rows)
    np.testing.assert_allclose(probabilities["one"][:, 0], rows / 10, rtol=1e-6)
    np.testing.assert_allclose(probabilities["other"], -probabilities["one"])
    assert set(shapes) == {(BATCH, 1, 1, 1)}


def test_rates_are_medians_of_rounds_of_alternating_order() -> None:
    clock, order = [0.0], []

    def network(name: str, seconds: list[float]):
        def predict(batch: np.ndarray) -> np.ndarray:
            order.append(name)
            clock[0] += seconds[order.count(name) - 1]
            return batch

        return predict

    networks = {"slow": network("slow", [2.0, 4.0, 2.0]), "fast": network("fast", [1.0, 1.0, 9.0])}
    pixels = np.zeros((10, 1, 1, 3), np.uint8)
    rates = measure_rates(networks, pixels, rounds=3, clock=lambda: clock[0])
    assert rates == {"slow": BATCH / 2, "fast": BATCH / 1}
    assert order == ["slow", "fast", "fast", "slow", "slow", "fast"]
