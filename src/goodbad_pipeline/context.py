"""The project's Kedro context and configuration loader."""

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.framework.context import KedroContext
from kedro.io.core import DatasetError, parse_dataset_definition
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from goodbad_pipeline.errors import InputError

YAML_SUFFIXES = (".yml", ".yaml")
VARIABLE = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class Context(KedroContext):
    """Kedro's context, with parameters as plain dicts. For the nodes, `CheckHooks` converts the dicts to objects."""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, as a dict of groups such as ``model``."""
        return dict(self.config_loader["parameters"])


class ConfigLoader(OmegaConfigLoader):
    """Kedro's configuration loader. A file that cannot be read is an `InputError`."""

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return one kind of configuration, such as ``parameters``; check the entries of a catalog."""
        try:
            loaded: dict[str, Any] = super().__getitem__(key)
        except MissingConfigException as error:
            if key != "parameters":  # other kinds of configuration are optional
                raise
            if "://" not in str(self.conf_source) and not Path(self.conf_source).exists():
                raise InputError(
                    f"--conf-source: must be given, because there is no folder '{self.conf_source}'; pass the archive "
                    "conf-goodbad_pipeline.tar.gz that `kedro package` wrote, or a folder like conf"
                ) from error
            raise InputError(f"--env: {error}") from error
        except (MarkedYAMLError, OmegaConfBaseException, ValueError, AttributeError) as error:
            raise InputError(self._find_problem() or f"conf, {key}: {error}") from error
        if key == "catalog":
            for name, entry in loaded.items():
                problem = next(_find_problems(name, entry), None)
                if problem is not None:
                    raise InputError(f"{self._find_file(name)}: {problem}")
        return loaded

    def _find_file(self, entry: str) -> Path | str:
        """Return the file that defines a catalog entry; search the files of the environment before conf/base."""
        for environment in (self.env or self.default_run_env, self.base_env):
            for pattern in self.config_patterns["catalog"]:
                for file in sorted(Path(self.conf_source, environment).glob(pattern)):
                    if file.suffix in YAML_SUFFIXES and entry in OmegaConf.load(file):
                        return file
        return "conf, catalog"

    def _find_problem(self) -> str | None:
        """Return the problem of the first file that is not a YAML mapping, or None."""
        for environment in (self.base_env, self.env or self.default_run_env):
            for file in sorted(Path(self.conf_source, environment).rglob("*.y*ml")):
                try:
                    content = OmegaConf.load(file)
                except MarkedYAMLError as error:
                    line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
                    return f"{file}{line}: must be valid YAML, but {error.problem}"
                if not isinstance(content, DictConfig):
                    return f"{file}: must map names to values, but contains a list"
        return None


def _find_problems(name: str, entry: Any) -> Iterator[str]:
    """Yield the problems of a catalog entry, for which Kedro would print a traceback when the dataset is first used."""
    if not isinstance(entry, dict):
        yield f"{name}: must be a mapping, such as {{type: pandas.CSVDataset, filepath: data/a.csv}}, got {entry!r}"
        return
    kind = entry.get("type")
    if not isinstance(kind, str):
        keys = ", ".join(map(str, entry))
        yield f"{name}: must have the key type, such as type: pandas.CSVDataset; its keys are {keys}"
        return
    if "{" in kind:  # of a pattern
        return
    try:
        dataset, _ = parse_dataset_definition({key: value for key, value in entry.items() if key != "validator"})
    except Exception as error:  # importing a class may raise any error
        yield f"{name}.type: must name a class of datasets, got '{kind}' ({_find_cause(kind, error)})"
        return
    accepted = signature(dataset).parameters
    known = ["versioned" if key == "version" else key for key in accepted]
    unknown = [key for key in entry if key not in ("type", "validator", *known)]
    if unknown and not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in accepted.values()):
        yield f"{name}.{unknown[0]}: unknown key; {kind} has the keys {', '.join(known)}"
    for key, parameter in accepted.items():
        if parameter.default is Parameter.empty and parameter.kind not in VARIABLE and key not in entry:
            yield f"{name}: must have the key {key}, which {kind} requires"
    if isinstance(entry.get("dataset"), dict):
        yield from _find_problems(f"{name}.dataset", entry["dataset"])


def _find_cause(kind: str, error: Exception) -> str:
    """Return why a class of datasets cannot be imported.

    Kedro tries several packages and reports only the last failure. Here the import from kedro-datasets is repeated,
    because this import tells which package is missing.
    """
    folder, _, name = kind.removeprefix("kedro_datasets.").rpartition(".")
    try:
        with suppress(AttributeError):  # no such class
            getattr(import_module(f"kedro_datasets.{folder}"), name)
    except ModuleNotFoundError as missing:
        if missing.name and not missing.name.startswith("kedro_datasets"):
            return f"this dataset needs the package {missing.name}, which is not installed"
    first_line = (str(error) or type(error).__name__).splitlines()[0]
    return first_line.partition(". ")[0] if isinstance(error, DatasetError) else first_line
