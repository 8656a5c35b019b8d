"""Equal requests are asked once, and nothing else changes."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import EngineAnswerError, EngineError, EngineUnavailableError, SettingError
from footfall.simulator.engines import (
    Answer,
    ChoiceAnswer,
    ChoiceRequest,
    EngineIdentity,
    RecordingEngine,
    ReplayEngine,
    Request,
    SharedAnswers,
    TextAnswer,
    TextRequest,
    ask,
)

FOOD = ChoiceRequest("Is it food?", (" Yes", " No"))
SWAPPED = ChoiceRequest("Is it food?", (" No", " Yes"))
COLD = TextRequest("Query:", 8, 0.0)
DRAWN = TextRequest("Query:", 8, 0.8, "7/1")
OTHER_DRAW = TextRequest("Query:", 8, 0.8, "7/2")
FREE = TextRequest("Query:", 8, 0.8)
POOL: list[Request] = [FOOD, SWAPPED, COLD, DRAWN, OTHER_DRAW, FREE]


class Counting:
    """Answers with how often it was asked so far; a few at a time, the last one first."""

    identity = EngineIdentity("counting", "counting", "0" * 64)

    def __init__(self, batch: int = 2) -> None:
        self.asked: list[Request] = []
        self.waiting: list[tuple[int, Answer]] = []
        self.batch = batch
        self.collected = 0
        self.closed = 0

    def submit(self, request: Request) -> int:
        if isinstance(request, TextRequest) and request.prompt == "refused":
            raise SettingError("The engine does not take this.")
        number = len(self.asked)
        self.asked.append(request)
        if isinstance(request, TextRequest):
            self.waiting.append((number, TextAnswer(str(number), 10, 1)))
        else:
            self.waiting.append((number, ChoiceAnswer((-float(number), -1.0), 10, 1)))
        return number

    def collect(self) -> list[tuple[int, Answer]]:
        self.collected += 1
        return [self.waiting.pop() for _ in range(min(self.batch, len(self.waiting)))]

    def close(self) -> None:
        self.closed += 1


def test_equal_requests_in_work_are_asked_once() -> None:
    inner = Counting()
    shared = SharedAnswers(inner)
    answers = ask(shared, [FOOD, DRAWN, FOOD, COLD, DRAWN, FOOD, COLD])
    assert inner.asked == [FOOD, DRAWN, COLD]  # and in this order
    assert [shared.asked, shared.shared] == [3, 4]
    assert answers[0] == answers[2] == answers[5] == ChoiceAnswer((-0.0, -1.0), 10, 1)
    assert answers[1] == answers[4] == TextAnswer("1", 10, 1)
    assert answers[3] == answers[6] == TextAnswer("2", 10, 1)
    # Tokens are those that the engine was paid for.
    assert [shared.prompt_tokens, shared.output_tokens] == [30, 3]


def test_answers_are_remembered() -> None:
    inner = Counting()
    shared = SharedAnswers(inner)
    first = ask(shared, [FOOD, COLD, DRAWN])
    assert ask(shared, [DRAWN, FOOD, COLD]) == [first[2], first[0], first[1]]
    assert inner.asked == [FOOD, COLD, DRAWN]
    assert shared.shared == 3


def test_what_differs_is_not_shared() -> None:
    inner = Counting()
    longer = replace(COLD, max_tokens=9)
    warmer = replace(DRAWN, temperature=0.9)
    run: list[Request] = [FOOD, SWAPPED, COLD, longer, DRAWN, OTHER_DRAW, warmer]
    assert len(set(ask(SharedAnswers(inner), run))) == len(run)
    assert inner.asked == run


def test_a_text_that_is_drawn_anew_is_asked_each_time() -> None:
    inner = Counting()
    shared = SharedAnswers(inner)
    assert len(set(ask(shared, [FREE, FREE, FREE]))) == 3
    assert len(set(ask(shared, [FREE, FREE]))) == 2
    assert inner.asked == [FREE] * 5
    assert shared.shared == 0


def test_the_answers_used_last_are_kept() -> None:
    inner = Counting()
    shared = SharedAnswers(inner, remembered=2)
    ask(shared, [FOOD])
    ask(shared, [SWAPPED])
    ask(shared, [FOOD])  # now SWAPPED is the one used longest ago
    ask(shared, [COLD])
    assert inner.asked == [FOOD, SWAPPED, COLD]
    ask(shared, [FOOD, COLD])
    assert inner.asked == [FOOD, SWAPPED, COLD]
    ask(shared, [SWAPPED])
    assert inner.asked == [FOOD, SWAPPED, COLD, SWAPPED]


@pytest.mark.parametrize("remembered", [0, 1, 30])
def test_no_more_answers_are_kept_than_allowed(remembered: int) -> None:
    shared = SharedAnswers(Counting(), remembered=remembered)
    for number in range(100):
        ask(shared, [ChoiceRequest(str(number), (" Yes", " No")), FREE])
        assert len(shared._remembered) <= remembered
    assert len(shared._remembered) == remembered
    assert not shared._in_work
    assert not shared._asked


def test_what_is_known_does_not_wait_for_the_engine() -> None:
    inner = Counting()
    shared = SharedAnswers(inner)
    ask(shared, [FOOD])
    collected = inner.collected
    slow = shared.submit(COLD)
    known = shared.submit(FOOD)
    assert [ticket for ticket, _ in shared.collect()] == [known]
    assert inner.collected == collected
    assert [ticket for ticket, _ in shared.collect()] == [slow]
    assert shared.collect() == []


@given(
    st.lists(st.sampled_from(range(len(POOL))), max_size=30),
    st.integers(0, 4),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_every_ticket_is_answered_once_with_an_answer_to_its_request(
    picks: list[int], remembered: int, batch: int, rng: random.Random
) -> None:
    inner = Counting(batch)
    shared = SharedAnswers(inner, remembered=remembered)
    todo = [POOL[pick] for pick in picks]
    asked: dict[int, Request] = {}
    answered: dict[int, Answer] = {}
    while todo or len(answered) < len(asked):
        for _ in range(rng.randint(0 if len(answered) < len(asked) else 1, 3)):
            if todo:
                request = todo.pop(0)
                asked[shared.submit(request)] = request
        ready = shared.collect()
        assert ready
        tickets = [ticket for ticket, _ in ready]
        assert tickets == sorted(tickets)
        assert not answered.keys() & set(tickets)
        answered.update(ready)
    assert list(asked) == list(range(len(picks)))
    assert answered.keys() == asked.keys()
    for ticket, answer in answered.items():
        # The engine's answer says which of its requests it is for.
        number = (
            int(answer.text)
            if isinstance(answer, TextAnswer)
            else int(-answer.log_probabilities[0])
        )
        assert inner.asked[number] == asked[ticket]
    free = [ticket for ticket, request in asked.items() if request == FREE]
    assert len({answered[ticket] for ticket in free}) == len(free)
    assert shared.asked == len(inner.asked)
    assert shared.asked + shared.shared == len(picks)


def test_recorded_inside_or_outside_the_replay_is_the_same(tmp_path: Path) -> None:
    run = [FOOD, FREE, DRAWN, FOOD, FREE, SWAPPED, DRAWN, COLD, COLD, FREE]
    inside, outside = tmp_path / "inside.jsonl", tmp_path / "outside.jsonl"
    first = SharedAnswers(RecordingEngine(Counting(), inside))
    second = RecordingEngine(SharedAnswers(Counting()), outside)
    answers = ask(first, run)
    assert ask(second, run) == answers
    first.close()
    second.close()
    assert inside.read_bytes() == outside.read_bytes()
    assert ask(ReplayEngine(inside), run) == answers
    assert ask(SharedAnswers(ReplayEngine(inside)), run) == answers


def test_a_request_that_the_engine_refuses_leaves_nothing_behind() -> None:
    shared = SharedAnswers(Counting())
    refused = TextRequest("refused", draw="1")
    for _ in range(2):
        with pytest.raises(SettingError):
            shared.submit(refused)
    assert shared.collect() == []
    assert [shared.asked, shared.shared] == [0, 0]
    assert shared.submit(FOOD) == 0


def test_answers_to_an_earlier_asker_are_passed_over() -> None:
    inner = Counting(batch=1)
    broken_off = SharedAnswers(inner)
    broken_off.submit(COLD)
    broken_off.submit(FOOD)
    assert ask(SharedAnswers(inner), [FOOD]) == [ChoiceAnswer((-2.0, -1.0), 10, 1)]


class Twice(Counting):
    """Gives every answer two times."""

    def collect(self) -> list[tuple[int, Answer]]:
        return [pair for pair in super().collect() for _ in range(2)]


def test_an_answer_given_twice_counts_once() -> None:
    shared = SharedAnswers(Twice())
    first, second = shared.submit(FOOD), shared.submit(FREE)
    assert [ticket for ticket, _ in shared.collect()] == [first, second]
    assert shared.collect() == []
    assert shared.output_tokens == 2


class Forgetful(Counting):
    """Loses the second request."""

    def submit(self, request: Request) -> int:
        ticket = super().submit(request)
        self.waiting = [pair for pair in self.waiting if pair[0] != 1]
        return ticket


def test_a_request_that_is_never_answered_is_an_error() -> None:
    shared = SharedAnswers(Forgetful())
    with pytest.raises(EngineAnswerError, match=r"no answer to 1 of 3 requests, such as 'Query:'"):
        ask(shared, [FOOD, COLD, SWAPPED])


class Malformed(Counting):
    """Gives ``bad`` to everything."""

    def __init__(self, bad: Answer) -> None:
        super().__init__()
        self.bad = bad

    def collect(self) -> list[tuple[int, Answer]]:
        return [(ticket, self.bad) for ticket, _ in super().collect()]


@pytest.mark.parametrize(
    "bad",
    [
        TextAnswer("Yes", 3, 2),
        ChoiceAnswer((), 3, 2),
        ChoiceAnswer((-1.0,), 3, 2),
        ChoiceAnswer((-1.0, -1.0, -1.0), 3, 2),
        ChoiceAnswer((float("nan"), -0.1), 3, 2),
        ChoiceAnswer((-0.1, float("-inf")), 3, 2),
    ],
)
def test_a_choice_that_is_none_is_unusable(bad: Answer) -> None:
    (answer,) = ask(SharedAnswers(Malformed(bad)), [FOOD])
    assert isinstance(answer, ChoiceAnswer)
    assert not answer.usable
    assert answer.log_probabilities == pytest.approx((-0.6931, -0.6931), abs=1e-3)
    assert (answer.prompt_tokens, answer.output_tokens) == (3, 2)


@pytest.mark.parametrize("bad", [ChoiceAnswer((-0.1, -2.0), 3, 2), TextAnswer(None, 3, 2)])  # type: ignore[arg-type]
def test_a_text_that_is_none_is_empty(bad: Answer) -> None:
    assert ask(SharedAnswers(Malformed(bad)), [FREE]) == [TextAnswer("", 3, 2)]


def test_death_is_told_and_closing_reaches_the_engine() -> None:
    class Dying(Counting):
        def collect(self) -> list[tuple[int, Answer]]:
            if self.asked:
                raise EngineUnavailableError("It died.")
            return []

    inner = Dying()
    shared = SharedAnswers(inner)
    shared.submit(FOOD)
    with pytest.raises(EngineUnavailableError):
        shared.collect()
    shared.close()
    shared.close()
    assert inner.closed == 1
    for late in (lambda: shared.submit(FOOD), shared.collect):
        with pytest.raises(EngineError, match="closed"):
            late()
