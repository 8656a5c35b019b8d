"""A RecTools model as a target of Footfall, in an environment of its own.

RecTools wants numpy below 2, Footfall 2 or later, so that both cannot be installed together. They
need not be: this server runs in one environment, `footfall stress` in the other.

    python -m venv rectools-env
    rectools-env/bin/pip install rectools fastapi uvicorn
    rectools-env/bin/python examples/rectools_server.py --port 8001
    footfall stress http://127.0.0.1:8001 --scenario steady-traffic ...

The model is EASE (Steck 2019). A shopper is what they took: RecTools ranks the neighbours of every
item once (`recommend_to_items`), and a page adds up those of the shopper's history, so that people
whom the model never saw are served, too.
"""

from __future__ import annotations

from collections import defaultdict

import pandas as pd
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import EASEModel
from target_server import Event, Item, Question, serve

#: EASE inverts a matrix of items by items: 5,000 items take 200 MB and some seconds.
MOST_ITEMS = 5_000
NEIGHBOURS = 50


class RecToolsModel:
    """EASE for those with a history, popularity for the others; queries are not read."""

    name = "rectools-ease"

    def __init__(self) -> None:
        self._learned: _Learned | None = None

    def fit(self, items: list[Item], events: list[Event]) -> RecToolsModel:
        """Learn anew."""
        self._learned = _Learned(items, events)
        return self

    def answer(self, questions: list[Question]) -> list[list[str]]:
        """A page for each question; empty ones before anything was learned."""
        learned = self._learned
        return [learned.page(question) if learned else [] for question in questions]


class _Learned:
    """What one `fit` came to; never changed afterwards."""

    def __init__(self, items: list[Item], events: list[Event]) -> None:
        taken = [
            (event.shopper_id, event.item_id, event.at)
            for event in events
            if (event.clicked or event.purchased) and event.shopper_id is not None
        ]
        frame = pd.DataFrame(taken, columns=[Columns.User, Columns.Item, Columns.Datetime])
        frame[Columns.Datetime] = pd.to_datetime(frame[Columns.Datetime], utc=True)
        frame[Columns.Weight] = 1.0
        counts = frame[Columns.Item].value_counts()
        available = {item.item_id for item in items if item.available is not False}
        self.popular = [each for each in counts.index if each in available]
        self.popular += sorted(available - set(self.popular))
        self.known = set(counts.index[:MOST_ITEMS])
        offered = [each for each in self.popular if each in self.known]
        frame = frame[frame[Columns.Item].isin(self.known)]
        self.neighbours: dict[str, list[tuple[str, float]]] = defaultdict(list)
        if len(frame) and len(offered) > 1:
            self._find_neighbours(frame, offered)

    def _find_neighbours(self, frame: pd.DataFrame, offered: list[str]) -> None:
        dataset = Dataset.construct(frame)
        model = EASEModel(regularization=100.0).fit(dataset)
        found = model.recommend_to_items(
            target_items=sorted(self.known),
            dataset=dataset,
            k=min(NEIGHBOURS, len(offered) - 1),
            items_to_recommend=offered,
        )
        columns = (found[name].tolist() for name in (Columns.TargetItem, Columns.Item, "score"))
        for near, item_id, score in zip(*columns, strict=True):
            self.neighbours[near].append((item_id, float(score)))

    def page(self, question: Question) -> list[str]:
        """What is near the shopper's history, then what is popular."""
        scores: dict[str, float] = defaultdict(float)
        for held in dict.fromkeys(question.history):
            for item_id, score in self.neighbours.get(held, ()):
                scores[item_id] += score
        ranked = sorted(scores, key=lambda item_id: -scores[item_id])
        end = question.offset + question.limit
        spare = self.popular[: end + len(ranked)]
        ranked += [item_id for item_id in spare if item_id not in scores]
        return ranked[question.offset : end]


if __name__ == "__main__":
    serve(RecToolsModel())
