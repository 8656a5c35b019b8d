"""Engines, search engines and recommenders that misbehave: the run goes on, or ends whole.

Whatever happens, every session that is in the log is there with all of its rows.
"""

import random
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import pytest
from log_rows import kept_sessions, synthetic_rows

from footfall.errors import EngineAnswerError, EngineUnavailableError
from footfall.simulator.engines.protocol import (
    ChoiceAnswer,
    EngineIdentity,
    LikelihoodAnswer,
    LikelihoodRequest,
    TextAnswer,
    TextRequest,
)
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.log import Log
from footfall.simulator.simulation import Simulation, SimulationSettings

UNTIL = datetime(2024, 3, 1)
#: No query that reaches a search engine is longer.
LONGEST = 200


def settings(**changes):
    chosen = {
        "sessions": 20,
        "until": UNTIL,
        "behaviour": "prior",
        "pilot_sessions": 0,
        "browsing_share": 0.2,
        "concurrency": 8,
        "sessions_per_commit": 4,
    }
    return SimulationSettings(**{**chosen, **changes})


@pytest.fixture(scope="module")
def template(tmp_path_factory, make_log):
    """A log to begin with."""
    return make_log(tmp_path_factory.mktemp("template") / "shop.duckdb", sessions=80)


@pytest.fixture
def log_named(template, tmp_path):
    return lambda name: shutil.copy(template, tmp_path / f"{name}.duckdb")


@pytest.fixture
def shop_log(log_named):
    return log_named("shop")


class Hostile:
    """An engine whose texts and choices are what ``text`` and ``choice`` make of good ones."""

    def __init__(self):
        self.inner = ScriptedEngine()
        self.requests = {}
        self.answered = 0

    @property
    def identity(self):
        return EngineIdentity("hostile", type(self).__name__, "0" * 64)

    def submit(self, request):
        ticket = self.inner.submit(request)
        self.requests[ticket] = request
        return ticket

    def collect(self):
        ready = [(ticket, self.spoil(ticket, answer)) for ticket, answer in self.inner.collect()]
        self.answered += len(ready)
        return ready

    def close(self):
        self.inner.close()

    def spoil(self, ticket, answer):
        request = self.requests.pop(ticket)
        if isinstance(request, TextRequest):
            return self.text(request, answer)
        return self.choice(request, answer)

    def text(self, request, answer):
        return answer

    def choice(self, request, answer):
        return answer


class Says(Hostile):
    """Writes the same line whatever it is asked."""

    def __init__(self, line):
        super().__init__()
        self.line = line

    def text(self, request, answer):
        return replace(answer, text=self.line)


class Echoing(Hostile):
    """Says its prompt again."""

    def text(self, request, answer):
        return replace(answer, text=request.prompt)


LINES = {
    "empty": "",
    "blanks": "  \t　 ",
    "marks": "?!…·~。，、",
    "endless": "pizza and " * 1000,
    "one word": "a" * 10_000,
    "one sign": "面" * 10_000,
    "Cyrillic": "где купить пиццу",
    "Arabic": "أين البيتزا",
    "Hangul": "피자 어디",
    "pictures": "🍕🛒🍕",
    "control signs": "pizza\x00\x07\x1b[31m",
    "half a sign": "pizza \ud83c",
    "lines": "pizza\nsoup\nbread",
    "code": "'; DROP TABLE searches; --",
    "template": "Query: Looking for: Shopper:",
    "browse": "-",
}


def queries(path, run_id):
    with Log.open(path) as log:
        found = log.query(
            "SELECT query FROM searches WHERE origin = $run AND query IS NOT NULL", {"run": run_id}
        )
    return found["query"].to_pylist()


