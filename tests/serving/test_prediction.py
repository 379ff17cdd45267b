"""Nodes of the predict pipeline, whose predictions equal those of the pyfunc."""

import logging
import sys
import time
import traceback
import zipfile
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from clusters import CLUSTERS, cluster
from factories import parameters
from serving_kit import SIDE, small_model

from goodbad_pipeline.datasets import TableStreamDataset
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.images.pixels import Transform, transform_image
from goodbad_pipeline.images.scan import scan_candidates
from goodbad_pipeline.images.sources import Columns, read_candidates
from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.pipelines.prediction import nodes
from goodbad_pipeline.secrecy import hide_secrets
from goodbad_pipeline.serving import batch_prediction

URI = "models:/goodbad@champion"


def groups(**changes: object) -> list:
    typed = validate_parameters(parameters(**changes))
    return [typed[name] for name in ("predict", "images", "registry")]


@pytest.fixture
def predicted(tracking: str, folder: Path, tmp_path: Path) -> pd.DataFrame:
    dataset = TableStreamDataset(filepath=str(tmp_path / "predictions.parquet"))
    dataset.save(nodes.predict_files(*groups(predict__source=str(folder))))
    return pd.concat(dataset.load())


def test_evaluation_pyfunc_and_predict_agree_on_200_files(
    predicted: pd.DataFrame, folder: Path, files: dict[str, bytes]
) -> None:
    from goodbad_pipeline.training.batches import predict

    table = predicted.set_index("path")
    assert len(table) == len(files) == 200
    served = mlflow.pyfunc.load_model(URI).predict(
        pd.DataFrame({"image": [str(folder / name) for name in table.index]})
    )
    transform = Transform(SIDE, "pad", (255, 255, 255), 120 * 120, tiff=True, shrink_on_load=True)
    scanned = scan_candidates(
        read_candidates(folder, "folders", None, Columns()).candidates,
        folder,
        max_pixels=120 * 120,
        background=(255, 255, 255),
        tiff=True,
    )
    reasons = scanned.quarantine.set_index("path")["reason"]  # no_label: the file itself is well
    scanned_reasons = [None if reason == "no_label" else reason for reason in reasons.loc[table.index]]
    assert scanned_reasons == _plain(table["reason"])
    assert served["reason"].tolist() == _plain(table["reason"])
    assert served["label"].tolist() == _plain(table["label"])
    good = table[table["reason"].isna()]
    pixels = np.stack([transform_image(files[name], transform) for name in good.index])
    calibration = Calibration(["bad", "good"], temperature=1.5, threshold=0.45, abstain_below=0.7)
    evaluated = calibration.calibrate(predict(small_model(), pixels, np.arange(len(pixels))))
    assert abs(evaluated - good[["probability_bad", "probability_good"]].to_numpy()).max() <= 1e-5
    assert calibration.predict(evaluated).tolist() == (good["label"] == "good").astype(int).tolist()
    assert calibration.abstain(evaluated).tolist() == good["abstained"].tolist()
    probabilities = pd.DataFrame(served["probabilities"].dropna().tolist())
    assert abs(probabilities.to_numpy() - evaluated).max() <= 1e-5


def _plain(column: pd.Series) -> list:
    return column.astype(object).where(column.notna(), None).tolist()


def test_the_quarantine_and_the_summary_count_what_there_is(predicted: pd.DataFrame, caplog) -> None:
    caplog.set_level("INFO")
    everything, refused = nodes.separate_quarantine([predicted[:50], predicted[50:]])
    assert sum(map(len, everything)) == 200
    assert set(pd.concat(refused)["reason"]) == {"empty", "not_an_image", "truncated", "too_many_pixels"}
    summary = nodes.summarise_predictions([predicted[:50], predicted[50:]])
    assert (summary["predict_files"], summary["predict_quarantined"]) == (200, 40)
    assert summary["predict_files_per_second"] == pytest.approx(200 / summary["predict_seconds"])
    assert 0 < summary["predict_abstained"] < 160
    for reason, paths in predicted.groupby("reason")["path"]:
        assert f"  quarantined as {reason}: {len(paths)} (first: {paths.iloc[0]})" in caplog.messages


def test_the_sheet_shows_a_fair_draw(predicted: pd.DataFrame, folder: Path) -> None:
    predict, images, _ = groups(predict__source=str(folder), predict__sheet=5)
    figure = nodes.draw_predictions([predicted[:50], predicted[50:]], predict, images)
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == "5 of 160 predictions"
    assert len(texts) == 6
    whole, parts = nodes._draw_rows([predicted], 7, 0), nodes._draw_rows([predicted[:3], predicted[3:]], 7, 0)
    assert whole[0] == parts[0] == 160
    assert whole[1]["path"].tolist() == parts[1]["path"].tolist()


