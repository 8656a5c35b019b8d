"""Targets of this process: what they answer is checked; faults; names."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import target_shop as shop
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from target_shop import ask

from footfall.errors import SettingError, TargetError
from footfall.personas.persona import Persona
from footfall.simulator.targets import AnsweredPage, PageRequest, TargetClient
from footfall.simulator.targets.adapters import as_target
from footfall.simulator.targets.faults import Faults, FaultyClient
from footfall.simulator.targets.in_process import InProcessClient
from footfall.simulator.targets.latency import latency_probe
from footfall.simulator.targets.registry import open_target, target_names


class Says:
    """A target that answers whatever it is told to."""

    name = "says"

    def __init__(self, answer: Any) -> None:
        self.said = answer

    def answer(self, requests: Sequence[PageRequest]) -> Any:
        if isinstance(self.said, BaseException):
            raise self.said
        return self.said(requests) if callable(self.said) else self.said


def test_repeats_are_dropped_and_pages_are_cut() -> None:
    client = InProcessClient(Says([["a", "b", "a", "c"], ("d",), []]))
    pages = client.ask([ask(limit=2), ask(), ask()])
    assert [page.item_ids for page in pages] == [("a", "b"), ("d",), ()]
    assert [page.failure for page in pages] == [None] * 3
    assert client.problems == []


@pytest.mark.parametrize(
    ("answer", "failures"),
    [
        ([["a"], [1]], [None, "malformed"]),
        ([["a"], "bc"], [None, "malformed"]),
        ([None, ["a"]], ["malformed", None]),
        ([["a"], {"b": 1}], [None, "malformed"]),
        ([["a"]], ["malformed"] * 2),
        ([["a"]] * 3, ["malformed"] * 2),
        ("ab", ["malformed"] * 2),
        (None, ["malformed"] * 2),
        (7, ["malformed"] * 2),
        (ValueError("no"), ["error"] * 2),
        (SystemExit(3), ["error"] * 2),
        (RecursionError(), ["error"] * 2),
    ],
)
def test_wrong_answers_are_failed_pages(answer: Any, failures: list[str | None]) -> None:
    client = InProcessClient(Says(answer))
    pages = client.ask([ask(), ask()])
    assert [page.failure for page in pages] == failures
    assert all(page.item_ids == () for page in pages if page.failure)
    assert len(client.problems) == 1


def test_an_error_is_noted_once_with_its_place_and_the_first_traceback() -> None:
    client = InProcessClient(Says(ValueError("no such index\nand more")))
    client.ask([ask()])
    client.ask([ask()])
    (problem,) = client.problems
    assert problem.startswith("ValueError: no such index, in answer (")
    assert "Traceback" in client.first_traceback
    assert "and more" in client.first_traceback


def test_an_answer_that_fails_while_it_is_read_is_an_error() -> None:
    class Lazy(Sequence[str]):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, place: Any) -> Any:
            raise OSError("gone")

        def __repr__(self) -> str:
            raise OSError("gone")

    assert InProcessClient(Says([Lazy()])).ask([ask()])[0].failure == "error"
    assert InProcessClient(Says([[Lazy()]])).ask([ask()])[0].failure == "malformed"


def test_a_late_answer_costs_the_timeout() -> None:
    def late(requests: Sequence[PageRequest]) -> list[list[str]]:
        time.sleep(0.1)
        return [["a"] for _ in requests]

    client = InProcessClient(Says(late), timeout=0.02)
    assert client.ask([ask()]) == [AnsweredPage((), 0.02, "timeout")]
    # Each of twenty pages takes a twentieth of their batch.
    assert {page.failure for page in client.ask([ask()] * 20)} == {None}


def test_a_target_cannot_change_what_was_asked() -> None:
    asked = [ask(), ask("tea")]
    client = InProcessClient(Says(lambda requests: requests.clear()))
    assert [page.failure for page in client.ask(asked)] == ["error"] * 2
    assert len(asked) == 2


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@given(answer=JSON_LIKE, limit=st.integers(1, 3))
def test_any_answer_gives_usable_pages_or_failures(answer: Any, limit: int) -> None:
    pages = InProcessClient(Says(answer)).ask([ask(limit=limit), ask(limit=limit)])
    assert len(pages) == 2
    for page in pages:
        assert len(page.item_ids) == len(set(page.item_ids)) <= limit
        assert all(isinstance(item_id, str) for item_id in page.item_ids)
        assert page.failure in (None, "malformed")
        assert not (page.failure and page.item_ids)
        pa.array(page.item_ids, pa.string())


def test_a_target_without_fit_does_not_learn_and_one_that_fails_to_says_why() -> None:
    assert not InProcessClient(Says([])).fit(shop.items(), shop.events())

    class Broken(Says):
        def fit(self, items: pa.Table, events: pa.Table) -> None:
            raise KeyError("price")

    with pytest.raises(TargetError, match=r"says cannot learn from 150 items.*KeyError: 'price'"):
        InProcessClient(Broken([])).fit(shop.items(), shop.events())


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
def test_a_timeout_that_is_no_time_is_refused(timeout: float) -> None:
    with pytest.raises(SettingError, match="timeout"):
        InProcessClient(Says([]), timeout=timeout)


def test_the_probe_measures_single_pages_and_pages_a_second() -> None:
    def answer(requests: Sequence[PageRequest]) -> list[list[str]]:
        time.sleep(0.01)  # a batch takes as long as one page
        return [["a"] for _ in requests]

    measured = latency_probe(InProcessClient(Says(answer)), [ask()] * 20)
    assert measured.requests == 20
    assert 0.01 <= measured.p50 <= measured.p95 <= measured.p99
    assert 100 < measured.per_second <= 2000
    assert measured.failed_share == 0.0
    failing = latency_probe(InProcessClient(Says(ValueError())), [ask()])
    assert failing.failed_share == 1.0
    with pytest.raises(SettingError, match="no request"):
        latency_probe(InProcessClient(Says(answer)), [])


# --- faults ---


def people(count: int) -> list[PageRequest]:
    return [PageRequest(f"p{number}", shop.AT) for number in range(count)]


def faulty(seed: int = 0, **faults: float) -> FaultyClient:
    return FaultyClient(
        InProcessClient(Says(lambda asked: [["a"] for _ in asked])), Faults(**faults), seed=seed
    )


def test_faults_come_in_their_shares() -> None:
    client = faulty(timeout_share=0.1, error_share=0.2, malformed_share=0.3, timeout_seconds=1.5)
    pages = client.ask(people(4000))
    shares = {
        kind: np.mean([page.failure == kind for page in pages])
        for kind in ("timeout", "error", "malformed", None)
    }
    assert shares == pytest.approx(
        {"timeout": 0.1, "error": 0.2, "malformed": 0.3, None: 0.4}, abs=0.03
    )
    assert {page.seconds for page in pages if page.failure == "timeout"} == {1.5}
    assert all((page.item_ids == ("a",)) == (page.failure is None) for page in pages)


def test_slow_pages_cost_time_that_nobody_waits_and_the_slowest_never_come() -> None:
    began = time.monotonic()
    pages = faulty(slow_share=1.0, slow_seconds=2.0, timeout_seconds=2.0).ask(people(2000))
    assert time.monotonic() - began < 30
    # Of an exponential with mean 2, exp(-1) lies beyond 2.
    lost = np.mean([page.failure == "timeout" for page in pages])
    assert lost == pytest.approx(np.exp(-1), abs=0.04)
    assert max(page.seconds for page in pages) == 2.0
    assert np.mean([page.seconds for page in pages]) > 1.0


def test_the_same_request_meets_the_same_fault_whatever_else_is_asked() -> None:
    asked = people(200)
    one, other = (faulty(error_share=0.5, slow_share=0.5, seed=3) for _ in range(2))
    first = [page.failure for page in one.ask(asked)]
    assert [page.failure for page in other.ask(asked[100:])] == first[100:]
    another = faulty(error_share=0.5, slow_share=0.5, seed=4)
    assert first != [page.failure for page in another.ask(asked)]


def test_failing_pages_do_not_reach_the_target() -> None:
    client = FaultyClient(InProcessClient(Says(ValueError("reached"))), Faults(error_share=1.0))
    assert {page.failure for page in client.ask(people(50))} == {"error"}
    assert client.client.problems == []  # type: ignore[attr-defined]
    assert list(client.ask([])) == []
    client.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"error_share": 1.1},
        {"slow_share": 0.6, "error_share": 0.6},
        {"speed": 1},
        {"slow_seconds": -1},
        {"timeout_seconds": np.inf},
        {"error_share": np.nan},
    ],
)
def test_faults_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Faults(**wrong)


# --- names ---

_MODULE = """
class Shop:
    name = "their shop"
    def __init__(self, boost=1):
        if boost < 0:
            raise ValueError("boost is negative")
        self.boost = boost
    def answer(self, requests):
        return [["x"] for _ in requests]

