"""Servers that are wrong, busy, broken or plain, played by small ones."""

from __future__ import annotations

import itertools
import json
import math
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from footfall.errors import (
    EngineAnswerError,
    EngineMissingError,
    EngineUnavailableError,
    SettingError,
)
from footfall.simulator.engines import (
    ChoiceAnswer,
    ChoiceRequest,
    Engine,
    EngineSettings,
    LikelihoodAnswer,
    LikelihoodRequest,
    TextAnswer,
    TextRequest,
    ask,
    open_engine,
)

pytest.importorskip("openai")

Start = Callable[[Callable[[str, str, dict[str, Any]], tuple[int, str, str]]], Any]
JSON = "application/json"
MODELS = (200, JSON, json.dumps({"object": "list", "data": [{"id": "m"}, {"id": "n"}]}))
YES_NO = ChoiceRequest("Is it food?", (" Yes", " No"))


def _open(address: str, **settings: Any) -> Engine:
    given = {"model": "m", "retries": 0, **settings}
    return open_engine(EngineSettings(kind="server", address=address, **given))


def _completions(
    reply: Callable[[dict[str, Any]], tuple[int, str, str]],
) -> Callable[[str, str, dict[str, Any]], tuple[int, str, str]]:
    """A server without /tokenize that lists its models."""

    def respond(_: str, path: str, body: dict[str, Any]) -> tuple[int, str, str]:
        if path == "/v1/models":
            return MODELS
        if path == "/v1/completions":
            return reply(body)
        return 404, JSON, json.dumps({"error": {"message": "no such path"}})

    return respond


def _good(body: dict[str, Any]) -> tuple[int, str, str]:
    choice: dict[str, Any] = {"index": 0, "text": f" echo {body['prompt']} \nmore"}
    if body.get("logprobs"):
        choice["logprobs"] = {
            "top_logprobs": [{" Yes": math.log(0.6), "\n": math.log(0.3), " No": math.log(0.1)}]
        }
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    return 200, JSON, json.dumps({"choices": [choice], "usage": usage})


def test_a_plain_server_is_asked_in_plain_terms(small_server: Start) -> None:
    server = small_server(_completions(_good))
    engine = _open(server.address)
    text, choice = ask(engine, [TextRequest("tea", 8, 0.5), YES_NO])
    assert text == TextAnswer("echo tea", 7, 2)
    assert isinstance(choice, ChoiceAnswer)
    assert [math.exp(value) for value in choice.log_probabilities] == pytest.approx([6 / 7, 1 / 7])
    assert choice.usable
    engine.close()
    asked = [body for path, body in server.requests if path == "/v1/completions"]
    known = {"model", "prompt", "max_tokens", "temperature", "stop", "logprobs"}
    assert all(set(body) <= known for body in asked)
    (plain,) = [body for body in asked if "logprobs" not in body]  # they arrive in any order
    assert plain == {
        "model": "m",
        "prompt": "tea",
        "max_tokens": 8,
        "temperature": 0.5,
        "stop": ["\n"],
    }


def test_the_likelihood_of_a_text_is_that_of_the_repeated_prompts_end(small_server: Start) -> None:
    def reply(body: dict[str, Any]) -> tuple[int, str, str]:
        text = body["prompt"]
        assert (body["echo"], body["max_tokens"]) == (True, 0)
        if "silent" in text:
            return 200, JSON, json.dumps({"choices": [{"text": ""}]})
        # A token every four signs, each with the log-probability of its place.
        offsets = list(range(0, len(text), 4))
        values = [None, *(-float(place) for place in range(1, len(offsets)))]
        told = {"text_offset": offsets, "token_logprobs": values}
        return 200, JSON, json.dumps({"choices": [{"text": text, "logprobs": told}]})

    engine = _open(small_server(_completions(reply)).address)
    answers = ask(
        engine,
        [
            LikelihoodRequest("12345678", "abcdefgh"),
            LikelihoodRequest("123456", "78abcdefgh"),
            LikelihoodRequest("", "abc"),
            LikelihoodRequest("silent", "abc"),
        ],
    )
    assert answers[0] == LikelihoodAnswer(-5.0, 0, 0)
    # A token that the continuation begins in counts as its own.
    assert answers[1] == LikelihoodAnswer(-6.0, 0, 0)
    # Of the very first token no server tells a probability.
    assert answers[2] == LikelihoodAnswer(0.0, 0, 0, usable=False)
    assert answers[3] == LikelihoodAnswer(0.0, 0, 0, usable=False)
    engine.close()