def test_a_manifest_is_read_where_there_is_one(tracking: str, folder: Path) -> None:
    rows = ["image_000.png", "empty_0.gif", "../etc/passwd", "none.png", ""]
    pd.DataFrame({"file": rows, "x": 1}).to_csv(folder / "some.csv", index=False)
    pd.DataFrame({"file": [*rows[:4], None]}).to_parquet(folder / "some.parquet")
    for manifest in ("some.csv", "some.parquet"):
        source = str(folder / manifest)
        (found,) = nodes.predict_files(*groups(predict__source=source, images__columns__path="file"))
        assert _plain(found["reason"]) == [None, "empty", "outside_root", "missing", "missing"]


def test_the_rate_of_a_slow_prediction_is_logged_with_two_digits(caplog: pytest.LogCaptureFixture) -> None:
    row = {"path": "a.jpg", "reason": None, "abstained": False, "milliseconds": 3200.0}
    with caplog.at_level(logging.INFO):
        nodes.summarise_predictions([pd.DataFrame([row])])
    assert "files per second: 0.31" in caplog.text


def test_an_empty_folder_gives_an_empty_table(tracking: str, tmp_path: Path) -> None:
    (found,) = nodes.predict_files(*groups(predict__source=str(tmp_path)))
    assert len(found) == 0
    assert nodes.summarise_predictions([found])["predict_files_per_second"] == 0
    predict, images, _ = groups(predict__source=str(tmp_path))
    assert nodes.draw_predictions([found], predict, images).texts[0].get_text() == "0 of 0 predictions"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "predict.source: name an image, folder, pattern"),
        (
            {"predict__source": "/nowhere"},
            "must be an existing folder, manifest, .* URL, got '/nowhere'",
        ),
        ({"predict__source": "/tmp", "predict__version": 99}, "'goodbad' has no version 99"),
        ({"predict__source": "/tmp", "predict__version": "best"}, "no version with the alias 'best'"),
    ],
)
def test_what_is_not_there_is_one_line(tracking: str, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        nodes.predict_files(*groups(**changes))


def test_a_source_is_checked_before_the_model_is_loaded(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "list.csv").write_text("file\na.png\n")
    monkeypatch.setattr(nodes, "find_model", lambda *_: pytest.fail("loads a model"))
    with pytest.raises(InputError, match=r"'list.csv' has no column 'path'"):
        nodes.predict_files(*groups(predict__source=str(tmp_path / "list.csv")))


def test_images_a_pattern_and_a_list_are_predicted(tracking: str, folder: Path, caplog) -> None:
    caplog.set_level("INFO", "goodbad_pipeline")
    for source, expected in (
        ("image_001.jpeg", ["image_001.jpeg"]),
        ("image_00?.png", ["image_000.png", "image_006.png"]),
        (["image_00[06].png", "image_001.jpeg"], ["image_000.png", "image_006.png", "image_001.jpeg"]),
    ):
        sources = str(folder / source) if isinstance(source, str) else [str(folder / one) for one in source]
        predict, images, registry = groups(predict__source=sources)
        (found,) = nodes.predict_files(predict, images, registry)
        assert found["path"].tolist() == expected
        assert found["reason"].isna().all()
        drawn = nodes.draw_predictions([found], predict, images)
        assert drawn.texts[0].get_text() == f"{len(expected)} of {len(expected)} predictions"
    assert "The model was trained on unknown images and predicts bad or good" in caplog.text


def test_an_archive_is_predicted_like_its_files(tracking: str, folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for file in folder.glob("*_00*"):
            archive.write(file, file.name)
    predict, images, registry = groups(predict__source=str(tmp_path / "pets.zip"))
    (packed,) = nodes.predict_files(predict, images, registry)
    (plain,) = nodes.predict_files(*groups(predict__source=str(folder / "*_00*")))
    assert len(packed) == len(plain) > 5
    columns = ["path", "image_id", "label", "reason"]
    pd.testing.assert_frame_equal(packed[columns], plain[columns])
    np.testing.assert_allclose(packed["probability"], plain["probability"], atol=1e-6)
    assert "predictions" in nodes.draw_predictions([packed], predict, images).texts[0].get_text()


def predict_with(folder: Path, **changes: object) -> pd.DataFrame:
    return pd.concat(nodes.predict_files(*groups(predict__source=str(folder), **changes)), ignore_index=True)


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same rows and reasons; probabilities differ by at most 1e-6."""
    tables = [table.drop(columns="milliseconds") for table in (found, expected)]
    pd.testing.assert_frame_equal(*tables, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_predicts_the_same(tracking: str, folder: Path, monkeypatch, name: str) -> None:
    monkeypatch.setattr(batch_prediction, "BLOCK", 64)
    here = predict_with(folder)
    with cluster(name) as options:
        there = predict_with(folder, predict__engine=name, predict__engine_options=options)
    assert_same(there, here)


def test_workers_predict_the_same_and_the_time_is_that_of_the_clock(tracking: str, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(batch_prediction, "BLOCK", 64)
    here = predict_with(folder)
    start = time.perf_counter()
    there = predict_with(folder, predict__engine="threading")
    assert 0 < there["milliseconds"].sum() / 1000 <= time.perf_counter() - start
    assert_same(there, here)


def test_workers_read_an_archive_and_an_empty_folder(tracking: str, folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for file in folder.glob("*_00*"):
            archive.write(file, file.name)
    for source in (tmp_path / "pets.zip", tmp_path):
        assert_same(predict_with(source, predict__engine="threading"), predict_with(source))


def test_an_engine_that_is_not_installed_is_told_before_the_model_is_loaded(monkeypatch) -> None:
    monkeypatch.setattr(nodes, "find_model", lambda *_: pytest.fail("loads a model"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"predict.engine: 'ray' needs a package that is not installed .*\[ray\]"):
        nodes.predict_files(*groups(predict__engine="ray", predict__source="/tmp"))


def test_a_secret_option_of_the_engine_is_in_no_message(tracking: str, folder: Path) -> None:
    options = hide_secrets({"token": {"secret": "open sesame"}})
    with pytest.raises(InputError, match=r"predict\.engine: .*got 'nosuch' with .*\*\*") as caught:
        predict_with(folder, predict__engine="nosuch", predict__engine_options=options)
    assert "open sesame" not in "".join(traceback.format_exception(caught.value))


def test_a_machine_without_the_files_is_named(tracking: str, folder: Path, tmp_path: Path, monkeypatch) -> None:
    stream = nodes.predict_files(*groups(predict__source=str(folder), predict__engine="threading"))
    elsewhere = folder.rename(tmp_path / "elsewhere")
    calls = batch_prediction._classify_in_worker([], folder, stream.workers.load)
    assert f"{folder}: no such folder" in calls
    folder.mkdir()
    (folder / "image_000.png").touch()
    there = batch_prediction._classify_in_worker(["image_001.jpeg"], folder, stream.workers.load)
    with pytest.raises(InputError, match=r"predict\.engine: a worker did not find .*image_001\.jpeg"):
        batch_prediction._require_same_files(there, elsewhere, "predict.engine")


def test_a_manifest_without_the_column_is_told(tracking: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("file\na.png\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"'list.csv' has no column 'path'; it has: file"):
        list(nodes.predict_files(*groups(predict__source=str(tmp_path / "list.csv"))))
    with pytest.raises(InputError, match="readable CSV or Parquet manifest"):
        list(nodes.predict_files(*groups(predict__source=str(tmp_path / "broken.parquet"))))


def a_million() -> Iterator[pd.DataFrame]:
    part = pd.DataFrame({"path": [f"folder/image_{index}.png" for index in range(10_000)], "probability": 0.5})
    for _ in range(100):
        yield part.copy()


def test_a_million_rows_need_no_more_memory_than_a_part(tmp_path: Path) -> None:
    import tracemalloc

    import pyarrow as pa

    dataset = TableStreamDataset(filepath=str(tmp_path / "many.parquet"))
    tracemalloc.start()
    dataset.save(a_million())
    rows = sum(len(part) for part in dataset.load())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 1_000_000
    assert peak < 50e6  # all of it would be 80 MB and more
    assert pa.total_allocated_bytes() < 50e6


def test_a_save_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    dataset = TableStreamDataset(filepath=str(tmp_path / "table.csv"))
    dataset.save([pd.DataFrame({"a": ["=1+1"]})])

    def failing() -> Iterator[pd.DataFrame]:
        yield pd.DataFrame({"a": ["new"]})
        raise InputError("the disk is gone")

    with pytest.raises(Exception, match="the disk is gone"):
        dataset.save(failing())
    assert (tmp_path / "table.csv").read_text() == '"a"\n"\'=1+1"\n'
    (part,) = dataset.load()
    assert part["a"].tolist() == ["=1+1"]