@pytest.mark.parametrize("name", sorted(LINES))
def test_texts_of_every_kind(shop_log, people, name):
    simulation = Simulation(shop_log, people, Says(LINES[name]), settings())
    try:
        assert simulation.run().state == "finished"
    except EngineAnswerError:
        pass
    else:
        assert kept_sessions(shop_log, simulation.run_id) == 20
    assert kept_sessions(shop_log, simulation.run_id) > 0
    typed = queries(shop_log, simulation.run_id)
    for query in typed:
        assert 0 < len(query) <= LONGEST
        assert query.isprintable()
        assert any(sign.isalnum() for sign in query)
    if name in {"empty", "blanks", "marks", "pictures", "browse"}:
        assert typed == []


@pytest.mark.parametrize("name", ["empty", "marks", "Cyrillic"])
def test_an_engine_that_only_writes_nonsense_is_told(shop_log, people, name):
    simulation = Simulation(
        shop_log, people, Says(LINES[name]), settings(sessions=200, browsing_share=0.0)
    )
    with pytest.raises(EngineAnswerError, match="not among the options") as caught:
        simulation.run()
    assert "kept" in caught.value.hint
    assert 0 < kept_sessions(shop_log, simulation.run_id) < 200


def test_a_prompt_said_again_is_no_query(shop_log, people):
    simulation = Simulation(shop_log, people, Echoing(), settings())
    with suppress(EngineAnswerError):
        simulation.run()
    assert kept_sessions(shop_log, simulation.run_id) > 0
    for query in queries(shop_log, simulation.run_id):
        assert 0 < len(query) <= LONGEST
        assert ":" not in query
        assert "：" not in query


