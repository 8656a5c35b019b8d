"""The engine without a language model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.simulator.engines import (
    Answer,
    ChoiceAnswer,
    ChoiceRequest,
    ScriptedEngine,
    TextAnswer,
    TextRequest,
    ask,
)


def _text(prompt: str, max_tokens: int = 16) -> str:
    (answer,) = ask(ScriptedEngine(), [TextRequest(prompt, max_tokens)])
    assert isinstance(answer, TextAnswer)
    return answer.text


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("Looking for: tea\nQuery: tea\nLooking for: dog food\nQuery:", "dog food"),
        ("Need: tea -> query: tea\nNeed: dog food -> query:", "dog food"),
        ("想找: 狗粮\n搜索词:", "狗粮"),
        ("想找：白 面包\n搜索词：", "白 面包"),
        ("only words", "only words"),
        ("", ""),
        ("Query:", ""),
    ],
)
def test_text_repeats_what_is_wanted(prompt: str, text: str) -> None:
    assert _text(prompt) == text


def test_text_is_no_longer_than_asked() -> None:
    assert _text("Looking for: one two three four\nQuery:", 2) == "one two"
    assert _text("想找: 狗粮面包\n搜索词:", 3) == "狗粮面"


@given(st.text(max_size=60), st.integers(0, 9))
def test_the_same_prompt_and_seed_give_the_same_answer(prompt: str, seed: int) -> None:
    requests = [TextRequest(prompt), ChoiceRequest(prompt, ("a", "b", "c"))]
    first: list[Answer] = list(ask(ScriptedEngine(seed), requests))
    assert first == list(ask(ScriptedEngine(seed), requests * 2))[2:]


def test_choices_spread_like_log_odds() -> None:
    requests = [ChoiceRequest(f"item {number}", ("a", "b")) for number in range(2000)]
    share = np.array(
        [
            math.exp(answer.log_probabilities[0])
            for answer in ask(ScriptedEngine(), requests)
            if isinstance(answer, ChoiceAnswer)
        ]
    )
    # The difference of two independent logistic scores has mean 0 and variance 2 pi²/3.
    log_odds = np.log(share) - np.log1p(-share)
    assert abs(log_odds.mean()) < 0.2
    assert log_odds.std() == pytest.approx(math.sqrt(2 * math.pi**2 / 3), rel=0.1)
    other = ask(ScriptedEngine(1), requests)
    assert other != ask(ScriptedEngine(), requests)
    even = ask(ScriptedEngine(spread=0.0), requests[:1])[0]
    assert isinstance(even, ChoiceAnswer)
    assert even.log_probabilities == pytest.approx((-math.log(2),) * 2)


def test_it_says_that_it_is_no_language_model() -> None:
    assert "no language model" in ScriptedEngine().identity.model
    assert ScriptedEngine(1).identity != ScriptedEngine(2).identity
