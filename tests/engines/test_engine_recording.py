"""Recordings: what goes in comes out, and damage is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import EngineUnavailableError, RecordingError
from footfall.simulator.engines import (
    Answer,
    ChoiceAnswer,
    ChoiceRequest,
    EngineIdentity,
    EngineSettings,
    RecordingEngine,
    ReplayEngine,
    Request,
    ScriptedEngine,
    TextAnswer,
    TextRequest,
    ask,
    open_engine,
)
from footfall.simulator.engines.recording import (
    answer_line,
    header_line,
    read_recording,
    request_key,
)

WHO = EngineIdentity("vllm", "模型", "0" * 64)
YES = ChoiceRequest("Is it food?", (" Yes", " No"))
TEXT = TextRequest("Query:")

# All of Unicode, halves of surrogate pairs and every kind of line end included.
texts = st.text(st.characters(codec=None, categories=None), max_size=30)
text_requests = st.builds(
    TextRequest, texts, st.integers(1, 64), st.floats(0, 2) | st.integers(0, 2), texts
)
choice_requests = st.builds(
    ChoiceRequest,
    texts,
    st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True).map(tuple),
)
counts = st.integers(0, 10**6)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Request, Answer]:
    request = draw(text_requests | choice_requests)
    if isinstance(request, TextRequest):
        return request, TextAnswer(draw(texts), draw(counts), draw(counts))
    size = len(request.options)
    values = draw(st.lists(st.floats(max_value=0), min_size=size, max_size=size))
    return request, ChoiceAnswer(tuple(values), draw(counts), draw(counts), draw(st.booleans()))


class Numbered:
    """Answers texts with "1", "2", ... in the order of its own tickets, the last one first."""

    def __init__(self) -> None:
        self.identity = WHO
        self.asked: list[Request] = []
        self.queue: list[tuple[int, Answer]] = []
        self.closed = 0
        self.fail_after = 10**9

    def submit(self, request: Request) -> int:
        self.asked.append(request)
        number = len(self.asked)
        answer: Answer = TextAnswer(str(number), 1, 1)
        if isinstance(request, ChoiceRequest):
            answer = ChoiceAnswer((-0.5,) * len(request.options), number, 1)
        self.queue.append((number, answer))
        return number

    def collect(self) -> list[tuple[int, Answer]]:
        if len(self.asked) > self.fail_after:
            raise EngineUnavailableError("It died.")
        return [self.queue.pop()] if self.queue else []

    def close(self) -> None:
        self.closed += 1


@given(st.lists(pairs(), max_size=6))
@settings(deadline=None)
def test_every_line_comes_back(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[Request, Answer]]
) -> None:
    path = tmp_path_factory.mktemp("lines") / "r.jsonl"
    lines = [answer_line(request, index, answer) for index, (request, answer) in enumerate(entries)]
    path.write_bytes(b"".join([header_line(WHO), *lines]))
    identity, answers, size = read_recording(path)
    assert identity == WHO
    assert size == path.stat().st_size
    assert len(answers) == len(entries)
    for index, (request, answer) in enumerate(entries):
        assert answers[request_key(request), index] == answer


@given(text_requests | choice_requests, text_requests | choice_requests)
def test_keys_tell_requests_apart(first: Request, second: Request) -> None:
    assert (request_key(first) == request_key(second)) == (first == second)


@given(st.lists(st.integers(0, 3), max_size=12), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_replay_repeats_a_run_whatever_the_order_of_answers(
    tmp_path_factory: pytest.TempPathFactory, picks: list[int], random: object
) -> None:
    pool: list[Request] = [TEXT, TextRequest("Other:"), YES, TextRequest("Query:", 16, 0.0)]
    run = [pool[pick] for pick in picks]
    path = tmp_path_factory.mktemp("run") / "r.jsonl"
    recorder = RecordingEngine(Numbered(), path)
    recorded = ask(recorder, run)
    recorder.close()
    assert ask(ReplayEngine(path), run) == recorded
    # Submitted in pieces, each request still gets the answer of its own n-th submission.
    replay = ReplayEngine(path)
    assert [ask(replay, [request])[0] for request in run] == recorded


def test_choices_are_asked_once_and_texts_each_time(tmp_path: Path) -> None:
    inner = Numbered()
    engine = RecordingEngine(inner, tmp_path / "r.jsonl")
    frozen = TextRequest("Query:", 16, 0.0)
    answers = ask(engine, [YES, TEXT, YES, TEXT, frozen, frozen])
    assert inner.asked == [YES, TEXT, TEXT, frozen]
    assert answers[0] == answers[2]
    assert [answers[1].text, answers[3].text] == ["2", "3"]  # type: ignore[union-attr]
    assert answers[4] == answers[5]
    assert ask(engine, [YES]) == [answers[0]]
    assert inner.asked == [YES, TEXT, TEXT, frozen]
    engine.close()
    assert inner.closed == 1


def test_texts_of_different_draws_are_replayed_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    run = [TextRequest("Query:", draw=name) for name in "abc"]
    engine = RecordingEngine(Numbered(), path)
    recorded = dict(zip("abc", ask(engine, run), strict=True))
    engine.close()
    assert len({answer.text for answer in recorded.values()}) == 3  # type: ignore[union-attr]
    for name in "cab":
        assert ask(ReplayEngine(path), [TextRequest("Query:", draw=name)]) == [recorded[name]]


def test_an_answer_is_on_disk_before_it_is_returned(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    engine = RecordingEngine(Numbered(), path)
    ask(engine, [YES])
    _, answers, _ = read_recording(path)
    assert (request_key(YES), 0) in answers
    engine.close()


def test_an_interrupted_recording_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    first = Numbered()
    engine = RecordingEngine(first, path)
    done = ask(engine, [YES, TEXT])
    engine.submit(TextRequest("never answered"))
    engine.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"request":{"prompt":"torn of')
    assert list(ask(ReplayEngine(path), [YES, TEXT])) == list(done)
    second = Numbered()
    engine = RecordingEngine(second, path)
    assert path.read_bytes() == whole  # the torn line is gone
    assert list(ask(engine, [YES, TEXT])) == list(done)
    assert second.asked == []
    ask(engine, [TextRequest("never answered")])
    assert second.asked == [TextRequest("never answered")]
    engine.close()
    assert ask(ReplayEngine(path), [TextRequest("never answered")])


@pytest.mark.parametrize("cut", [0, 1, 10])
def test_a_recording_cut_in_its_first_line_begins_anew(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(header_line(WHO)[:cut])
    with pytest.raises(RecordingError, match="empty"):
        ReplayEngine(path)
    RecordingEngine(Numbered(), path).close()
    assert path.read_bytes() == header_line(WHO)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_cut_anywhere_a_recording_can_be_continued(
    tmp_path_factory: pytest.TempPathFactory, where: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "r.jsonl"
    requests: list[Request] = [YES, TEXT, TextRequest("顾客:"), TEXT]
    engine = RecordingEngine(ScriptedEngine(), path)
    expected = ask(engine, requests)
    engine.close()
    content = path.read_bytes()
    path.write_bytes(content[: where % (len(content) + 1)])
    engine = RecordingEngine(ScriptedEngine(), path)
    assert ask(engine, requests) == expected
    engine.close()
    assert ask(ReplayEngine(path), requests) == expected


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        "{}",
        '{"request":{"prompt":"p","options":["a","b"]},"occurrence":0,'
        '"answer":{"log_probabilities":[-1.0],"prompt_tokens":1,"output_tokens":1}}',
        '{"request":{"prompt":"p","max_tokens":1,"temperature":1},"occurrence":0,'
        '"answer":{"text":7,"prompt_tokens":1,"output_tokens":1}}',
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r.jsonl"
    good = answer_line(YES, 0, ChoiceAnswer((-0.5, -1.0), 1, 1))
    path.write_bytes(header_line(WHO) + good + line.encode() + b"\n" + good)
    for opened in (ReplayEngine, lambda path: RecordingEngine(Numbered(), path)):
        with pytest.raises(RecordingError, match="damaged in line 3") as caught:
            opened(path)
        assert caught.value.hint


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        ReplayEngine(tmp_path / "missing.jsonl")
    with pytest.raises(RecordingError, match="cannot be read"):
        ReplayEngine(tmp_path)
    path = tmp_path / "other.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(RecordingError, match="is not a recording"):
        ReplayEngine(path)
    with pytest.raises(RecordingError, match="is not a recording"):
        RecordingEngine(Numbered(), path)
    assert path.read_text() == '{"a": 1}\n'
    path.write_text('{"footfall_recording": 99}\n')
    with pytest.raises(RecordingError, match="version 99"):
        ReplayEngine(path)


def test_models_are_not_mixed_in_one_recording(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    RecordingEngine(ScriptedEngine(1), path).close()
    with pytest.raises(RecordingError, match="this engine is scripted"):
        RecordingEngine(ScriptedEngine(2), path)


def test_two_cannot_record_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    engine = RecordingEngine(Numbered(), path)
    with pytest.raises(RecordingError, match="is recording to"):
        RecordingEngine(Numbered(), path)
    engine.close()
    RecordingEngine(Numbered(), path).close()


def test_a_request_that_was_not_recorded_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    engine = RecordingEngine(Numbered(), path)
    ask(engine, [TEXT, YES])
    engine.close()
    replay = ReplayEngine(path)
    assert replay.identity == EngineIdentity("replay", WHO.model, WHO.model_hash)
    ask(replay, [TEXT, YES, YES])
    with pytest.raises(RecordingError, match=r"for the 2\. time to the request 'Query:'"):
        replay.submit(TEXT)
    with pytest.raises(RecordingError, match="no answer to the request 'xxx") as caught:
        replay.submit(TextRequest("x" * 500))
    assert len(str(caught.value)) < 500
    assert "record anew" in caught.value.hint


def test_an_engine_that_dies_leaves_its_recording_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    inner = Numbered()
    engine = RecordingEngine(inner, path)
    ask(engine, [TEXT])
    inner.fail_after = 1
    engine.submit(TEXT)
    with pytest.raises(EngineUnavailableError):
        engine.collect()
    engine.close()
    assert len(ask(ReplayEngine(path), [TEXT])) == 1


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot be written"):
        RecordingEngine(Numbered(), tmp_path / "file" / "r.jsonl")


def test_settings_record_and_replay(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.jsonl"
    engine = open_engine(EngineSettings(kind="scripted", recording=path))
    assert isinstance(engine, RecordingEngine)
    answers = ask(engine, [TEXT, YES])
    engine.close()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[0]["footfall_recording"] == 1
    assert len(lines) == 3
    replay = open_engine(EngineSettings(kind="replay", recording=path))
    assert ask(replay, [TEXT, YES]) == answers
