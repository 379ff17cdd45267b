"""A connection to MLflow that tests can interrupt."""

from collections.abc import Callable
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from goodbad_pipeline.tracking.outbox import Outbox
from goodbad_pipeline.tracking.server import Server


class Line:
    """A client whose requests, or whose responses, can be lost."""

    def __init__(self, client: mlflow.MlflowClient) -> None:
        self._client, self.cut, self.responds = client, False, True

    def __getattr__(self, name: str) -> Callable:
        def call(*arguments, **options):
            if self.cut:
                raise MlflowException("API request to http://x failed with exception Max retries exceeded")
            response = getattr(self._client, name)(*arguments, **options)
            if not self.responds:
                raise MlflowException("API request to http://x failed with timeout exception")
            return response

        return call


class Tracked:
    """A store with one run and an outbox, over a connection that can be interrupted."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri, self.folder = uri, folder / "outbox"
        self.client = mlflow.MlflowClient(self.uri)
        self.experiment = self.client.create_experiment(str(folder), artifact_location=str(folder / "artifacts"))
        self.run = self.client.create_run(self.experiment).info.run_id
        self.outbox, self.line = self.new_outbox()

    def new_outbox(self, **options: bool) -> tuple[Outbox, Line]:
        outbox, line = Outbox(self.folder, self.uri, **options), Line(self.client)
        outbox.server = Server(line)
        return outbox, line

    def steps(self, name: str = "loss") -> list[int]:
        return [metric.step for metric in self.client.get_metric_history(self.run, name)]

    def left(self) -> list[Path]:
        return [path for path in self.folder.glob("*") if path.name != ".lock"]