def test_a_vllm_server_is_asked_for_the_options_tokens(small_server: Start) -> None:
    def respond(_: str, path: str, body: dict[str, Any]) -> tuple[int, str, str]:
        if path == "/tokenize":
            ids = [ord(letter) for letter in body["prompt"]]
            return 200, JSON, json.dumps({"count": len(ids), "max_model_len": 64, "tokens": ids})
        if path == "/v1/completions":
            top = {f"token_id:{token}": -1.0 * token for token in body["logprob_token_ids"]}
            choice = {"text": "?", "logprobs": {"top_logprobs": [top]}}
            return 200, JSON, json.dumps({"choices": [choice]})
        return MODELS

    server = small_server(respond)
    engine = _open(server.address)
    (answer,) = ask(engine, [ChoiceRequest("p", ("b", "a"))])
    assert isinstance(answer, ChoiceAnswer)
    low = 1 / (1 + math.e)
    assert [math.exp(value) for value in answer.log_probabilities] == pytest.approx([low, 1 - low])
    with pytest.raises(SettingError, match="begin with the same token"):
        engine.submit(ChoiceRequest("p", ("ab", "ac")))
    engine.close()
    (body,) = [body for path, body in server.requests if path == "/v1/completions"]
    assert body["allowed_token_ids"] == [ord("b"), ord("a")]
    assert body["truncation_side"] == "left"


def test_options_out_of_sight_make_an_unusable_choice(small_server: Start) -> None:
    def reply(_: dict[str, Any]) -> tuple[int, str, str]:
        choice = {"text": "x", "logprobs": {"top_logprobs": [{" Maybe": -0.1, "?": -3.0}]}}
        return 200, JSON, json.dumps({"choices": [choice]})

    engine = _open(small_server(_completions(reply)).address)
    (answer,) = ask(engine, [YES_NO])
    assert answer == ChoiceAnswer((-math.log(2),) * 2, 0, 0, usable=False)
    engine.close()


