import pytest

from goodbad_pipeline.efficientnet.variants import FAMILIES, VARIANTS, nearest_variant, variants_of


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_a_variant_is_nearest_to_its_own_phi(variant):
    assert nearest_variant(variant.phi, variant.family) is variant


def test_families_share_out_all_variants():
    assert [v for family in FAMILIES for v in variants_of(family)] == list(VARIANTS.values())
    assert [v.name for v in variants_of("efficientnet_lite")] == ["lite0", "lite1", "lite2", "lite3", "lite4"]


def test_far_phi_still_has_a_nearest_variant():
    assert nearest_variant(-5).name == "b0"
    assert nearest_variant(40).name == "b7"
    assert nearest_variant(40, "efficientnet_lite").name == "lite4"
