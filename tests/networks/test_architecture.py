import re
from collections import defaultdict
from itertools import pairwise

import pytest
from factories import PROJECT
from hypothesis import given
from hypothesis import strategies as st

from goodbad_pipeline.networks.architecture import (
    expand_blocks,
    head_filters,
    matching_variant,
    stage_repeats,
    stage_table,
    stem_filters,
)
from goodbad_pipeline.networks.scaling import VARIANTS, resolve_scale


def test_stage_table_of_b0_is_table_1():
    rows = [(r.stage, r.operator, r.resolution, r.channels, r.layers) for r in stage_table(resolve_scale(variant="b0"))]
    assert rows == [
        (1, "Conv3×3", 224, 32, 1),
        (2, "MBConv1 k3×3", 112, 16, 1),
        (3, "MBConv6 k3×3", 112, 24, 2),
        (4, "MBConv6 k5×5", 56, 40, 2),
        (5, "MBConv6 k3×3", 28, 80, 3),
        (6, "MBConv6 k5×5", 14, 112, 3),
        (7, "MBConv6 k5×5", 14, 192, 4),
        (8, "MBConv6 k3×3", 7, 320, 1),
        (9, "Conv1×1, pooling, FC", 7, 1280, 1),
    ]


def test_names_are_those_of_keras_applications():
    names = [block.name for block in expand_blocks(resolve_scale(variant="b0"))]
    assert names[:4] == ["block1a", "block2a", "block2b", "block3a"]
    assert names[-1] == "block7a"
    assert len(names) == 16


def test_block_names_continue_after_z():
    names = [block.name for block in expand_blocks(resolve_scale(phi=12))]
    assert "block6z" in names
    assert names[names.index("block6z") + 1] == "block6aa"
    assert len(set(names)) == len(names)


def test_squeeze_has_a_quarter_of_the_input_channels():
    first, second = expand_blocks(resolve_scale(variant="b0"))[:2]
    assert (first.inputs, first.expanded, first.squeezed) == (32, 32, 8)
    assert (second.inputs, second.expanded, second.squeezed) == (16, 96, 4)


def test_lite_does_not_scale_stem_and_head():
    scale = resolve_scale(variant="lite4")
    assert (stem_filters(scale), head_filters(scale)) == (32, 1280)
    assert stage_repeats(scale) == (1, 4, 4, 6, 6, 8, 1)
    assert not any(block.squeezed for block in expand_blocks(scale))
    assert expand_blocks(scale)[0].inputs == 32


def test_stochastic_depth_rises_from_zero_to_almost_its_rate():
    blocks = expand_blocks(resolve_scale(variant="b0", stochastic_depth=0.32))
    assert [block.drop_rate for block in blocks] == pytest.approx([0.02 * number for number in range(16)])


@given(st.floats(-7, 8), st.sampled_from(["efficientnet", "efficientnet_lite"]), st.integers(32, 601))
def test_blocks_fit_together(phi, family, resolution):
    scale = resolve_scale(phi=phi, family=family, resolution=resolution)
    blocks = expand_blocks(scale)
    assert blocks[0].inputs == stem_filters(scale)
    for before, after in pairwise(blocks):
        assert after.inputs == before.outputs
        assert after.resolution == before.output_resolution >= 1
    assert sum(row.layers for row in stage_table(scale)) == len(blocks) + 2


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_matches_itself_at_any_resolution(name):
    assert matching_variant(resolve_scale(variant=name)) == name
    assert matching_variant(resolve_scale(variant=name, resolution=64)) == name


@pytest.mark.parametrize(
    ("phi", "family", "name"),
    [
        (0, "efficientnet", "b0"),
        (0, "efficientnet_lite", "lite0"),
        (1, "efficientnet", "b2"),  # w = 1.1 and d = 1.2 are those of B2; only the resolution is another
        (-1, "efficientnet", None),
        (-1, "efficientnet_lite", None),
        (0.5, "efficientnet", None),
    ],
)
def test_phi_matches_a_variant_when_its_layers_do(phi, family, name):
    assert matching_variant(resolve_scale(phi=phi, family=family)) == name


@pytest.mark.no_cover
def test_the_docs_list_every_phi_with_the_layers_of_a_variant():
    page = (PROJECT / "docs" / "scaling.md").read_text()
    listed = {
        name.lower(): (round(100 * float(first)), round(100 * float(last)))
        for name, first, last in re.findall(r"\| (B\d|Lite\d) \| (-?\d\.\d\d)–(-?\d\.\d\d) ", page)
    }
    found = defaultdict(list)
    for family in ("efficientnet", "efficientnet_lite"):
        for hundredths in range(-700, 1000):
            name = matching_variant(resolve_scale(phi=hundredths / 100, family=family, resolution=64))
            found[name].append(hundredths)
    del found[None]
    assert {name: (phis[0], phis[-1]) for name, phis in found.items()} == listed
    assert all(len(phis) == phis[-1] - phis[0] + 1 for phis in found.values())