class Search:
    name = "their search"
    def search(self, queries, *, limit, offset=0):
        return [[f"{query}{limit}{offset}"] for query in queries]

class Both(Search):
    name = "both"
    def recommend(self, personas, *, limit, offset=0):
        return [[person.history[-1] if person.history else "none"] for person in personas]

ready = Shop()
search = Search()
both = Both()
number = 7

def build():
    from sklearn.linear_model import LogisticRegression
    return LogisticRegression()
"""


@pytest.fixture
def their_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_targets.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("their_module")
@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("their_targets:Shop", "their shop"),
        ("their_targets:ready", "their shop"),
        ("their_targets:search", "their search"),
        ("their_targets:build", "LogisticRegression"),
    ],
)
def test_python_objects_are_opened_by_name(name: str, called: str) -> None:
    client = open_target(name)
    assert isinstance(client, TargetClient)
    assert client.name == called


@pytest.mark.usefixtures("their_module")
def test_a_search_engine_and_recommender_is_asked_for_both() -> None:
    asked = [ask("tea", limit=3), ask(None, "i1", "i2"), ask("", offset=5), ask()]
    both = [page.item_ids for page in open_target("their_targets:both").ask(asked)]
    assert both == [("tea30",), ("i2",), ("105",), ("none",)]
    search = [page.item_ids for page in open_target("their_targets:search").ask(asked)]
    assert search == [("tea30",), ("100",), ("105",), ("100",)]


@pytest.mark.usefixtures("their_module")
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lucene", {}, "no target 'lucene'.*als, bm25, content, popularity, random"),
        ("no_such_module_here:x", {}, "ModuleNotFoundError"),
        ("their_targets:nothing", {}, "AttributeError"),
        ("their_targets:number", {}, "type int"),
        ("their_targets:Shop", {"speed": 1}, "options.*speed"),
        ("their_targets:Shop", {"boost": -1}, "boost is negative"),
        ("their_targets:ready", {"boost": 1}, "takes no options"),
        ("http://127.0.0.1:9", {"boost": 1}, "takes no options"),
        ("popularity", {"boost": 1}, "boost"),
    ],
)
def test_unusable_names_say_why(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        open_target(name, options=options)


@pytest.mark.parametrize("thing", [7, "popularity", object(), Persona(persona_id="1"), Says])
def test_what_cannot_be_asked_for_pages_is_refused(thing: Any) -> None:
    with pytest.raises(SettingError, match=r"answer|object"):
        as_target(thing)


@pytest.mark.usefixtures("their_module")
def test_broken_plug_ins_are_named_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from footfall.simulator import plug_ins
    from footfall.simulator.targets.registry import TARGET_GROUP

    points = EntryPoints(
        [
            EntryPoint("theirs", "their_targets:Shop", TARGET_GROUP),
            EntryPoint("broken", "no_such_module_here:Shop", TARGET_GROUP),
        ]
    )
    monkeypatch.setattr(plug_ins, "entry_points", lambda group: points.select(group=group))
    with pytest.warns(RuntimeWarning, match=r"'broken' \(no_such_module_here:Shop"):
        assert "theirs" in target_names()
    assert open_target("theirs", options={"boost": 2}).name == "their shop"
    with pytest.raises(SettingError, match=r"plug-in 'broken'.*ModuleNotFoundError"):
        open_target("broken")
