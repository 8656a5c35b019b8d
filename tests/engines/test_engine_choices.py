"""First tokens of options, and log-probabilities brought into one form."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.errors import SettingError
from footfall.simulator.engines.choices import (
    choice_answer,
    first_tokens,
    matching_log_probabilities,
    one_line,
)

values = st.one_of(st.none(), st.floats(-700, 0), st.just(-math.inf), st.just(math.nan))


def test_normalised_by_hand() -> None:
    answer = choice_answer([math.log(0.3), math.log(0.1)], prompt_tokens=5, output_tokens=1)
    assert [math.exp(value) for value in answer.log_probabilities] == pytest.approx([0.75, 0.25])
    assert (answer.prompt_tokens, answer.output_tokens, answer.usable) == (5, 1, True)


def test_a_missing_option_gets_the_smallest_given() -> None:
    answer = choice_answer([math.log(0.6), None, math.log(0.2)], prompt_tokens=1, output_tokens=1)
    assert [math.exp(value) for value in answer.log_probabilities] == pytest.approx([0.6, 0.2, 0.2])


@given(st.lists(values, min_size=1, max_size=8))
def test_probabilities_sum_to_one(given_values: list[float | None]) -> None:
    answer = choice_answer(given_values, prompt_tokens=0, output_tokens=0)
    assert math.fsum(math.exp(value) for value in answer.log_probabilities) == pytest.approx(1)
    finite = [value for value in given_values if value is not None and math.isfinite(value)]
    assert answer.usable == bool(finite)
    if not finite:
        assert set(answer.log_probabilities) == {-math.log(len(given_values))}


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert line == line.strip()
    assert line in text


def test_one_line_by_example() -> None:
    assert one_line("  dog food \n cat") == "dog food"
    assert one_line("\n cat") == ""
    assert one_line("狗\u2028粮") == "狗"
    assert one_line("面包\ufffd") == "面包"


def _letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def test_first_tokens_are_those_after_a_prompt() -> None:
    assert first_tokens(_letters, ["yes", "no", "是"]) == (ord("y"), ord("n"), ord("是"))


def test_a_tokeniser_that_begins_every_text_with_a_blank() -> None:
    """The blank stands before the anchor and not before the option."""
    assert first_tokens(lambda text: [0, *_letters(text)], ["yes", "no"]) == (ord("y"), ord("n"))


def test_a_tokeniser_that_melts_the_anchor_into_the_option() -> None:
    def melting(text: str) -> list[int]:
        return [999] if text.startswith(":") and len(text) > 1 else _letters(text)

    assert first_tokens(melting, ["yes", "no"]) == (ord("y"), ord("n"))


def test_options_that_begin_alike_are_named() -> None:
    with pytest.raises(SettingError, match="'yes' and 'yesterday' begin with the same token"):
        first_tokens(_letters, ["no", "yes", "yesterday"])
    with pytest.raises(SettingError, match="'x' has no tokens"):
        first_tokens(lambda text: [1], ["x"])


def test_tokens_count_for_the_option_that_they_begin() -> None:
    found = matching_log_probabilities(
        {" Yes": math.log(0.4), "Ye": math.log(0.2), " N": math.log(0.1), "\n": -0.1, " ": -0.2},
        (" Yes", " No"),
    )
    assert found[0] == pytest.approx(math.log(0.6))
    assert found[1] == pytest.approx(math.log(0.1))


def test_a_token_that_begins_two_options_counts_for_none() -> None:
    assert matching_log_probabilities({"N": -0.1}, ("No", "Never")) == [None, None]
    # Unless it is one of them.
    assert matching_log_probabilities({"No": -0.1}, ("No", "North")) == [
        pytest.approx(-0.1),
        None,
    ]
