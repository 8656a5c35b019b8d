from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from footfall.simulator.behaviour import Behaviour
from footfall.simulator.calibration import calibrate, read_slates
from footfall.simulator.catalog import Catalog
from footfall.simulator.engines.choices import choice_answer
from footfall.simulator.engines.protocol import LikelihoodAnswer, LikelihoodRequest
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.engines.shared_answers import SharedAnswers
from footfall.simulator.log import Log
from footfall.simulator.prompts import PromptBook
from footfall.simulator.schema import ARROW_SCHEMAS

UNTIL = datetime(2024, 3, 1)


def add(log, table, rows):
    log.append(table, pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[table]))


def slate_rows(number, *, at=UNTIL - timedelta(days=2), origin="real", **responses):
    """Rows of a slate of one item a response: ``b=(clicked, purchased)`` is item ``b``."""
    session, search = f"{origin}-{number}", f"{origin}-{number}/1"
    return {
        "sessions": [
            {"session_id": session, "user_id": f"u{number}", "started_at": at, "origin": origin}
        ],
        "searches": [
            {
                "search_id": search,
                "session_id": session,
                "step": 1,
                "page": 1,
                "query": f"query {number}",
                "candidates": "logged",
                "searched_at": at,
                "origin": origin,
            }
        ],
        "impressions": [
            {
                "search_id": search,
                "position": 9 - place,
                "item_id": item,
                "clicked": clicked,
                "purchased": purchased,
                "shown_at": at,
                "sample_rate": 1.0,
                "origin": origin,
            }
            for place, (item, (clicked, purchased)) in enumerate(responses.items())
        ],
    }


def add_slates(log, slates):
    for table in ("sessions", "searches", "impressions"):
        add(log, table, [row for rows in slates for row in rows[table]])


def add_slate(log, number, **parts):
    add_slates(log, [slate_rows(number, **parts)])


@pytest.fixture
def log(tmp_path):
    with Log.create(tmp_path / "shop.duckdb") as made:
        yield made


def test_a_slate_is_read_in_one_order_and_clicks_come_before_purchases(log):
    add_slate(log, 1, b=(True, False), a=(False, False), c=(False, True), d=(None, True))
    assert read_slates(log, count=5) == [
        {
            "user_id": "u1",
            "query": "query 1",
            "item_ids": ["a", "b", "c"],
            "positions": [8, 9, 7],
            "responses": [False, True, False],
            "sample_rates": [1.0, 1.0, 1.0],
        }
    ]


def test_purchases_are_the_response_where_nothing_was_clicked(log):
    add_slate(log, 1, a=(None, True), b=(None, False), c=(None, None))
    (slate,) = read_slates(log, count=5)
    assert slate["item_ids"] == ["a", "b"]
    assert slate["responses"] == [True, False]


@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=8))])
def test_later_and_simulated_slates_are_not_read(log, zone):
    add_slate(log, 1, at=UNTIL - timedelta(seconds=1), a=(True, False))
    add_slate(log, 2, at=UNTIL, a=(True, False))
    add_slate(log, 3, at=UNTIL - timedelta(days=1), origin="sim-1", a=(True, False))
    until = UNTIL if zone is None else UNTIL.replace(tzinfo=UTC).astimezone(zone)
    assert [slate["user_id"] for slate in read_slates(log, count=9, until=until)] == ["u1"]
    assert len(read_slates(log, count=9)) == 2


def test_clicks_after_until_do_not_make_clicks_the_response(log):
    add_slate(log, 1, a=(False, True))
    add_slate(log, 2, at=UNTIL, a=(True, False))
    (slate,) = read_slates(log, count=9, until=UNTIL)
    assert slate["responses"] == [True]


def test_the_seed_chooses_the_slates(log):
    add_slates(log, [slate_rows(number, a=(True, False)) for number in range(40)])
    chosen = [[row["user_id"] for row in read_slates(log, count=5, seed=s)] for s in (0, 0, 1)]
    assert len(set(chosen[0])) == 5
    assert chosen[0] == chosen[1] != chosen[2]


