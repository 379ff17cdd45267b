import subprocess
import sys

import pytest

LIGHT = [
    "",
    ".scaling",
    ".architecture",
    ".complexity",
    ".pretrained",
    ".budget",
    ".net2net_source",
]


def _imported(statement):
    code = f"{statement}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_checking_networks_imports_neither_keras_nor_tensorflow():
    modules = ", ".join(f"goodbad_pipeline.networks{name}" for name in LIGHT)
    use = "from goodbad_pipeline.networks import complexity as c, pretrained as p, scaling as s"
    ask = "scale = s.resolve_scale(variant='lite0'); c.count_complexity(scale); p.check_weights('imagenet', scale)"
    assert not {"keras", "tensorflow"} & _imported(f"import {modules}; {use}; {ask}")


def test_the_package_exports_only_its_builders():
    import goodbad_pipeline.networks as room

    assert callable(room.build_efficientnet)
    assert callable(room.build_network)
    with pytest.raises(AttributeError, match="build_resnet"):
        _ = room.build_resnet
