from goodbad_pipeline.networks.scaling import FAMILIES, VARIANTS, variants_of


def test_families_share_out_all_variants():
    assert [v for family in FAMILIES for v in variants_of(family)] == list(VARIANTS.values())
    assert [v.name for v in variants_of("efficientnet_lite")] == ["lite0", "lite1", "lite2", "lite3", "lite4"]
