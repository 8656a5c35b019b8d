"""Targets behind an address: the reference server for real, and servers that misbehave."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import target_shop as shop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from target_shop import ROOT, ask

from footfall.errors import SettingError, TargetError, TargetUnavailableError
from footfall.simulator.targets import AnsweredPage
from footfall.simulator.targets.latency import latency_probe
from footfall.simulator.targets.registry import open_target

pytest.importorskip("httpx")

from footfall.simulator.targets.http import HttpClient

ABOUT = {"name": "small", "answers": ["query"], "learns": True, "contract": 1}
DOCUMENT = json.loads((ROOT / "docs/target-openapi.json").read_text(encoding="utf-8"))


def schema_of(method: str, path: str) -> dict[str, Any]:
    body = DOCUMENT["paths"][path][method]["requestBody"]["content"]["application/json"]
    return {**body["schema"], "components": DOCUMENT["components"]}


class Small:
    """What a small server answers: a page of two ids, or what the test puts in its place."""

    def __init__(self) -> None:
        self.about: tuple[int, str] = (200, json.dumps(ABOUT))
        self.pages: tuple[int, str] = (200, '{"pages": [["a", "b"]]}')
        self.learning = 200
        self.seen: list[tuple[str, str, dict[str, Any]]] = []
        self.wait = 0.0

    def __call__(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, str, str]:
        self.seen.append((method, path, body))
        status, content = {"/v1/about": self.about, "/v1/pages": self.pages}.get(
            path, (self.learning, "{}")
        )
        time.sleep(self.wait if path == "/v1/pages" else 0.0)
        return status, "application/json", content


@pytest.fixture
def small() -> Small:
    return Small()


@pytest.fixture
def client(small: Small, small_server: Callable[..., Any]) -> Iterator[HttpClient]:
    opened = HttpClient(small_server(small).address, timeout=0.4)
    yield opened
    opened.close()
    opened.close()


def test_one_http_request_is_one_page_in_the_order_asked(small: Small, client: HttpClient) -> None:
    assert client.name == "small"
    pages = client.ask([ask("tea", limit=n) for n in (1, 2, 3)])
    assert [page.item_ids for page in pages] == [("a",), ("a", "b"), ("a", "b")]
    assert all(page.failure is None and 0 < page.seconds < 0.4 for page in pages)
    bodies = [body for _, path, body in small.seen if path == "/v1/pages"]
    assert [len(body["requests"]) for body in bodies] == [1, 1, 1]
    assert sorted(body["requests"][0]["limit"] for body in bodies) == [1, 2, 3]
    assert client.problems == []


@pytest.mark.parametrize(
    ("status", "content", "failure"),
    [
        (500, "oh no", "error"),
        (404, "{}", "error"),
        (307, "", "error"),
        (422, '{"pages": [["a"]]}', "error"),
        (200, "", "malformed"),
        (200, '{"pages": [["a"', "malformed"),
        (200, '{"pages": []}', "malformed"),
        (200, '{"pages": [["a"], ["b"]]}', "malformed"),
        (200, '{"pages": [[1, 2]]}', "malformed"),
        (200, '{"pages": ["ab"]}', "malformed"),
        (200, '{"pages": [null]}', "malformed"),
        (200, '{"pages": {"0": ["a"]}}', "malformed"),
        (200, '[["a"]]', "malformed"),
        (200, "[" * 100_000, "malformed"),
        (200, '{"pages": [["\\ud800"]]}', "malformed"),
        (200, " " * 4_000_001, "malformed"),
        (201, '{"pages": [["a", "b", "a"]]}', None),
        (200, '{"pages": [[]], "more": 1}', None),
    ],
)
def test_what_is_no_page_is_a_failed_page(
    small: Small, client: HttpClient, status: int, content: str, failure: str | None
) -> None:
    small.pages = (status, content)
    client.timeout = 10.0
    (page,) = client.ask([ask()])
    assert page.failure == failure
    assert page.item_ids == (("a", "b") if status == 201 else ())
    assert len(client.problems) == (failure is not None)
    client.ask([ask()])
    assert len(client.problems) == (failure is not None)


IDS = st.lists(st.text(max_size=3), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | IDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PAGES = st.lists(IDS | JSON, max_size=2)
ANSWERS = st.fixed_dictionaries({"pages": PAGES | JSON}) | JSON


@given(answer=ANSWERS, cut=st.none() | st.integers(1, 9), limit=st.integers(1, 3))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_content_is_either_the_page_that_it_holds_or_malformed(
    small: Small, client: HttpClient, answer: Any, cut: int | None, limit: int
) -> None:
    content = json.dumps(answer)
    small.pages = (200, content if cut is None else content[:-cut])
    client.timeout = 20.0
    (page,) = client.ask([ask(limit=limit)])
    pages = answer.get("pages") if cut is None and isinstance(answer, dict) else None
    held = pages[0] if isinstance(pages, list) and len(pages) == 1 else None
    if isinstance(held, list) and all(isinstance(item_id, str) for item_id in held):
        assert page.failure is None
        assert page.item_ids == tuple(dict.fromkeys(held))[:limit]
    else:
        assert page == AnsweredPage((), page.seconds, "malformed")


def test_a_page_that_takes_too_long_costs_the_timeout(small: Small, client: HttpClient) -> None:
    small.wait = 1.0
    assert client.ask([ask()]) == [AnsweredPage((), 0.4, "timeout")]
    assert client.problems == ["POST /pages took longer than 0.4 s"]


def test_a_server_that_drips_bytes_does_not_outlast_the_timeout() -> None:
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            about = json.dumps(ABOUT).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head + str(len(about)).encode() + b"\r\n\r\n" + about)
                connection.recv(65536)
                connection.sendall(head + b"1000\r\n\r\n")
                while not done.wait(0.05):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        client = HttpClient(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=0.3)
        try:
            began = time.monotonic()
            assert client.ask([ask()])[0] == AnsweredPage((), 0.3, "timeout")
            assert time.monotonic() - began < 5.0
        finally:
            done.set()
            client.close()
            thread.join(10)


def test_what_is_learned_from_is_sent_in_batches_that_the_contract_allows(
    small: Small, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    monkeypatch.setattr("footfall.simulator.targets.json_rows.JSON_BATCH", 64)
    assert client.fit(shop.items(), shop.events())
    client.ask([ask("纯牛奶 \udce4", "i001"), ask()])
    sent = [(m, p.removeprefix("/v1"), body) for m, p, body in small.seen[1:]]
    for method, path, body in sent:
        if path != "/fit":
            jsonschema.Draft202012Validator(schema_of(method.lower(), path)).validate(body)
    learning = [(m, p, b.get("first")) for m, p, b in sent if p != "/pages"]
    assert learning == [
        ("PUT", "/items", True),
        ("PUT", "/items", False),
        ("PUT", "/items", False),
        ("POST", "/events", True),
        ("POST", "/events", False),
        ("POST", "/events", False),
        ("POST", "/fit", None),
    ]
    items = [item for _, path, body in sent if path == "/items" for item in body["items"]]
    assert [item["item_id"] for item in items] == shop.IDS
    assert items[2]["first_seen"] == "2017-05-14T09:00:00.000000Z"
    assert items[6]["price"] is None


def test_tables_without_rows_forget_what_was_sent_before(small: Small, client: HttpClient) -> None:
    client.fit(shop.items(), shop.no_events())
    (events,) = (body for _, path, body in small.seen if path == "/v1/events")
    assert events == {"first": True, "events": []}


def test_a_server_that_does_not_learn_is_not_taught(
    small: Small, small_server: Callable[..., Any]
) -> None:
    small.about = (200, json.dumps({**ABOUT, "learns": False}))
    client = HttpClient(small_server(small).address)
    assert not client.fit(shop.items(), shop.events())
    assert len(small.seen) == 1
    client.close()


def test_a_server_that_refuses_to_learn_is_an_error(small: Small, client: HttpClient) -> None:
    small.learning = 503
    with pytest.raises(TargetError, match="PUT /items with status 503"):
        client.fit(shop.items(), shop.events())


@pytest.mark.parametrize(
    "about",
    [
        "[]",
        "null",
        "<html>",
        "{}",
        json.dumps({**ABOUT, "contract": 2}),
        json.dumps({**ABOUT, "contract": True}),
        json.dumps({**ABOUT, "name": ""}),
        json.dumps({**ABOUT, "learns": "yes"}),
    ],
)
def test_a_server_that_is_no_target_is_refused(
    small: Small, small_server: Callable[..., Any], about: str
) -> None:
    small.about = (200, about)
    with pytest.raises(TargetError, match="is not the contract's"):
        HttpClient(small_server(small).address)


def test_an_address_where_nobody_answers_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(TargetUnavailableError, match="Start the server") as raised:
        open_target(f"http://user:secret@127.0.0.1:{port}/api")
    assert f"http://127.0.0.1:{port}/api does not answer GET /about" in raised.value.message
    assert "secret" not in str(raised.value)
    assert raised.value.retryable


def test_an_address_with_another_status_is_unavailable(
    small: Small, small_server: Callable[..., Any]
) -> None:
    small.about = (404, "nothing here")
    with pytest.raises(TargetUnavailableError, match="status 404"):
        HttpClient(small_server(small).address)


@pytest.mark.parametrize(
    "address", ["http://", "http://:80", "ftp://a", "http://a:port", "http://xn--a"]
)
def test_what_is_no_address_is_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(SettingError, match="address"):
        HttpClient(address)


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"timeout": float("nan")}, {"concurrency": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        HttpClient("http://127.0.0.1:9", **wrong)  # type: ignore[arg-type]


def test_a_server_that_goes_away_gives_failed_pages(
    small: Small, small_server: Callable[..., Any]
) -> None:
    server = small_server(small)
    client = HttpClient(server.address)
    server._server.shutdown()
    server._server.server_close()
    (page,) = client.ask([ask()])
    assert page.failure == "error"
    with pytest.raises(TargetUnavailableError, match="PUT /items"):
        client.fit(shop.items(), shop.events())
    client.close()
    server._server.shutdown = lambda: None


@pytest.mark.parametrize(
    ("switches", "failure"),
    [
        (("--fault", "error"), "error"),
        (("--fault", "hang", "--share", "0.5"), "timeout"),
        (("--fault", "slow", "--seconds", "0.05"), None),
    ],
)
def test_a_reference_server_told_to_misbehave_does(
    switches: tuple[str, ...], failure: str | None
) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    with shop.reference_server(*switches) as address:
        client = open_target(address, timeout=1.0 if failure == "timeout" else 20.0)
        assert client.fit(shop.items(), shop.events())
        failures = [page.failure for page in client.ask([ask()] * 4)]
        if "slow" in switches:
            measured = latency_probe(client, [ask()] * 5)
            assert measured.p50 > 0.05
            assert measured.failed_share == 0.0
            assert measured.per_second > 0.0
        client.close()
    half = failure == "timeout"
    assert failures.count(failure) == (2 if half else 4)  # type: ignore[arg-type]


def test_the_documented_contract_is_what_the_reference_server_says_of_itself(
    address: str,
) -> None:
    import httpx

    told = httpx.get(f"{address}/openapi.json", timeout=20.0, trust_env=False).json()
    assert told["openapi"].startswith("3.1")
    assert _contract(told) == _contract(DOCUMENT)


def _contract(document: dict[str, Any]) -> dict[str, Any]:
    """Paths and schemas, without what versions of fastapi word differently."""
    schemas = {
        name: schema
        for name, schema in document["components"]["schemas"].items()
        if "Validation" not in name
    }
    paths = {
        (path, method): (
            operation.get("requestBody"),
            operation["responses"]["200"]["content"],
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    return {"schemas": schemas, "paths": paths}
