from pathlib import Path

import pytest
from kedro.config import MissingConfigException

from goodbad_pipeline.context import ConfigLoader
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.settings import CONFIG_LOADER_ARGS


def loader(conf: Path, **files: str) -> ConfigLoader:
    for folder in ("base", "local"):
        (conf / folder).mkdir()
    (conf / "base" / "parameters.yml").write_text("images: {root: a}")
    for name, content in files.items():
        (conf / "local" / f"{name}.yml").write_text(content)
    patterns = CONFIG_LOADER_ARGS["config_patterns"]
    return ConfigLoader(str(conf), base_env="base", default_run_env="local", config_patterns=patterns)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("images: {root: [\n", r"local/parameters.yml, line 2: must be valid YAML, but .* expected node content"),
        ("images:\n\troot: x", r"parameters.yml, line 2: must be valid YAML, but found character that cannot start"),
        ("images: 1\nimages: 2", r"parameters.yml, line 2: must be valid YAML, but found duplicate key images"),
        ("- images", r"parameters.yml: must map names to values, but contains a list"),
        ("images: {root: '${who:a}'}", r"conf, parameters: Unsupported interpolation type who"),
    ],
)
def test_a_broken_file_is_an_input_error_that_names_it(tmp_path: Path, content: str, message: str) -> None:
    configuration = loader(tmp_path, parameters=content)
    with pytest.raises(InputError, match=message):
        configuration["parameters"]


@pytest.mark.parametrize("name", ["catalog", "credentials", "globals", "mlflow"])
def test_a_tab_in_any_file_is_an_input_error_that_names_its_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"local/{name}.yml, line 2: must be valid YAML"):
        loader(tmp_path, **{name: "a:\n\tb: 1"})[name]


def test_a_parameter_in_two_files_is_an_input_error(tmp_path: Path) -> None:
    configuration = loader(tmp_path, parameters="images: 1", parameters_2="images: 2")
    with pytest.raises(InputError, match=r"conf, parameters: Duplicate keys found in .*local/parameters.*: images"):
        configuration["parameters"]


def test_an_unknown_environment_is_an_input_error_but_optional_files_may_be_missing(tmp_path: Path) -> None:
    configuration = loader(tmp_path)
    assert configuration["parameters"] == {"images": {"root": "a"}}
    with pytest.raises(MissingConfigException):  # Kedro goes on without credentials
        configuration["credentials"]
    elsewhere = ConfigLoader(str(tmp_path), env="gpus", base_env="base", default_run_env="local")
    with pytest.raises(InputError, match=r"--env: .*not a valid directory: .*/gpus"):
        elsewhere["parameters"]


WRAPPED = "table: {type: kedro_mlflow.io.artifacts.MlflowArtifactDataset, dataset: {type: pandas.CSVDataset, %s}}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("table: hello", r"table: must be a mapping, such as {type: .*}, got 'hello'"),
        ("table: {filepath: a.csv}", r"table: must have the key type, such as .*; its keys are filepath"),
        (
            "table: {type: pandas.CSVDatset, filepath: a.csv}",
            r"table.type: must name .*, got 'pandas.CSVDatset' \(Dataset 'CSVDatset' not found in 'pandas'\)$",
        ),
        (
            "table: {type: spark.Table, filepath: a}",
            r"table.type: must name .*, got 'spark.Table' \(No module named 'spark'\)$",
        ),
        (
            "table: {type: nope.Dataset, filepath: a}",
            r"table.type: must name .*, got 'nope.Dataset' \(No module named 'nope'\)$",
        ),
        (
            "table: {type: pandas.DeltaTableDataset, filepath: a}",
            r"table.type: must name .*'pandas.DeltaTableDataset' \(this dataset needs the package deltalake, which",
        ),
        (
            "table: {type: pandas.CSVDataset, filpath: a}",
            r"table.filpath: unknown key; .* has the keys filepath, .*versioned",
        ),
        ("table: {type: pandas.CSVDataset}", r"table: must have the key filepath, which pandas.CSVDataset requires"),
        ('"{name}_table": {type: pandas.CSVDataset, filpath: a}', r"{name}_table.filpath: unknown key; "),
        (WRAPPED % "filpath: a", r"table.dataset.filpath: unknown key; "),
    ],
)
def test_a_wrong_entry_of_the_catalog_is_an_input_error_that_names_file_and_entry(
    tmp_path: Path, content: str, message: str
) -> None:
    configuration = loader(tmp_path, catalog=content)
    with pytest.raises(InputError, match=f"^{tmp_path}/local/catalog.yml: {message}") as caught:
        configuration["catalog"]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        WRAPPED % "filepath: a.csv, versioned: true",
        "_csv: &csv {type: pandas.CSVDataset}\ntable: {<<: *csv, filepath: a.csv}",
        '"{format}#{name}": {type: "pandas.{format}Dataset", filepath: a}',
    ],
)
def test_a_right_entry_of_the_catalog_is_accepted(tmp_path: Path, content: str) -> None:
    assert loader(tmp_path, catalog=content)["catalog"]
