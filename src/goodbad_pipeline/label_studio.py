"""Exchange a review with Label Studio: ``python -m goodbad_pipeline.label_studio export`` or ``import``."""

import argparse
import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import pandas as pd

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.errors import InputError, counted
from goodbad_pipeline.images.corrections import EXCLUDED
from goodbad_pipeline.images.stores import RemoteStore
from goodbad_pipeline.review.decisions import Action, Decision
from goodbad_pipeline.review.queue import Desk
from goodbad_pipeline.stored_review import load_desk, open_project

logger = logging.getLogger("goodbad_pipeline.label_studio")  # __name__ is "__main__" here

FOLDER = Path("data/08_reporting/label_studio")
CONTROL, OBJECT = "class", "image"
"""Names of the two tags of the labeling configuration."""
LOCAL = "/data/local-files/?d="
DATA = ["image_id", "path", "label", "split", "issue", "evidence"]
"""Columns of the review that each task has."""


def make_config(classes: Sequence[str]) -> str:
    """Return the labeling configuration of the project in Label Studio: one class, or that the image is excluded."""
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in (*classes, EXCLUDED))
    return (
        f'<View>\n  <Image name="{OBJECT}" value="$image"/>\n  <Text name="evidence" value="$evidence"/>\n'
        f'  <Choices name="{CONTROL}" toName="{OBJECT}" choice="single">\n{choices}  </Choices>\n</View>\n'
    )


def make_tasks(rows: pd.DataFrame, prefix: str) -> list[dict[str, Any]]:
    """Return one task per row of the review, with the suggested label as its prediction."""
    return [
        {
            "data": {"image": prefix + quote(row["path"])} | {name: row[name] for name in DATA},
            "predictions": [
                {
                    "model_version": "label_review",
                    "score": float(row["probability"]),
                    "result": [
                        {
                            "from_name": CONTROL,
                            "to_name": OBJECT,
                            "type": "choices",
                            "value": {"choices": [row["suggested"]]},
                        }
                    ],
                }
            ],
        }
        for row in rows.to_dict("records")
    ]


def read_annotations(tasks: Any, images: pd.DataFrame) -> list[Decision]:
    """Return the decisions of the tasks that Label Studio exported as JSON; ``images`` are the splits.

    Cancelled annotations, and images whose annotations disagree, are left out. Several tasks may show one image.

    Raises:
        InputError: The tasks are of another project, or an annotation has a class that does not exist.
    """
    if not isinstance(tasks, list) or not all(
        isinstance(task, dict) and isinstance(task.get("annotations"), list) for task in tasks
    ):
        raise InputError("annotations: must be a file that Label Studio exported as JSON, not as JSON-MIN or CSV")
    labels = dict(zip(images["image_id"], images["label"], strict=True))
    known = [task for task in tasks if isinstance(task.get("data"), dict) and task["data"].get("image_id") in labels]
    if tasks and not known:
        raise InputError(
            "annotations: must be of tasks that `python -m goodbad_pipeline.label_studio export` wrote for the present "
            f"images, but none of the {counted(len(tasks), 'task')} names such an image"
        )
    if len(known) < len(tasks):
        logger.warning("%s left out, because the images are gone", counted(len(tasks) - len(known), "task"))
    classes = sorted(set(labels.values()))
    found: dict[str, list[Decision]] = defaultdict(list)
    for task in known:
        found[task["data"]["image_id"]] += _read_task(task, labels[task["data"]["image_id"]], classes)
    paths = {task["data"]["image_id"]: task["data"].get("path") for task in known}
    decisions = []
    for image_id, of_image in found.items():
        if len({(one.label, one.exclude) for one in of_image}) > 1:
            logger.warning("%s: left out, because its annotations disagree", paths[image_id])
        else:
            decisions += of_image[-1:]
    return decisions


def _read_task(task: Mapping[str, Any], present: str, classes: Sequence[str]) -> Iterator[Decision]:
    for annotation in task["annotations"]:
        choices = [
            choice
            for result in annotation.get("result") or []
            if result.get("from_name") == CONTROL
            for choice in result.get("value", {}).get("choices", [])
        ]
        if annotation.get("was_cancelled") or not choices:
            continue
        (choice,) = choices[:1]
        if choice not in (EXCLUDED, *classes):
            raise InputError(
                f"annotations: a class must be one of {', '.join(classes)}, got '{choice}' in task {task.get('id')}; "
                "nothing is written"
            )
        action: Action = "exclude" if choice == EXCLUDED else "keep" if choice == present else "relabel"
        who = annotation.get("completed_by")
        who = who.get("email", who.get("id")) if isinstance(who, dict) else who
        when = annotation.get("updated_at") or annotation.get("created_at") or ""
        why = f"annotated in Label Studio; {task['data'].get('evidence') or 'no evidence'}"
        yield Decision.of(action, task["data"]["image_id"], choice, why, f"Label Studio user {who}", when, "")


def export_tasks(desk: Desk, folder: Path, prefix: str | None) -> int:
    """Write ``tasks.json`` and ``labeling_config.xml``; return the number of tasks."""
    tasks = make_tasks(desk.queue.pending(), _find_prefix(desk) if prefix is None else prefix)
    for name, text in (
        ("tasks.json", json.dumps(tasks, indent=1, ensure_ascii=False)),
        ("labeling_config.xml", make_config(desk.queue.classes)),
    ):
        with atomic_write(folder / name) as draft:
            draft.write_text(text, encoding="utf-8")
    return len(tasks)


def _find_prefix(desk: Desk) -> str:
    if isinstance(desk.root, Path):
        return f"{LOCAL}{quote(desk.root.name)}/"
    if isinstance(desk.root, RemoteStore):
        return f"{desk.root}/"
    raise InputError(
        f"--images: must be given, because Label Studio cannot read the archive '{desk.root}'; unpack the archive "
        "where Label Studio can read the images, and give the beginning of their addresses"
    )


def import_annotations(desk: Desk, file: Path) -> tuple[int, int]:
    """Write the decisions of a file of Label Studio; return the number of decisions written and read."""
    try:
        tasks = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"annotations: must be a readable JSON file, got '{file}' ({error})") from error
    images = desk.queue.images
    decisions = read_annotations(tasks, images)
    return len(desk.queue.file.add(decisions, images)), len(decisions)


def main(arguments: Sequence[str] | None = None) -> None:
    """Export the images to review as tasks for Label Studio, or import its annotations as corrections."""
    parser = argparse.ArgumentParser(prog="python -m goodbad_pipeline.label_studio", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export", help="write tasks.json and labeling_config.xml")
    export.add_argument("folder", type=Path, nargs="?", default=FOLDER, help=f"default: {FOLDER}")
    export.add_argument("--images", help="beginning of the addresses of the images, such as https://host/images/")
    load = commands.add_parser("import", help="write the annotations of a JSON export into the corrections file")
    load.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    try:
        desk = load_desk(open_project(), None)
        if options.command == "export":
            number = export_tasks(desk, options.folder, options.images)
            logger.info("%s and labeling_config.xml: %s", counted(number, "task"), options.folder)
        else:
            written, number = import_annotations(desk, options.file)
            logger.info(
                "%s: %s written; %d of images that were decided already",
                *(desk.queue.file.path, counted(written, "decision"), number - written),
            )
    except InputError as error:
        parser.exit(1, f"Error: {error}\n")


if __name__ == "__main__":
    main()
