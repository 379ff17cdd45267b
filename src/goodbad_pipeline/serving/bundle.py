"""The code that goes with a registered model, so that it answers where this project is not installed.

The files are copied into a package whose name is made of their content: neither an installed project nor another
version of the model can stand in for them, and two versions can be loaded side by side.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

PROJECT = "goodbad_pipeline"
MODULES = (
    "errors.py",
    "images/reasons.py",
    "images/formats.py",
    "images/png.py",
    "images/jpeg.py",
    "images/other_formats.py",
    "images/paths.py",
    "images/decode.py",
    "images/pixels.py",
    "evaluation/decision.py",
    "serving/archive.py",
    "serving/classifier.py",
    "serving/requests.py",
)
SCRIPT = "serving/served_model.py"
REQUIREMENTS = ("mlflow", "keras", "tensorflow", "numpy", "pandas", "h5py", "Pillow", "simplejpeg")
"""What the carried modules import, by the name of the package that brings it."""


@dataclass(frozen=True)
class Bundle:
    """Where the code lies.

    Attributes:
        package: Folder of the package, named after its content.
        script: The file that MLflow runs.
    """

    package: Path
    script: Path


def write_bundle(folder: Path) -> Bundle:
    """Write package and script into an empty folder."""
    root = Path(__file__).parents[1]
    sources = {name: (root / name).read_text() for name in (*MODULES, SCRIPT)}
    content = "\0".join(f"{name}\0{text}" for name, text in sources.items())
    package = f"goodbad_served_{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    renamed = {name: text.replace(f"{PROJECT}.", f"{package}.") for name, text in sources.items()}
    for name in MODULES:
        file = folder / package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        for parent in (folder / package, file.parent):
            (parent / "__init__.py").touch()
        file.write_text(renamed[name])
    script = folder / Path(SCRIPT).name
    script.write_text(renamed[SCRIPT])
    return Bundle(folder / package, script)
