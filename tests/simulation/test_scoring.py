"""Asking in both ways, putting answers back in order, and taking the asking's own bias out."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.personas.persona import Persona
from footfall.simulator.engines.choices import choice_answer, unusable_choice
from footfall.simulator.engines.protocol import LikelihoodAnswer, LikelihoodRequest, ask
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.prompts import PromptBook
from footfall.simulator.scoring import (
    Correction,
    ask_scores,
    measure_correction,
    read_labels,
    read_scores,
)

SHOPPER = Persona(persona_id="p", demographics={"age": "25-34"})


class Biased(ScriptedEngine):
    """Log-odds of an item are its worth plus a bias of its label; "none" and No have 0.

    The worth is the number at the end of the item's text; texts that say nothing are worth 0.
    """

    def __init__(self, by_label=(0.0,) * 20, worth_of_nothing=0.0):
        super().__init__()
        self.by_label = by_label
        self.nothing = worth_of_nothing
        self.asked = []

    def _worth(self, text):
        word = text.split()[-1]
        return float(word) if word.lstrip("-").replace(".", "").isdigit() else self.nothing

    def _choice_answer(self, request):
        self.asked.append(request)
        lines = request.prompt.splitlines()
        if len(request.options) == 2 and request.options[0].strip() in {"Yes", "是"}:
            items = [lines[-2].split(": ", 1)[1]]
        else:
            items = [line[3:] for line in lines[3:-1]]
        values = [self._worth(item) + self.by_label[k] for k, item in enumerate(items)]
        return choice_answer([*values, 0.0], prompt_tokens=1, output_tokens=1)


def scores(engine, texts, kind, *, correction=None, seed=0, draws=1):
    call = ask_scores(
        PromptBook(), SHOPPER, "tea", texts, kind, np.random.default_rng(seed), draws=draws
    )
    return read_scores(call, ask(engine, call.requests), correction)


@pytest.mark.parametrize("kind", ["item", "slate"])
@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=45), st.integers(0, 99), st.integers(1, 3))
def test_scores_come_back_in_the_order_of_the_texts(kind, worths, seed, draws):
    texts = [f"item {worth}" for worth in worths]
    found = scores(Biased(), texts, kind, seed=seed, draws=draws)
    np.testing.assert_allclose(found.log_odds, worths, atol=1e-9)
    assert found.unusable == 0


def test_a_slate_takes_one_request_and_an_order_of_its_own():
    texts = [f"item {n}" for n in range(8)]
    calls = [
        ask_scores(PromptBook(), SHOPPER, None, texts, "slate", np.random.default_rng(seed))
        for seed in range(6)
    ]
    assert all(len(call.requests) == 1 for call in calls)
    assert len({call.orders for call in calls}) == 6
    again = ask_scores(PromptBook(), SHOPPER, None, texts, "slate", np.random.default_rng(0))
    assert again == calls[0]


def test_long_slates_are_asked_in_blocks_of_even_size():
    call = ask_scores(
        PromptBook(), SHOPPER, None, ["x"] * 45, "slate", np.random.default_rng(0), draws=2
    )
    assert [len(order) for order in call.orders] == [15] * 6
    assert sorted(index for order in call.orders[:3] for index in order) == list(range(45))


def test_no_items_ask_nothing():
    for kind in ("item", "slate"):
        found = scores(Biased(), [], kind)
        assert found.log_odds.shape == (0,)
        assert math.isnan(found.attraction)


class Typist(ScriptedEngine):
    """Whoever looks for an item types the query with log-odds of the item's worth."""

    def _likelihood_answer(self, request):
        wanted = [line for line in request.prompt.splitlines() if line.startswith("Looking for: ")]
        worth = float(wanted[0].split()[-1]) if wanted else 0.0
        return LikelihoodAnswer(worth - 30.0, 1, 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=45))
def test_query_likelihood_is_told_against_a_shopper_of_whom_nothing_is_known(worths):
    found = scores(Typist(), [f"item {worth}" for worth in worths], "query")
    np.testing.assert_allclose(found.log_odds, worths, atol=1e-9)
    odds = np.exp(np.asarray(worths, float))
    assert found.attraction == pytest.approx(float(np.log(odds.mean())))
    assert found.unusable == 0


def test_query_likelihood_is_the_same_question_for_everybody():
    other = Persona(persona_id="q", history=("milk",), interests={"food": 1.0})
    calls = [
        ask_scores(PromptBook(), who, "tea", ["a", "b"], "query", np.random.default_rng(0))
        for who in (SHOPPER, other)
    ]
    assert calls[0].requests == calls[1].requests
    assert len(calls[0].requests) == 3
    assert all(isinstance(request, LikelihoodRequest) for request in calls[0].requests)
    assert calls[0].requests[0].continuation == " tea\n"
    assert "Looking for: a\n" in calls[0].requests[0].prompt
    assert "Looking for" not in calls[0].requests[-1].prompt.split("\n", 1)[1]


def test_who_browses_has_no_query_likelihood():
    call = ask_scores(PromptBook(), SHOPPER, None, ["a", "b"], "query", np.random.default_rng(0))
    assert call.requests == []
    found = read_scores(call, [], None)
    assert np.isnan(found.log_odds).all()
    assert (found.log_odds.shape, found.unusable) == ((2,), 0)
    assert math.isnan(found.attraction)


