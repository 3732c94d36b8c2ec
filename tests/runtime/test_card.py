import json

import pytest
from gaussian_model import gaussian_card
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpm_rt import DdpmRtError, ModelCard, Provenance

CARD = gaussian_card()
LABELLED = {"x": "x", "t": "t", "y": "y", "out": "out"}
text = st.text(max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    st.builds(
        ModelCard,
        image_shape=st.tuples(*[st.integers(1, 400)] * 3),
        betas=st.lists(st.floats(1e-9, 1 - 1e-9), min_size=1, max_size=50).map(tuple),
        prediction=st.sampled_from(["eps", "x0", "v"]),
        variance=st.sampled_from(["fixed_small", "fixed_large", "learned", "learned_range"]),
        clip=st.none() | st.tuples(st.floats(-10, -0.1), st.floats(0.1, 10)),
        spacing=st.sampled_from(["trailing", "leading", "linspace"]),
        classes=st.none(),
        null_class=st.none(),
        names=st.fixed_dictionaries({"x": text, "t": text, "out": text}),
        precision=text,
        provenance=st.builds(
            Provenance,
            source=text,
            weights_sha256=text,
            versions=st.dictionaries(text, text, max_size=3),
            parity=st.dictionaries(text, finite, max_size=3),
        ),
    )
)
def test_every_card_is_equal_after_a_round_trip_through_json(card):
    again = ModelCard.from_json(card.to_json())
    assert again == card
    assert again.sha256 == card.sha256


def test_every_fact_changes_the_hash():
    changes = [
        {"image_shape": (1, 6, 4)},
        {"betas": CARD.betas[:-1]},
        {"prediction": "v"},
        {"variance": "fixed_large"},
        {"clip": (-1.0, 1.0)},
        {"spacing": "leading"},
        {"classes": 10, "names": LABELLED},
        {"classes": 10, "names": LABELLED, "null_class": 9},
        {"names": {"x": "sample", "t": "t", "out": "out"}},
        {"precision": "fp16"},
        {"provenance": Provenance("other", "0" * 64, {}, {})},
    ]
    assert len({CARD.sha256, *(gaussian_card(**change).sha256 for change in changes)}) == 1 + len(changes)


def changed(change):
    raw = json.loads(CARD.to_json())
    change(raw)
    return json.dumps(raw)


@pytest.mark.parametrize("key", [*json.loads(CARD.to_json())])
def test_a_missing_key_is_an_error_that_names_it(key):
    with pytest.raises(DdpmRtError, match="format" if key == "format" else key):
        ModelCard.from_json(changed(lambda raw: raw.pop(key)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(colour=1), "unknown key 'colour'"),
        (lambda raw: raw["provenance"].update(author="x"), r"provenance\.author"),
        (lambda raw: raw["provenance"].pop("parity"), r"provenance\.parity"),
        (lambda raw: raw.update(format=3), "format 1 or 2"),
        (lambda raw: raw.update(format=True), "format 1 or 2"),
        (lambda raw: raw.update(format=2), "image_shape"),
        (lambda raw: raw.update(image_shape=[1, 28]), "image_shape"),
        (lambda raw: raw.update(image_shape=[1, 28, 0]), "image_shape"),
        (lambda raw: raw.update(image_shape=[1, 28, 28.0]), "image_shape"),
        (lambda raw: raw.update(image_shape=None), "image_shape"),
        (lambda raw: raw.update(betas=[]), "betas"),
        (lambda raw: raw.update(betas=[1.5]), "betas"),
        (lambda raw: raw.update(betas=["0.1"]), "betas"),
        (lambda raw: raw.update(betas=0.1), "wrong"),
        (lambda raw: raw.update(prediction="noise"), "prediction"),
        (lambda raw: raw.update(variance="small"), "variance"),
        (lambda raw: raw.update(spacing="even"), "spacing"),
        (lambda raw: raw.update(clip=[1.0, -1.0]), "clip"),
        (lambda raw: raw.update(clip=[1.0]), "clip"),
        (lambda raw: raw.update(classes=0), "classes"),
        (lambda raw: raw.update(classes=True), "classes"),
        (lambda raw: raw.update(classes=10), "names"),
        (lambda raw: raw.update(null_class=0), "null_class"),
        (lambda raw: raw.update(classes=10, names=LABELLED, null_class=10), "null_class"),
        (lambda raw: raw.update(names={"x": "x", "t": "t"}), "names"),
        (lambda raw: raw.update(names={"x": 1, "t": "t", "out": "out"}), "names"),
        (lambda raw: raw.update(names=None), "names"),
        (lambda raw: raw.update(precision=16), "precision"),
        (lambda raw: raw.update(provenance=None), "provenance"),
        (lambda raw: raw["provenance"].update(source=1), "source"),
        (lambda raw: raw["provenance"].update(parity={"error": "small"}), "parity"),
    ],
)
def test_an_invalid_card_is_refused_with_the_name_of_the_key(change, message):
    with pytest.raises(DdpmRtError, match=f"unet.onnx.*{message}"):
        ModelCard.from_json(changed(change), source="unet.onnx")


@pytest.mark.parametrize("json_text", ["", "{", "[]", "null", "1", '"card"', "[" * 100_000, "{}"])
def test_json_that_is_not_a_card_is_refused(json_text):
    with pytest.raises(DdpmRtError, match="card"):
        ModelCard.from_json(json_text)


def test_nan_and_infinity_are_refused():
    with pytest.raises(DdpmRtError, match="betas"):
        ModelCard.from_json(changed(lambda raw: raw.update(betas=[float("nan")])))
