"""What every engine does alike."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from footfall.errors import EngineError, EngineMissingError, EngineUnavailableError, SettingError
from footfall.simulator.engines import (
    ChoiceAnswer,
    ChoiceRequest,
    Engine,
    EngineSettings,
    LikelihoodAnswer,
    LikelihoodRequest,
    RecordingEngine,
    Request,
    ScriptedEngine,
    SharedAnswers,
    TextAnswer,
    TextRequest,
    ask,
    open_engine,
)

YES_NO = (" Yes", " No")
CHOICES: list[Request] = [
    ChoiceRequest(f"Answer Yes or No.\nItem: {item}\nIs it food?", YES_NO)
    for item in ("bread", "hammer", "milk", "soap")
]
TEXTS: list[Request] = [
    TextRequest(f"Looking for: pizza\nQuery: pizza\nLooking for: {wanted}\nQuery:", 8)
    for wanted in ("dog food", "white bread", "tea")
]
LIKELIHOODS: list[Request] = [
    LikelihoodRequest(f"Looking for: pizza\nQuery: pizza\nLooking for: {wanted}\nQuery:", typed)
    for wanted in ("dog food", "white bread")
    for typed in (" dog food\n", " white bread\n")
]
CHINESE: list[Request] = [
    LikelihoodRequest("想找: 狗粮\n搜索词: 狗粮\n想找: 白面包\n搜索词:", "白面包\n"),
    ChoiceRequest("商品是否适合这位顾客？回答是或否。\n商品: 面包\n适合：", ("是", "否")),
    TextRequest("想找: 狗粮\n搜索词: 狗粮\n想找: 白面包\n搜索词:", 8),
]
ODD: list[Request] = [
    ChoiceRequest("", YES_NO),
    TextRequest("", 1),
    LikelihoodRequest("", " bread"),
    LikelihoodRequest("🛒 \x85 \u2028 emoji and odd line ends:", "🛒🥖"),
    TextRequest("One\nTwo\nThree\n", 8, 0.0),
    ChoiceRequest("One option:", (" only",)),
    ChoiceRequest("Many:", (" red", " green", " blue", " black", " white", " pink", " gold")),
    TextRequest("🛒 \x85 \u2028 emoji and odd line ends:", 4),
]
LONG: list[Request] = [
    ChoiceRequest("word " * 3000 + "Is it food?", YES_NO),
    TextRequest("word " * 3000 + "\nQuery:", 4),
    LikelihoodRequest("word " * 3000 + "\nQuery:", " bread and butter\n"),
]
REPEATED: list[Request] = [CHOICES[0], TEXTS[0], CHOICES[0], TEXTS[0], TEXTS[0]]
EVERYTHING = CHOICES + TEXTS + LIKELIHOODS + CHINESE + ODD + LONG + REPEATED


def _recording(folder: Path) -> Path:
    path = folder / "contract.jsonl"
    engine = RecordingEngine(ScriptedEngine(3), path)
    # Each test may ask any request once more than the others did.
    for _ in range(20):
        ask(engine, EVERYTHING)
    engine.close()
    return path


def _open(kind: str, request: pytest.FixtureRequest, folder: Path) -> Engine:
    match kind:
        case "vllm":
            model = request.getfixturevalue("bundled_model")
            settings = EngineSettings(
                model=model,
                max_concurrent=16,
                kv_cache_gb=0.5,
                max_model_len=256,
                dtype="float32",
            )
        case "server":
            server = request.getfixturevalue("vllm_server")
            settings = EngineSettings(
                kind="server", model=server.model, address=server.address, max_concurrent=8
            )
        case "replay":
            settings = EngineSettings(kind="replay", recording=_recording(folder))
        case "recording":
            settings = EngineSettings(kind="scripted", recording=folder / "new.jsonl")
        case "shared":
            return SharedAnswers(RecordingEngine(ScriptedEngine(), folder / "new.jsonl"))
        case _:
            settings = EngineSettings(kind="scripted")
    return open_engine(settings)


@pytest.fixture(
    scope="module",
    params=[
        "scripted",
        "replay",
        "recording",
        "shared",
        pytest.param("vllm", marks=pytest.mark.engine),
        pytest.param("server", marks=pytest.mark.engine),
    ],
)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    opened = _open(request.param, request, tmp_path_factory.mktemp("engine"))
    yield opened
    opened.close()


def test_says_what_answers(engine: Engine) -> None:
    assert isinstance(engine, Engine)
    identity = engine.identity
    assert identity.kind
    assert identity.model
    assert len(identity.model_hash) == 64
    assert engine.identity == identity


def test_nothing_queued_gives_nothing(engine: Engine) -> None:
    assert engine.collect() == []


def test_tickets_rise_and_each_is_answered_once(engine: Engine) -> None:
    tickets = [engine.submit(request) for request in CHOICES + TEXTS]
    assert tickets == list(range(tickets[0], tickets[0] + len(tickets)))
    answered: list[int] = []
    while len(answered) < len(tickets):
        ready = engine.collect()
        assert ready
        batch = [ticket for ticket, _ in ready]
        assert batch == sorted(batch)
        answered += batch
    assert sorted(answered) == tickets
    assert engine.collect() == []


def test_requests_join_those_in_work(engine: Engine) -> None:
    kinds: dict[int, type] = {}
    waiting = list(CHOICES + TEXTS + LIKELIHOODS)
    forms = {TextRequest: TextAnswer, ChoiceRequest: ChoiceAnswer}
    random.Random(1).shuffle(waiting)
    got: dict[int, Any] = {}
    while waiting or len(got) < len(kinds):
        for request in waiting[:2]:
            kinds[engine.submit(request)] = forms.get(type(request), LikelihoodAnswer)
        del waiting[:2]
        got.update(engine.collect())
    assert {ticket: type(answer) for ticket, answer in got.items()} == kinds


@pytest.mark.parametrize("request_", CHOICES + LIKELIHOODS + CHINESE + ODD + LONG)
def test_answers_are_in_form(engine: Engine, request_: Request) -> None:
    (answer,) = ask(engine, [request_])
    assert answer.prompt_tokens >= 0
    assert answer.output_tokens >= 0
    if isinstance(request_, ChoiceRequest):
        assert isinstance(answer, ChoiceAnswer)
        assert answer.usable
        assert len(answer.log_probabilities) == len(request_.options)
        assert all(value <= 1e-9 for value in answer.log_probabilities)
        assert math.fsum(math.exp(value) for value in answer.log_probabilities) == pytest.approx(1)
    elif isinstance(request_, LikelihoodRequest):
        assert isinstance(answer, LikelihoodAnswer)
        assert answer.usable
        assert answer.log_probability <= 0
    else:
        assert isinstance(answer, TextAnswer)
        assert answer.text == answer.text.strip()
        assert len(answer.text.splitlines()) <= 1
        assert answer.output_tokens <= request_.max_tokens


def test_answers_belong_to_their_requests(engine: Engine) -> None:
    """Alone or among others, in any order: the same choice, up to rounding."""
    together = ask(engine, CHOICES)
    backwards = list(reversed(ask(engine, list(reversed(CHOICES)))))
    alone = [ask(engine, [request])[0] for request in CHOICES]
    for first, second, third in zip(together, backwards, alone, strict=True):
        assert isinstance(first, ChoiceAnswer)
        assert isinstance(second, ChoiceAnswer)
        assert isinstance(third, ChoiceAnswer)
        assert first.log_probabilities == pytest.approx(second.log_probabilities, abs=0.01)
        assert first.log_probabilities == pytest.approx(third.log_probabilities, abs=0.01)
    # They are different questions, and get different answers.
    assert len({answer.log_probabilities for answer in together}) == len(CHOICES)  # type: ignore[union-attr]


def test_likelihoods_are_those_of_their_own_text(engine: Engine) -> None:
    together = ask(engine, LIKELIHOODS)
    backwards = list(reversed(ask(engine, list(reversed(LIKELIHOODS)))))
    values = [answer.log_probability for answer in together]  # type: ignore[union-attr]
    again = [answer.log_probability for answer in backwards]  # type: ignore[union-attr]
    assert values == pytest.approx(again, abs=0.05)
    assert len(set(values)) == len(values)
    if engine.identity.kind in {"vllm", "server"}:
        # Who looks for dog food types "dog food" rather than somebody who wants bread.
        dog, other, wrong, bread = values
        assert dog > wrong + 1
        assert bread > other + 1


def test_order_of_the_options_is_the_order_of_the_answers(engine: Engine) -> None:
    if engine.identity.kind in {"replay"}:
        pytest.skip("the swapped options were not recorded")
    prompt = CHOICES[0].prompt
    straight, swapped = ask(
        engine, [ChoiceRequest(prompt, YES_NO), ChoiceRequest(prompt, YES_NO[::-1])]
    )
    assert isinstance(straight, ChoiceAnswer)
    assert isinstance(swapped, ChoiceAnswer)
    assert straight.log_probabilities == pytest.approx(swapped.log_probabilities[::-1], abs=0.01)


def test_identical_requests_are_each_answered(engine: Engine) -> None:
    answers = ask(engine, REPEATED)
    assert len(answers) == len(REPEATED)
    assert isinstance(answers[0], ChoiceAnswer)
    assert isinstance(answers[2], ChoiceAnswer)
    assert answers[0].log_probabilities == pytest.approx(answers[2].log_probabilities, abs=0.01)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (ChoiceRequest("p", ()), "no options"),
        (ChoiceRequest("p", (" a", "")), "empty"),
        (ChoiceRequest("p", (" a", " a")), "repeated"),
        (LikelihoodRequest("p", ""), "continuation"),
        (TextRequest("p", 0), "max_tokens"),
        (TextRequest("p", 4, -0.1), "temperature"),
        (TextRequest("p", 4, math.nan), "temperature"),
    ],
)
def test_impossible_requests_are_refused(engine: Engine, bad: Request, word: str) -> None:
    with pytest.raises(SettingError, match=word) as caught:
        engine.submit(bad)
    assert caught.value.hint
    assert engine.collect() == []  # and nothing of it stays


def test_closing_twice_is_harmless_and_use_after_is_an_error(engine: Engine) -> None:
    """Stands last of those with this engine: it is closed after."""
    engine.submit(CHOICES[0])
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.submit(CHOICES[0])
    with pytest.raises(EngineError, match="closed"):
        engine.collect()


@pytest.mark.engine
def test_vllm_server_lists_its_models_for_a_wrong_name(vllm_server: Any) -> None:
    with pytest.raises(EngineMissingError, match="it serves bundled") as caught:
        open_engine(EngineSettings(kind="server", model="other", address=vllm_server.address))
    assert "model: bundled" in caught.value.hint


@pytest.mark.engine
def test_vllm_server_refuses_options_that_begin_alike(vllm_server: Any) -> None:
    engine = open_engine(
        EngineSettings(kind="server", model=vllm_server.model, address=vllm_server.address)
    )
    with pytest.raises(SettingError, match=r"' Yes' and ' Yes!' begin with the same token"):
        engine.submit(ChoiceRequest("p", (" Yes", " Yes!")))
    engine.close()


@pytest.mark.engine
def test_a_server_that_dies_at_work_is_named(vllm_server: Any) -> None:
    """Stands last: it kills the server."""
    engine = open_engine(
        EngineSettings(
            kind="server", model=vllm_server.model, address=vllm_server.address, retries=1
        )
    )
    try:
        for number in range(40):
            engine.submit(TextRequest(f"{number} A long story:", 200))
        time.sleep(1)
        vllm_server.kill()
        with pytest.raises(EngineUnavailableError, match=vllm_server.address) as caught:
            _collect_for_ever(engine.collect)
        assert "Start it" in caught.value.hint
        assert caught.value.retryable
        with pytest.raises(EngineUnavailableError):
            engine.submit(CHOICES[0])
    finally:
        engine.close()
    with pytest.raises(EngineUnavailableError, match=vllm_server.address):
        open_engine(
            EngineSettings(
                kind="server", model=vllm_server.model, address=vllm_server.address, retries=0
            )
        )


def _collect_for_ever(collect: Callable[[], list[Any]]) -> None:
    while collect():
        pass