class Prefers(ScriptedEngine):
    """Likes the item that is called won, and remembers what it is asked.

    ``by_slate`` and ``by_item`` say whether it does so in either way of asking; the first label of
    a slate is favoured by ``first``.
    """

    def __init__(self, *, by_slate=True, by_item=True, first=0.0):
        super().__init__()
        self.prompts = []
        self.by_slate, self.by_item, self.first = by_slate, by_item, first

    def _choice_answer(self, request):
        self.prompts.append(request.prompt)
        lines = request.prompt.splitlines()
        if lines[-1] in {"Suits:", "Clicks:", "适合：", "点击："} and len(request.options) == 2:
            likes = [3.0 * (self.by_item and "won" in lines[-2])]
        else:
            items = lines[-len(request.options) : -1]
            likes = [3.0 * (self.by_slate and "won" in item) for item in items]
            likes[0] += self.first
        return choice_answer([*likes, 0.0], prompt_tokens=1, output_tokens=1)


def wanted_shop(log, slates=150):
    items = [
        {"item_id": item, "text": f"text {item}", "category": "c", "price": 1.0, "origin": "real"}
        for item in ("won", "lost", "left", "last")
    ]
    add(log, "items", items)
    add_slates(
        log,
        [
            slate_rows(
                number,
                won=(number % 5 > 0, False),
                lost=(number % 9 == 0, False),
                left=(number % 11 == 0, False),
                last=(number % 7 == 0, False),
            )
            for number in range(slates)
        ],
    )


def fitted(log, engine, **settings):
    settings = {"until": UNTIL, "scored_slates": 60, **settings}
    return calibrate(log, Catalog.from_log(log), engine, PromptBook(), **settings)


@pytest.mark.parametrize("scoring", ["item", "slate"])
def test_a_model_that_prefers_what_is_clicked_gets_weight(log, scoring):
    wanted_shop(log)
    engine = Prefers()
    found = fitted(log, engine, scoring=scoring)
    assert (found.scoring, found.correction.kind, found.bias.kind) == (scoring,) * 3
    assert found.comparison is None
    behaviour = found.behaviour
    assert behaviour.on_preference.source == "fitted"
    assert behaviour.on_preference.value > 1.0
    assert behaviour.on_preference.note == "240 scored impressions"
    assert "600 impressions, response: clicks" in behaviour.intercept.note
    about_slates = [prompt for prompt in engine.prompts if "query" in prompt]
    # Once, once more in other words; slates once more in another order, and mixed: of a page's
    # length and of their own, and of their own in other words.
    assert len(about_slates) == (60 * 6 if scoring == "slate" else 240 * 2)


def test_one_pass_a_slate_is_taken_where_it_tells_no_less(log):
    wanted_shop(log)
    found = fitted(log, Prefers())
    assert found.scoring == "slate"
    assert found.comparison.slates == 60
    told = found.comparison.log_likelihoods
    assert told["slate"] >= told["item"] - 1
    assert set(told) == {"slate", "item", "query"}


def test_items_are_asked_about_one_by_one_where_a_slate_confuses_the_model(log):
    wanted_shop(log)
    found = fitted(log, Prefers(by_slate=False))
    assert found.scoring == "item"
    told = found.comparison.log_likelihoods
    assert told["item"] > told["slate"] + 10
    assert found.behaviour.on_preference.value > 1.0
    assert found.bias.before is None


class Types(Prefers):
    """Who looks for what is clicked types the query; it cannot choose among items."""

    def __init__(self):
        super().__init__(by_slate=False, by_item=False)

    def _likelihood_answer(self, request):
        wanted = "won" in request.prompt
        return LikelihoodAnswer(-10.0 + 3.0 * wanted, 1, 1)


def test_query_likelihood_is_taken_where_it_tells_most(log):
    wanted_shop(log)
    found = fitted(log, Types())
    assert found.scoring == "query"
    assert (found.correction.kind, found.bias.kind) == ("query", "query")
    assert found.behaviour.on_preference.value > 1.0
    assert "by the query" in found.comparison.line()


def test_a_log_of_responses_only_keeps_the_prior_curve_and_asks_by_the_query(log):
    wanted_shop(log)
    log.execute("DELETE FROM impressions WHERE NOT clicked")
    found = fitted(log, Types())
    assert (found.scoring, found.comparison) == ("query", None)
    curve = found.behaviour
    assert curve.intercept.value == Behaviour().intercept.value
    assert curve.on_preference.value == Behaviour().on_preference.value > 0
    assert "keeps no impression without a response" in curve.intercept.note
    log.execute("UPDATE searches SET query = NULL")
    assert fitted(log, Types()).scoring in {"slate", "item"}


