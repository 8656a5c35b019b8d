from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.personas.tokens import normalize, text_parts, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("2% Milk, 1.5 L", ["2", "milk", "1.5", "l"]),
        ("纯牛奶250ml", ["纯", "纯牛", "牛", "牛奶", "奶", "250ml"]),
        ("茶", ["茶"]),
        ("ＭＩＬＫ", ["milk"]),
        ("Crème_brûlée", ["crème", "brûlée"]),
        ("हिन्दी", ["हिन्दी"]),
        ("ข้าว", ["ข้", "ข้า", "า", "าว", "ว"]),
        ("カレー", ["カ", "カレ", "レ", "レー", "ー"]),
        ("", []),
        ("—!?。", []),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens


def test_composed_and_decomposed_accents_agree() -> None:
    assert tokenize("café") == tokenize(unicodedata.normalize("NFD", "café")) == ["café"]


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@given(st.text())
def test_any_text_gives_non_empty_tokens(text: str) -> None:
    assert all(tokenize(text))


@given(st.text(alphabet="牛奶茶面包水果", min_size=2, max_size=12))
def test_chinese_gives_each_character_and_each_pair(text: str) -> None:
    tokens = tokenize(text)
    assert [token for token in tokens if len(token) == 1] == list(text)
    pairs = [text[place : place + 2] for place in range(len(text) - 1)]
    assert [token for token in tokens if len(token) == 2] == pairs


@given(st.lists(st.text(alphabet="abcxyzäöß0123", min_size=1), min_size=1))
def test_spaced_words_stay_whole(words: list[str]) -> None:
    assert tokenize(" ".join(words)) == words


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("No Urgent Place, Alone,  Sunny 80F", ["no urgent place", "alone", "sunny 80f"]),
        ("家，一个人；晴｜ＡＭ", ["家", "一个人", "晴", "am"]),
        ("red shoes", ["red shoes"]),
        ("cable 3,5 mm,2PM", ["cable 3,5 mm", "2pm"]),
        (" ,; ", []),
        (",".join("abcdefghij"), list("abcdefgh")),
    ],
)
def test_parts_of_a_text(text: str, parts: list[str]) -> None:
    assert text_parts(text) == parts