NONSENSE = {
    "no JSON": (200, "text/html", "<html>Welcome</html>"),
    "JSON of another kind": (200, JSON, "[1, 2]"),
    "nothing": (200, JSON, ""),
    "no choices": (200, JSON, '{"choices": []}'),
    "choices of another kind": (200, JSON, '{"choices": [{"text": 5, "logprobs": 5}]}'),
    "null": (200, JSON, '{"choices": [{"text": null, "logprobs": null}]}'),
    "no numbers": (
        200,
        JSON,
        '{"choices": [{"text": null, "logprobs": {"top_logprobs": [{"a": "b"}]}}]}',
    ),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_counted_and_then_named(small_server: Start, kind: str) -> None:
    server = small_server(_completions(lambda _: NONSENSE[kind]))
    engine = _open(server.address)
    answers = ask(engine, [TextRequest("p"), YES_NO])
    assert answers[0] == TextAnswer("", 0, 0)
    assert isinstance(answers[1], ChoiceAnswer)
    assert not answers[1].usable
    assert getattr(engine, "malformed_answers") == 2  # noqa: B009  (not part of the protocol)
    with pytest.raises(EngineAnswerError, match=r"The first 20 answers .* were no completions"):
        ask(engine, [TextRequest("p")] * 18)
    with pytest.raises(EngineAnswerError, match="The first 20 answers"):
        engine.submit(YES_NO)
    engine.close()


def test_one_good_answer_among_nonsense_keeps_the_engine(small_server: Start) -> None:
    turn = itertools.count()

    def reply(body: dict[str, Any]) -> tuple[int, str, str]:
        return _good(body) if next(turn) == 0 else NONSENSE["no choices"]

    engine = _open(small_server(_completions(reply)).address, max_concurrent=1)
    answers = ask(engine, [TextRequest("p")] * 40)
    assert len(answers) == 40
    assert getattr(engine, "malformed_answers") == 39  # noqa: B009
    engine.close()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(small_server: Start, status: int) -> None:
    turn = itertools.count()

    def reply(body: dict[str, Any]) -> tuple[int, str, str]:
        if next(turn) == 0:
            return status, JSON, json.dumps({"error": {"message": "busy"}})
        return _good(body)

    engine = _open(small_server(_completions(reply)).address, retries=2)
    assert ask(engine, [TextRequest("p")]) == [TextAnswer("echo p", 7, 2)]
    engine.close()


@pytest.mark.parametrize("status", [429, 500])
def test_a_server_that_stays_broken_is_named(small_server: Start, status: int) -> None:
    body = json.dumps({"error": {"message": "out of order"}})
    server = small_server(_completions(lambda _: (status, JSON, body)))
    engine = _open(server.address, retries=1)
    engine.submit(TextRequest("p"))
    with pytest.raises(EngineUnavailableError, match="out of order") as caught:
        engine.collect()
    assert server.address in caught.value.message
    assert caught.value.hint
    assert sum(path == "/v1/completions" for path, _ in server.requests) == 2
    with pytest.raises(EngineUnavailableError):
        engine.collect()
    engine.close()


def test_a_refused_request_is_named(small_server: Start) -> None:
    body = json.dumps({"error": {"message": "prompt too long"}})
    engine = _open(small_server(_completions(lambda _: (400, JSON, body))).address)
    engine.submit(TextRequest("p"))
    with pytest.raises(EngineAnswerError, match="prompt too long"):
        engine.collect()
    engine.close()


def test_a_refused_key_names_its_variable(
    small_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", "secret-value")
    body = json.dumps({"error": {"message": "bad key"}})
    engine = _open(
        small_server(_completions(lambda _: (401, JSON, body))).address, api_key_env="SHOP_KEY"
    )
    engine.submit(TextRequest("p"))
    with pytest.raises(SettingError, match="bad key") as caught:
        engine.collect()
    assert "SHOP_KEY" in caught.value.hint
    assert "secret-value" not in str(caught.value)
    engine.close()


def test_a_wrong_model_lists_the_served_ones(small_server: Start) -> None:
    server = small_server(_completions(_good))
    with pytest.raises(EngineMissingError, match="it serves m, n") as caught:
        _open(server.address, model="other")
    assert "model: m" in caught.value.hint


def test_a_model_refused_where_none_are_listed(small_server: Start) -> None:
    def respond(_: str, path: str, body: dict[str, Any]) -> tuple[int, str, str]:
        return 404, JSON, json.dumps({"error": {"message": f"nothing at {path}"}})

    engine = _open(small_server(respond).address)
    engine.submit(TextRequest("p"))
    with pytest.raises(EngineMissingError, match="does not tell which it serves"):
        engine.collect()
    engine.close()


def test_a_server_for_chat_only_is_named(small_server: Start) -> None:
    body = json.dumps({"error": {"message": "no such path"}})
    engine = _open(small_server(_completions(lambda _: (404, JSON, body))).address)
    engine.submit(TextRequest("p"))
    with pytest.raises(EngineAnswerError, match="offers no completions"):
        engine.collect()
    engine.close()


def test_nobody_at_the_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(EngineUnavailableError, match=address) as caught:
        _open(address)
    assert "Start it" in caught.value.hint


def test_no_more_requests_than_allowed_at_a_time(small_server: Start) -> None:
    lock = threading.Lock()
    now = most = 0
    both = threading.Event()

    def reply(body: dict[str, Any]) -> tuple[int, str, str]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == 2:
                both.set()
        both.wait(10)
        with lock:
            now -= 1
        return _good(body)

    engine = _open(small_server(_completions(reply)).address, max_concurrent=2)
    assert len(ask(engine, [TextRequest(str(number)) for number in range(12)])) == 12
    assert most == 2
    engine.close()


def test_closing_leaves_no_thread_and_does_not_wait(small_server: Start) -> None:
    hold = threading.Event()

    def reply(body: dict[str, Any]) -> tuple[int, str, str]:
        hold.wait(30)
        return _good(body)

    engine = _open(small_server(_completions(reply)).address)
    for _ in range(5):
        engine.submit(TextRequest("p"))
    engine.close()
    names = {thread.name for thread in threading.enumerate()}
    assert "footfall-server-client" not in names
    hold.set()


def test_identity_depends_on_address_and_model(small_server: Start) -> None:
    first, second = small_server(_completions(_good)), small_server(_completions(_good))
    engines = [_open(first.address), _open(first.address, model="n"), _open(second.address)]
    assert len({engine.identity.model_hash for engine in engines}) == 3
    assert {engine.identity.kind for engine in engines} == {"server"}
    for engine in engines:
        engine.close()
