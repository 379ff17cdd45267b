import subprocess
import sys

import pytest

PLAIN = ["architecture", "budget", "complexity", "scaling", "scaling_candidates"]
"""Modules that import only the standard library."""


def _imported(statement):
    code = f"{statement}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_computing_networks_imports_no_library():
    modules = ", ".join(f"goodbad_pipeline.networks.{name}" for name in PLAIN)
    use = "from goodbad_pipeline.networks import complexity, scaling"
    compute = "complexity.count_complexity(scaling.resolve_scale(variant='lite0'))"
    assert not {"h5py", "keras", "numpy", "tensorflow"} & _imported(f"import {modules}; {use}; {compute}")


def test_checking_weights_and_growth_imports_neither_keras_nor_tensorflow():
    use = "from goodbad_pipeline.networks import net2net_source as n, pretrained as p, scaling as s"
    check = "p.check_weights('imagenet', s.resolve_scale(variant='lite0'))"
    grow = "n.check_growth_source(n.parse_growth_source('imagenet'), 'efficientnet_lite')"
    assert not {"keras", "tensorflow"} & _imported(f"{use}; {check}; {grow}")


def test_the_package_exports_only_its_builders():
    import goodbad_pipeline.networks as room

    assert callable(room.build_efficientnet)
    assert callable(room.build_network)
    with pytest.raises(AttributeError, match="build_resnet"):
        _ = room.build_resnet
