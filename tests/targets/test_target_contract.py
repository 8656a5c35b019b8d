"""What every built-in target, adapter and server does alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
import target_shop as shop
from target_shop import AVAILABLE, COUNT, ask

from footfall.simulator.targets import PageRequest, TargetClient
from footfall.simulator.targets.adapters import as_target
from footfall.simulator.targets.in_process import InProcessClient
from footfall.simulator.targets.registry import open_target, target_names

BUILT_IN = ["als", "bm25", "content", "popularity", "random"]
IMPLICIT = ["implicit-bpr", "implicit-lmf", "implicit-cosine", "implicit-bm25"]
RANKERS = ["logistic", "tree", "ridge"]


def _implicit(kind: str) -> Any:
    pytest.importorskip("implicit")
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from implicit.cpu.lmf import LogisticMatrixFactorization
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        return {
            "bpr": lambda: BayesianPersonalizedRanking(factors=8, random_state=1, num_threads=1),
            "lmf": lambda: LogisticMatrixFactorization(factors=8, random_state=1, num_threads=1),
            "cosine": lambda: CosineRecommender(num_threads=1),
            "bm25": lambda: BM25Recommender(num_threads=1),
        }[kind]()


def _ranker(kind: str) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression, Ridge

    return {
        "logistic": lambda: LogisticRegression(max_iter=2000),
        "tree": lambda: HistGradientBoostingClassifier(max_iter=5),
        "ridge": Ridge,
    }[kind]()


@pytest.fixture(params=[*BUILT_IN, *IMPLICIT, *RANKERS, "http"])
def client(request: pytest.FixtureRequest) -> Iterator[TargetClient]:
    kind = request.param
    opened: TargetClient
    if kind == "http":
        pytest.importorskip("httpx")
        opened = open_target(request.getfixturevalue("address"), timeout=20.0)
    elif kind in BUILT_IN:
        if kind == "als":
            pytest.importorskip("implicit")
        options = {"content": {"encoder": "words"}, "als": {"factors": 8}}.get(kind, {})
        opened = open_target(kind, timeout=20.0, options=options)
    elif kind in RANKERS:
        opened = InProcessClient(as_target(_ranker(kind)), timeout=20.0)
    else:
        opened = InProcessClient(as_target(_implicit(kind.split("-")[1])), timeout=20.0)
    yield opened
    opened.close()
    opened.close()


REQUESTS = [
    ask(),
    ask(None, "i008", "i016"),
    ask(None, "i007"),
    ask(None, "unknown", "also unknown"),
    ask("green tea"),
    ask("green tea", "i008", "i016"),
    ask("纯牛奶"),
    ask("thé 🥖"),
    ask(""),
    ask("  \n"),
    ask("zzzz qqqq"),
    ask("green tea " * 500),
    ask(None, *shop.IDS),
]


def answered(client: TargetClient, requests: list[PageRequest]) -> list[list[str]]:
    pages = client.ask(requests)
    assert [page.failure for page in pages] == [None] * len(requests), client.problems  # type: ignore[attr-defined]
    assert all(page.seconds >= 0 for page in pages)
    return [list(page.item_ids) for page in pages]


@pytest.mark.parametrize("known", ["everything", "no events"])
def test_pages_hold_different_available_items_and_no_more_than_asked(
    client: TargetClient, known: str
) -> None:
    assert client.fit(shop.items(), shop.events() if known == "everything" else shop.no_events())
    for limit in (1, 3, 10):
        asked = [
            PageRequest(r.shopper_id, r.at, r.query, r.history, r.locale, r.demographics, limit)
            for r in REQUESTS
        ]
        for page in answered(client, asked):
            assert len(page) == len(set(page)) <= limit
            assert set(page) <= set(AVAILABLE)


def test_browsing_fills_the_page_whatever_is_known_of_the_shopper(client: TargetClient) -> None:
    client.fit(shop.items(), shop.events())
    browsing = [request for request in REQUESTS if request.query is None]
    assert {len(page) for page in answered(client, browsing)} == {10}


def test_next_pages_go_on_where_the_last_one_ended(client: TargetClient) -> None:
    client.fit(shop.items(), shop.events())
    for query, history in ((None, ("i008", "i016")), ("tea", ("i001",)), (None, ())):
        whole = answered(client, [ask(query, *history, limit=30)])[0]
        parts = answered(client, [ask(query, *history, offset=offset) for offset in (0, 10, 20)])
        assert [*parts[0], *parts[1], *parts[2]] == whole
    far = answered(client, [ask(offset=COUNT), ask("tea", offset=COUNT)])
    assert far == [[], []]


def test_browsing_can_reach_a_whole_page_beyond_what_was_ever_taken(client: TargetClient) -> None:
    client.fit(shop.items(), shop.events())
    (page,) = answered(client, [ask(limit=10, offset=len(AVAILABLE) - 10)])
    assert len(page) == 10


def test_the_same_question_has_the_same_answer_alone_and_among_others(
    client: TargetClient,
) -> None:
    client.fit(shop.items(), shop.events())
    together = answered(client, REQUESTS)
    assert together == answered(client, REQUESTS)
    assert together == [answered(client, [request])[0] for request in REQUESTS]
    assert list(client.ask([])) == []


def test_learning_anew_forgets_what_was_learned_before(client: TargetClient) -> None:
    client.fit(shop.items(), shop.events())
    few = shop.items().slice(100, 20)
    client.fit(few, shop.no_events())
    ids = set(few["item_id"].to_pylist())
    for page in answered(client, REQUESTS):
        assert set(page) <= ids


def test_an_item_that_becomes_unavailable_is_not_shown_anymore(client: TargetClient) -> None:
    client.fit(shop.items(), shop.events())
    before = answered(client, [ask(None, "i008"), ask("green tea", "i008")])
    gone = set(before[0][:1]) | set(before[1][:1])
    items = shop.items()
    kept = [item not in gone and bool(n % 7) for n, item in enumerate(shop.IDS)]
    client.fit(items.set_column(6, items.schema.field(6), pa.array(kept)), shop.events())
    for page in answered(client, [ask(None, "i008"), ask("green tea", "i008")]):
        assert page
        assert not gone & set(page)


def test_all_built_in_targets_are_tested_here() -> None:
    assert set(target_names()) >= set(BUILT_IN)
    from footfall.simulator.targets import registry

    assert set(registry._BUILT_IN) == set(BUILT_IN)
