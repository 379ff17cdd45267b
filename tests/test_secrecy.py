from factories import parameters
from hypothesis import given
from hypothesis import strategies as st
from kedro_viz.models.flowchart.nodes import jsonable_encoder
from pydantic import SecretStr

from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.secrecy import hide_secrets, redact, reveal_secrets

CANARY = "canary-77aa01"
PLAIN = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5).filter(lambda name: name != "secret"), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_marked_values_print_as_stars_at_any_depth() -> None:
    hidden = hide_secrets({"token": {"secret": CANARY}, "list": [{"deep": {"secret": 77}}], "open": 1})
    assert "77" not in str(hidden) + repr(hidden)
    assert hidden["open"] == 1
    assert reveal_secrets(hidden) == {"token": CANARY, "list": [{"deep": "77"}], "open": 1}
    assert hide_secrets(hidden) == hidden


@given(PLAIN)
def test_other_values_are_unchanged(value: object) -> None:
    assert hide_secrets(value) == reveal_secrets(value) == value


def test_redact_replaces_only_secrets() -> None:
    options = {"a": SecretStr(CANARY), "b": [SecretStr("xyz")], "c": SecretStr("")}
    assert redact(f"cannot log in with {CANARY}, xyz", options) == "cannot log in with **********, **********"


def test_a_parameter_group_prints_stars_in_every_stored_form() -> None:
    raw = hide_secrets(parameters(images__scan__engine_options={"token": {"secret": CANARY}}))
    images = validate_parameters(raw)["images"]
    forms = [images.model_dump(), images.model_dump(mode="json"), images.model_dump_json(), images, raw]
    assert not [form for form in forms if CANARY in str(form)]
    assert jsonable_encoder(raw["images"])["scan"]["engine_options"] == {"token": "**********"}  # Kedro-Viz's preview
