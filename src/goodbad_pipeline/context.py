"""The project's Kedro context and configuration loader."""

from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.framework.context import KedroContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from goodbad_pipeline.errors import InputError


class Context(KedroContext):
    """Kedro's context, with the parameters as plain mappings. `CheckHooks` saves them in the catalog as groups."""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of all groups, as they are configured."""
        return dict(self.config_loader["parameters"])


class ConfigLoader(OmegaConfigLoader):
    """Kedro's configuration loader. A file that cannot be read is an `InputError`."""

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the configuration of a kind, such as ``parameters``."""
        try:
            return super().__getitem__(key)
        except MissingConfigException as error:
            if key != "parameters":  # other kinds of configuration are optional
                raise
            if "://" not in str(self.conf_source) and not Path(self.conf_source).exists():
                raise InputError(
                    "--conf-source: must name the archive conf-goodbad_pipeline.tar.gz that `kedro package` wrote, or "
                    f"a folder like conf; it is not given, and there is no folder '{self.conf_source}'"
                ) from error
            raise InputError(f"--env: {error}") from error
        except (MarkedYAMLError, OmegaConfBaseException, ValueError, AttributeError) as error:
            raise InputError(self._find_problem() or f"conf, {key}: {error}") from error

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
