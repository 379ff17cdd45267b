"""The code bundled with a registered model, so that the model can predict where this project is not installed.

The name of the bundled package contains a hash of its content. So Python cannot confuse the package with an installed
version of this project, and one process can load two versions of a model.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

PROJECT = "goodbad_pipeline"
MODULES = (
    "errors.py",
    "lazy.py",
    "images/rejections.py",
    "images/formats.py",
    "images/png.py",
    "images/jpeg.py",
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
"""PyPI packages that the bundled modules import."""


@dataclass(frozen=True)
class Bundle:
    """Paths of the bundled package and of the script that MLflow runs."""

    package: Path
    script: Path


def write_bundle(folder: Path) -> Bundle:
    """Write the bundle to an empty folder and return its paths."""
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
