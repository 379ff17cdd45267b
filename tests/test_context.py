from pathlib import Path

import pytest
from kedro.config import MissingConfigException

from goodbad_pipeline.context import ConfigLoader
from goodbad_pipeline.errors import InputError


def loader(conf: Path, **files: str) -> ConfigLoader:
    for folder in ("base", "local"):
        (conf / folder).mkdir()
    (conf / "base" / "parameters.yml").write_text("images: {root: a}")
    for name, content in files.items():
        (conf / "local" / f"{name}.yml").write_text(content)
    return ConfigLoader(str(conf), base_env="base", default_run_env="local")


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