class Undecided(Hostile):
    """Answers every ``one_in``-th choice with none of the options, the kinds in turn."""

    def __init__(self, one_in):
        super().__init__()
        self.one_in = one_in
        self.chosen = 0

    def choice(self, request, answer):
        self.chosen += 1
        if self.chosen % self.one_in:
            return answer
        if isinstance(request, LikelihoodRequest):
            values = (float("nan"), float("-inf"), 0.5)
            bad = [
                LikelihoodAnswer(-3.0, 1, 1, usable=False),
                *(LikelihoodAnswer(value, 1, 1) for value in values),
                ChoiceAnswer((-0.7, -0.7), 1, 1),
                TextAnswer("Maybe", 1, 1),
            ]
            return bad[self.chosen // self.one_in % len(bad)]
        size = len(request.options)
        bad = [
            ChoiceAnswer((-0.1,) * size, 1, 1, usable=False),
            ChoiceAnswer((), 1, 1),
            ChoiceAnswer((-0.7,) * (size + 1), 1, 1),
            ChoiceAnswer((float("nan"),) * size, 1, 1),
            ChoiceAnswer((float("-inf"),) * size, 1, 1),
            TextAnswer("Maybe", 1, 1),
        ]
        return bad[self.chosen // self.one_in % len(bad)]


@pytest.mark.parametrize("scoring", ["item", "slate", "query"])
def test_some_choices_that_are_none_are_counted(shop_log, people, scoring):
    engine = Undecided(5)
    summary = Simulation(shop_log, people, engine, settings(scoring=scoring)).run()
    assert summary.state == "finished"
    assert summary.unusable_answers > 0
    assert kept_sessions(shop_log, summary.run_id) == 20
    scores = [row["score"] for row in synthetic_rows(shop_log, summary.run_id)["impressions"]]
    assert None in scores
    assert any(score is not None for score in scores)


@pytest.mark.parametrize("scoring", ["item", "slate", "query"])
def test_only_choices_that_are_none_are_told(shop_log, people, scoring):
    simulation = Simulation(
        shop_log,
        people,
        Undecided(1),
        settings(sessions=200, scoring=scoring, largest_unusable_share=0.3),
    )
    with pytest.raises(EngineAnswerError):
        simulation.run()
    assert kept_sessions(shop_log, simulation.run_id) > 0


@pytest.mark.parametrize("scoring", ["item", "slate", "query"])
def test_unusable_choices_do_not_stop_the_fit(shop_log, people, scoring):
    summary = Simulation(
        shop_log,
        people,
        Undecided(1),
        settings(
            behaviour="fit",
            scored_slates=5,
            pilot_sessions=4,
            scoring=scoring,
            largest_unusable_share=1.0,
        ),
    ).run()
    assert kept_sessions(shop_log, summary.run_id) == 20
    assert {row["score"] for row in synthetic_rows(shop_log, summary.run_id)["impressions"]} == {
        None
    }


class Mortal(Hostile):
    """Dies while it waits for the answer after the ``lifetime``-th."""

    error = EngineUnavailableError("The engine has died.", hint="Start it again.")

    def __init__(self, lifetime):
        super().__init__()
        self.lifetime = lifetime

    @property
    def identity(self):
        return EngineIdentity("hostile", "Mortal", "0" * 64)

    def collect(self):
        if self.answered >= self.lifetime:
            raise self.error
        return super().collect()


class Crashing(Mortal):
    """A plug-in that dies of a mistake of its own."""

    error = ZeroDivisionError("somebody else's mistake")


@pytest.mark.parametrize("kind", [Mortal, Crashing])
def test_an_engine_that_dies_leaves_whole_sessions_and_another_one_goes_on(log_named, people, kind):
    path, undisturbed = log_named("a"), log_named("b")
    run_id = Simulation(undisturbed, people, Mortal(10**9), settings()).run().run_id
    kept = []
    for lifetime in (0, 15, 60, 120):
        with pytest.raises(type(kind.error)):
            Simulation(path, people, kind(lifetime), settings()).run()
        kept.append(kept_sessions(path, run_id))
        with Log.open(path) as log:
            assert log.scalar("SELECT state FROM runs WHERE kind = 'simulate'") == "failed"
    assert kept[0] == 0
    assert kept == sorted(kept)
    assert 0 < kept[-1] < 20
    assert Simulation(path, people, Mortal(10**9), settings()).run().already_done == kept[-1]
    assert synthetic_rows(path, run_id) == synthetic_rows(undisturbed, run_id)


class Ordered(Hostile):
    """Answers well; what comes next differs from it in order and repetition only."""

    @property
    def identity(self):
        return EngineIdentity("hostile", "Ordered", "0" * 64)


class Backwards(Ordered):
    """Gives one answer at a time, mostly the last one asked."""

    def __init__(self):
        super().__init__()
        self.waiting = []
        self.random = random.Random(5)

    def collect(self):
        self.waiting += super().collect()
        if self.waiting and self.random.random() < 0.2:
            self.random.shuffle(self.waiting)
        return [self.waiting.pop()] if self.waiting else []


class Repeating(Ordered):
    """Gives every answer twice, the second time in another call and with other contents."""

    def __init__(self):
        super().__init__()
        self.again = []

    def collect(self):
        ready = super().collect()
        if not ready:
            return []
        repeated, self.again = self.again, [(ticket, TextAnswer("no", 1, 1)) for ticket, _ in ready]
        return repeated + ready


@pytest.mark.parametrize("kind", [Backwards, Repeating])
def test_order_and_repetition_change_nothing(log_named, people, kind):
    path, plain = log_named("a"), log_named("b")
    run_id = Simulation(plain, people, Ordered(), settings()).run().run_id
    assert Simulation(path, people, kind(), settings()).run().run_id == run_id
    assert synthetic_rows(path, run_id) == synthetic_rows(plain, run_id)
    assert kept_sessions(path, run_id) == 20


class Interrupting(Ordered):
    """Is at work when the user presses Ctrl-C."""

    def __init__(self, lifetime):
        super().__init__()
        self.lifetime = lifetime

    def collect(self):
        if self.answered >= self.lifetime:
            self.lifetime = 10**9
            raise KeyboardInterrupt
        return super().collect()


def test_an_interrupted_simulation_goes_on_when_it_is_called_again(log_named, people):
    path, plain = log_named("a"), log_named("b")
    run_id = Simulation(plain, people, Ordered(), settings()).run().run_id
    simulation = Simulation(path, people, Interrupting(60), settings())
    assert simulation.run().state == "interrupted"
    kept = kept_sessions(path, run_id)
    assert 0 < kept < 20
    summary = simulation.run()
    assert summary.state == "finished"
    assert summary.already_done == kept
    assert synthetic_rows(path, run_id) == synthetic_rows(plain, run_id)


class Losing(Hostile):
    """Never answers one of its requests."""

    def __init__(self, which):
        super().__init__()
        self.which = which

    def collect(self):
        return [pair for pair in super().collect() if pair[0] != self.which]


def test_a_request_without_an_answer_ends_the_run_instead_of_hanging_it(shop_log, people):
    simulation = Simulation(shop_log, people, Losing(30), settings())
    with pytest.raises(EngineAnswerError, match="no answer to 1 of"):
        simulation.run()
    # All the other shoppers went on to their end.
    assert 10 <= kept_sessions(shop_log, simulation.run_id) < 20


class Vanished:
    """A search engine and recommender that knows more items than the shop has, and repeats some."""

    name = "vanished"

    def __init__(self, catalog):
        self.known = [str(item_id) for item_id in catalog.item_ids]

    def _page(self, limit, offset):
        page = self.known[offset : offset + limit]
        mixed = [each for item_id in page for each in (f"gone-{item_id}", item_id, item_id)]
        return [*mixed, *self.known]

    def recommend(self, personas, *, limit, offset=0):
        return [self._page(limit, offset) for _ in personas]

    def search(self, queries, *, limit, offset=0):
        return [self._page(limit, offset) for _ in queries]


class SoldOut(Vanished):
    """Shows only items that the shop does not have any more."""

    def _page(self, limit, offset):
        return [f"gone-{number}" for number in range(offset, offset + limit)]


@pytest.mark.parametrize("scoring", ["item", "slate", "query"])
def test_items_that_vanished_are_not_shown_and_counted(shop_log, people, scoring):
    name = f"{__name__}:Vanished"
    summary = Simulation(
        shop_log,
        people,
        ScriptedEngine(),
        settings(search=name, recommender=name, scoring=scoring, page_size=6),
    ).run()
    assert summary.state == "finished"
    assert summary.vanished_items > 0
    assert kept_sessions(shop_log, summary.run_id) == 20  # positions without gaps, no item twice
    rows = synthetic_rows(shop_log, summary.run_id)
    assert {row["answered_by"] for row in rows["searches"]} == {"vanished"}
    assert rows["impressions"]
    assert not any(row["item_id"].startswith("gone") for row in rows["impressions"])
    assert max(row["position"] for row in rows["impressions"]) == 6
    first = [row["item_id"] for row in rows["impressions"] if row["search_id"].endswith("/01")]
    assert len(set(first)) == 6


def test_a_shop_that_has_nothing_to_show(shop_log, people):
    name = f"{__name__}:SoldOut"
    # The scripted engine says the same again where nothing was found: no answer of use.
    chosen = settings(search=name, recommender=name, largest_unusable_share=1.0)
    summary = Simulation(shop_log, people, ScriptedEngine(), chosen).run()
    assert summary.state == "finished"
    assert summary.impressions == 0
    assert summary.vanished_items >= 20 * 10
    assert kept_sessions(shop_log, summary.run_id) == 20


def test_items_that_leave_the_catalogue_between_two_parts_of_a_run(shop_log, people):
    with pytest.raises(EngineUnavailableError):
        Simulation(shop_log, people, Mortal(100), settings()).run()
    with Log.open(shop_log, read_only=False) as log:
        kept = log.count("sessions") - log.count("sessions", "real")
        log.execute(
            "DELETE FROM items WHERE item_id IN (SELECT item_id FROM impressions "
            "WHERE origin <> 'real' AND (clicked OR hash(item_id) % 2 = 0))"
        )
        assert 0 < log.count("items") < 60
    summary = Simulation(shop_log, people, Mortal(10**9), settings()).run()
    assert summary.already_done == kept > 0
    assert kept_sessions(shop_log, summary.run_id) == 20
