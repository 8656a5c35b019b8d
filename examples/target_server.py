"""Footfall's HTTP contract around any model: give `create_app` an object that learns and answers.

This file needs fastapi and nothing of Footfall, so that it can be copied into the environment of a
library whose dependencies clash with Footfall's. docs/targets.md has the contract in words, and
docs/target-openapi.json is what this app says of itself:

    python examples/target_server.py > docs/target-openapi.json
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel, Field

__all__ = ["FAULTS", "Event", "Item", "Model", "Question", "create_app", "serve"]

FAULTS = ("none", "slow", "hang", "error", "malformed")

NullableText = Annotated[str | None, Field(description="Null where it is not known.")]


class Question(BaseModel):
    """One page that a shopper asks for."""

    shopper_id: str
    at: datetime = Field(description="RFC 3339, UTC.")
    query: str | None = Field(None, description="What was typed; null when browsing.")
    history: list[str] = Field(
        default_factory=list, description="Ids of items that the shopper took, newest last."
    )
    locale: str = Field("en_US", description="Language and country.")
    demographics: dict[str, str] = Field(default_factory=dict)
    limit: int = Field(10, ge=1, description="Ids on a page at most.")
    offset: int = Field(0, ge=0, description="Leave out this many of the best: the next page.")


class Questions(BaseModel):
    """Pages asked for. Footfall asks for one at a time, so that its time is one shopper's."""

    requests: list[Question] = Field(min_length=1)


class Pages(BaseModel):
    """A list of item ids for each request, in their order; best first, without repeats."""

    pages: list[list[str]]


class Item(BaseModel):
    """An item of the catalogue."""

    item_id: str
    text: str = Field(description="What a shopper reads.")
    category: NullableText = Field(None, description="A path, joined by ' > '.")
    brand: NullableText = None
    price: float | None = None
    first_seen: datetime | None = None
    available: bool | None = Field(True, description="Whether it can be bought now.")


class ItemBatch(BaseModel):
    """A part of the catalogue."""

    first: bool = Field(False, description="True: forget the items sent before.")
    items: list[Item]


class Event(BaseModel):
    """An item shown or taken. Responses are null where the log does not record them."""

    shopper_id: str | None
    item_id: str
    at: datetime | None = None
    query: str | None = Field(None, description="Null when browsing.")
    position: int | None = Field(None, description="From 1; null where there was no order.")
    clicked: bool | None = None
    carted: bool | None = None
    purchased: bool | None = None


class EventBatch(BaseModel):
    """A part of what happened in the shop."""

    first: bool = Field(False, description="True: forget the events sent before.")
    events: list[Event]


class About(BaseModel):
    """What a target says of itself."""

    name: str = Field(min_length=1, description="Stored with every page that it answers.")
    answers: list[Literal["query", "browse"]] = Field(
        description="What it reads: typed queries, or the shopper's history when browsing."
    )
    learns: bool = Field(description="False: items, events and fit are never called.")
    contract: Literal[1] = Field(1, description="Version of this contract.")


class Received(BaseModel):
    """Rows held after a batch."""

    rows: int


class Learned(BaseModel):
    """What was learned from."""

    items: int
    events: int


class Model(Protocol):
    """What the app is made around."""

    name: str

    def fit(self, items: list[Item], events: list[Event]) -> object:
        """Learn anew."""

    def answer(self, questions: list[Question]) -> list[list[str]]:
        """A page of ids for each question."""


class _Faults:
    """Misbehaviour for tests: a share of the pages, evenly spread (of a half, every second)."""

    def __init__(self, fault: str, share: float, seconds: float) -> None:
        self.fault, self.share, self.seconds = fault, share, seconds
        self._pages, self._lock = 0, threading.Lock()

    def befall(self) -> Response | None:
        with self._lock:
            before, self._pages = self._pages, self._pages + 1
        hit = int((before + 1) * self.share) > int(before * self.share)
        if self.fault == "none" or not hit:
            return None
        if self.fault in ("slow", "hang"):
            time.sleep(self.seconds if self.fault == "slow" else 60.0)
            return None
        if self.fault == "malformed":
            return Response('{"pages": [[1, null', media_type="application/json")
        raise HTTPException(500, "this server fails on purpose")


def create_app(
    model: Model, *, fault: str = "none", share: float = 1.0, seconds: float = 0.5
) -> FastAPI:
    """Make the app.

    Parameters
    ----------
    model:
        Learns and answers. Its methods are called from several threads: `fit` must put what it
        learned in place in one assignment.
    fault, share, seconds:
        How the app misbehaves, one of `FAULTS`; on what share of the pages; and how long.
    """
    app = FastAPI(
        title="Footfall target",
        version="1",
        description="What a search engine or recommender answers to be tested by Footfall.",
    )
    items: list[Item] = []
    events: list[Event] = []
    faults = _Faults(fault, share, seconds)

    @app.get("/about")
    def about() -> About:
        """Say who answers, and what it can do. Asked once, when the target is opened."""
        return About(name=model.name, answers=["query", "browse"], learns=True, contract=1)

    @app.put("/items")
    def put_items(batch: ItemBatch) -> Received:
        """Take a part of the catalogue."""
        if batch.first:
            items.clear()
        items.extend(batch.items)
        return Received(rows=len(items))

    @app.post("/events")
    def post_events(batch: EventBatch) -> Received:
        """Take a part of what happened in the shop."""
        if batch.first:
            events.clear()
        events.extend(batch.events)
        return Received(rows=len(events))

    @app.post("/fit")
    def fit() -> Learned:
        """Learn anew from the items and events sent; answer when that is done."""
        model.fit(list(items), list(events))
        return Learned(items=len(items), events=len(events))

    @app.post("/pages", response_model=Pages)
    def pages(asked: Questions) -> Any:
        """Answer pages."""
        return faults.befall() or Pages(pages=model.answer(asked.requests))

    return app


def serve(model: Model) -> None:
    """Serve a model as the command line says: `--host`, `--port`, and faults for tests."""
    import uvicorn

    parser = argparse.ArgumentParser(description=f"Serve {model.name} as a target of Footfall.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one")
    parser.add_argument("--fault", choices=FAULTS, default="none", help="misbehave, for tests")
    parser.add_argument("--share", type=float, default=1.0, help="of the pages that misbehave")
    parser.add_argument("--seconds", type=float, default=0.5, help="that a slow page takes longer")
    given = parser.parse_args()
    app = create_app(model, fault=given.fault, share=given.share, seconds=given.seconds)
    # With its protocol named, asyncio sends small answers at once (TCP_NODELAY); else each of them
    # waits 40 ms for an acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((given.host, given.port))
        listening.listen(512)
        host, port = listening.getsockname()[:2]
        print(f"{model.name}: http://{host}:{port}", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])


class _Nobody:
    """A model of no items, to describe the contract with."""

    name = "nobody"

    def fit(self, items: list[Item], events: list[Event]) -> object:
        return items, events

    def answer(self, questions: list[Question]) -> list[list[str]]:
        return [[] for _ in questions]


if __name__ == "__main__":
    print(json.dumps(create_app(_Nobody()).openapi(), indent=2, ensure_ascii=False))