def test_without_the_querys_own_likelihood_nothing_is_known():
    call = ask_scores(PromptBook(), SHOPPER, "tea", ["a", "b"], "query", np.random.default_rng(0))
    good, bad = LikelihoodAnswer(-3.0, 1, 1), LikelihoodAnswer(0.0, 1, 1, usable=False)
    assert read_scores(call, [good, bad, good], None).unusable == 1
    nothing = read_scores(call, [good, good, bad], None)
    assert np.isnan(nothing.log_odds).all()
    assert nothing.unusable == 2


def test_attraction_is_the_mean_odds_whatever_the_length():
    odds = [f"item {math.log(3.0)}", f"item {math.log(1.0)}"]
    assert scores(Biased(), odds, "slate").attraction == pytest.approx(math.log(2.0))
    assert scores(Biased(), odds * 4, "slate").attraction == pytest.approx(math.log(2.0))
    assert scores(Biased(), odds, "item").attraction == pytest.approx(math.log(3.0) / 2)


@pytest.mark.parametrize("kind", ["item", "slate"])
def test_unusable_answers_have_no_score_and_are_counted(kind):
    call = ask_scores(PromptBook(), SHOPPER, "tea", ["item 1"] * 25, kind, np.random.default_rng(0))
    answers = [unusable_choice(len(request.options)) for request in call.requests]
    answers[0] = ask(Biased(), call.requests[:1])[0]
    found = read_scores(call, answers, None)
    assert found.unusable == len(answers) - 1
    assert np.isfinite(found.log_odds).sum() == len(call.orders[0])
    assert found.attraction == pytest.approx(1.0)
    nothing = read_scores(call, [unusable_choice(len(r.options)) for r in call.requests], None)
    assert math.isnan(nothing.attraction)
    assert np.isnan(nothing.log_odds).all()


def test_the_correction_takes_out_what_labels_and_words_favour():
    engine = Biased(tuple(3.0 - 0.5 * label for label in range(20)), worth_of_nothing=0.0)
    correction = measure_correction(engine, PromptBook(), ["en_US"], [3, 5], "slate")
    assert set(correction.log_odds) == {"en"}
    assert set(correction.log_odds["en"]) == {3, 5}
    np.testing.assert_allclose(correction.of("en", 3), [3.0, 2.5, 2.0])
    found = scores(engine, ["item 2", "item 0", "item -1"], "slate", correction=correction)
    np.testing.assert_allclose(found.log_odds, [2.0, 0.0, -1.0], atol=1e-9)
    biased = scores(engine, ["item 2", "item 0", "item -1"], "slate")
    assert np.abs(biased.log_odds - [2.0, 0.0, -1.0]).max() > 1


def test_the_correction_of_single_items_is_one_number_a_language():
    engine = Biased(worth_of_nothing=1.5)
    correction = measure_correction(
        engine, PromptBook(), ["en_US", "en_GB", "zh_CN"], [3, 5], "item"
    )
    assert correction.log_odds == {"en": {1: (1.5,)}, "zh": {1: (1.5,)}}
    # Three texts, each wanted and not: cheap, whatever the number of sizes.
    assert len(engine.asked) == 12
    found = scores(engine, ["item 2", "item -1"], "item", correction=correction)
    np.testing.assert_allclose(found.log_odds, [0.5, -2.5], atol=1e-9)


def test_slates_longer_than_a_prompt_are_measured_by_their_blocks():
    correction = measure_correction(Biased(), PromptBook(), ["en_US"], [25, 45], "slate")
    assert set(correction.log_odds["en"]) == {12, 13, 15}


def test_sizes_that_were_not_measured_take_the_next():
    correction = Correction(kind="slate", log_odds={"en": {2: (1.0, 2.0), 4: (1.0, 2.0, 3.0, 4.0)}})
    assert correction.of("en", 3).tolist() == [1.0, 2.0, 3.0]
    assert correction.of("en", 6).tolist() == [1.0, 2.0, 3.0, 4.0, 4.0, 4.0]
    assert correction.of("zh", 2).tolist() == [0.0, 0.0]
    assert Correction.model_validate_json(correction.model_dump_json()) == correction


def test_a_correction_without_usable_answers_changes_nothing():
    class Mute(ScriptedEngine):
        def _choice_answer(self, request):
            return unusable_choice(len(request.options))

    correction = measure_correction(Mute(), PromptBook(), ["en_US"], [2], "slate")
    assert correction.of("en", 2).tolist() == [0.0, 0.0]


def test_labels_are_read_in_the_order_shown():
    call = ask_scores(
        PromptBook(),
        SHOPPER,
        "tea",
        ["item 1", "item 2", "item 3"],
        "slate",
        np.random.default_rng(3),
    )
    (labels,) = read_labels(call, ask(Biased(), call.requests), None)
    np.testing.assert_allclose(labels, [1.0 + index for index in call.orders[0]], atol=1e-9)


def test_effects_of_labels_move_items_and_not_the_slate():
    correction = Correction(
        kind="slate",
        log_odds={"en": {3: (1.0, 1.0, 1.0)}},
        labels={"en": (0.9, 0.0, 0.3, -1.2)},
    )
    assert correction.of("en", 3) == pytest.approx([1.5, 0.6, 0.9])
    # Labels that were not met have no effect of their own.
    assert correction.of("en", 6)[4:] == pytest.approx([1.0, 1.0])
    assert correction.of("en", 0).shape == (0,)
    assert correction.of("zh", 2).tolist() == [0.0, 0.0]