class KnowsTwoRequests(Types):
    """A plug-in from before there were likelihoods."""

    def submit(self, request):
        if isinstance(request, LikelihoodRequest):
            raise AttributeError("'LikelihoodRequest' object has no attribute 'options'")
        return super().submit(request)


class KeepsLikelihoods(Types):
    """A server that does not repeat prompts."""

    def _likelihood_answer(self, request):
        return LikelihoodAnswer(0.0, 1, 1, usable=False)


@pytest.mark.parametrize("engine", [KnowsTwoRequests, KeepsLikelihoods])
def test_an_engine_without_likelihoods_is_asked_in_the_other_ways(log, engine, capsys):
    wanted_shop(log)
    found = fitted(log, SharedAnswers(engine()))
    assert set(found.comparison.log_likelihoods) == {"slate", "item"}
    assert "not asked by the query" in capsys.readouterr().err.replace("\n", " ")


def test_query_likelihood_is_not_asked_where_nothing_was_typed(log):
    wanted_shop(log)
    log.execute("UPDATE searches SET query = NULL")
    found = fitted(log, Types())
    assert set(found.comparison.log_likelihoods) == {"slate", "item"}


def test_bias_of_places_is_measured_before_and_after_the_correction(log):
    wanted_shop(log)
    found = fitted(log, Prefers(first=4.0), scoring="slate")
    # Four labels: the first is 4 above the rest, so 3 above their mean, the others 1 below.
    assert found.bias.before.by_label == pytest.approx((3.0, -1.0, -1.0, -1.0), abs=0.8)
    assert found.bias.after.largest < 0.8
    assert found.bias.after.root_mean_square < 2.5 * found.bias.after.by_chance
    assert found.bias.order.value == pytest.approx(1.0, abs=0.02)
    assert found.bias.wording.value == pytest.approx(1.0, abs=0.02)
    assert "uncorrected: largest" in "\n".join(found.summary_lines())


class FavoursRealItems(Prefers):
    """Its first label only helps items that say something: content-free texts do not show it."""

    def _choice_answer(self, request):
        self.first = 4.0 * ("text" in request.prompt)
        return super()._choice_answer(request)


def test_bias_that_empty_items_do_not_show_is_found_on_mixed_slates(log):
    wanted_shop(log)
    found = fitted(log, FavoursRealItems(), scoring="slate").bias
    assert found.content_free.largest == pytest.approx(found.before.largest)
    assert found.content_free.largest > 2.0
    assert found.after.largest < 0.8
    assert found.order.value > 0.9


def test_the_summary_has_every_rate_with_its_source(log):
    wanted_shop(log)
    lines = "\n".join(fitted(log, Prefers()).summary_lines())
    tried_out_later = {"intercept_shift", "intent_spread", "intent_of_shopper"}
    for name, field in Behaviour.model_fields.items():
        assert field.description
        if name in tried_out_later:
            continue
        assert name.replace("_", " ") in lines
    assert "(prior: " in lines
    assert "(fitted: " in lines


def test_the_same_seed_fits_the_same(log):
    wanted_shop(log)
    first, again = (fitted(log, ScriptedEngine(), seed=3) for _ in range(2))
    assert first == again
    assert fitted(log, ScriptedEngine(), seed=4).behaviour != first.behaviour


def test_without_scored_slates_the_model_counts_for_nothing_and_that_is_said(log):
    wanted_shop(log)
    engine = Prefers()
    found = fitted(log, engine, scored_slates=0)
    assert engine.prompts == []
    assert found.behaviour.on_preference.value == 0.0
    assert found.behaviour.on_preference.source == "prior"
    assert "nothing to fit on" in found.behaviour.on_preference.note
    assert found.behaviour.intercept.source == "fitted"


def test_items_that_the_given_catalogue_lacks_do_not_stop_the_fit(log):
    wanted_shop(log)
    catalog = Catalog.from_log(log).subset(["won", "lost"])
    found = calibrate(log, catalog, Prefers(), PromptBook(), until=UNTIL, scored_slates=60)
    assert found.behaviour.on_preference.value > 0.5
