from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from footfall.errors import (
    CatalogueError,
    EngineUnavailableError,
    InputError,
    NoResponseError,
    PersonaError,
)
from footfall.finetune import read_examples
from footfall.personas.persona import Persona
from footfall.simulator import aimed_shop
from footfall.simulator.aimed_response import (
    LoneRows,
    ResponseCurve,
    fit_appeal_curve,
    fit_response_curve,
    read_lone_rows,
)
from footfall.simulator.aimed_settings import AimedSettings
from footfall.simulator.aimed_visits import AimedVisits
from footfall.simulator.engines.protocol import ChoiceAnswer, TextAnswer
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.engines.tuned import person_hash
from footfall.simulator.log import Log
from footfall.simulator.people_without_history import people_without_history
from footfall.simulator.prompts import PromptBook

from conftest import UNTIL, make_shop  # isort: skip

ITEMS = ("i0", "i15", "i39")
SETTINGS = AimedSettings(visits_per_item=6, until=UNTIL, visits_per_commit=4)


@pytest.fixture
def path(tmp_path):
    made = make_shop(tmp_path / "shop.duckdb")
    with Log.open(made, read_only=False) as log:
        log.execute("UPDATE searches SET query = 'query ' || session_id")
    return made


def people(count=12):
    kinds = ["pizza", "yogurt", "soup", "bread", "牛奶", "面条"]
    return [
        Persona(
            persona_id=f"p{n}",
            interests={f"food > {kinds[n % 6]}": 1.0},
            demographics={"age": "25-34"},
        )
        for n in range(count)
    ]


def told(path, run):
    with Log.open(path) as log:
        return log.query(
            "SELECT s.session_id, e.user_id, s.query, s.answered_by, i.item_id, i.position, "
            "i.clicked, i.purchased FROM impressions i JOIN searches s USING (search_id) "
            "JOIN sessions e USING (session_id) WHERE i.origin = $run "
            "ORDER BY s.session_id, position",
            {"run": run},
        ).to_pylist()


class Dying(ScriptedEngine):
    """Answers nine requests, and none after them."""

    left = 9

    def submit(self, request):
        self.left -= 1
        if self.left < 0:
            raise EngineUnavailableError("The engine has died.", hint="Start it again.")
        return super().submit(request)


def test_every_item_is_met_equally_often_and_taken_once_a_visit(path):
    summary = AimedVisits(path, people(), ScriptedEngine(), ITEMS, SETTINGS).run()
    assert (summary.visits, summary.responses, summary.state) == (18, 18, "finished")
    rows = told(path, summary.run_id)
    taken = [row["item_id"] for row in rows if row["purchased"]]
    assert {item: taken.count(item) for item in ITEMS} == dict.fromkeys(ITEMS, 6)
    pages = {}
    for row in rows:
        pages.setdefault(row["session_id"], []).append(row)
    for page in pages.values():
        assert len(page) <= 10
        assert len({row["item_id"] for row in page}) == len(page)
        assert sum(row["purchased"] for row in page) == 1
    # A shop's answer has the item where the shop puts it; elsewhere it stands anywhere.
    assert len({page[0]["answered_by"] for page in pages.values()}) == 1


def test_shoppers_come_for_what_interests_them(path):
    settings = SETTINGS.model_copy(update={"visits_per_item": 60})
    run = AimedVisits(path, people(), ScriptedEngine(), ["i0"], settings).run()
    users = {row["user_id"].rpartition("/p")[2] for row in told(path, run.run_id)}
    # i0 is pizza: those of interest 0 are persons 0 and 6.
    assert {"0", "6"} <= users
    counts = [row["user_id"].rpartition("/p")[2] for row in told(path, run.run_id)]
    assert np.mean([int(n) % 6 == 0 for n in counts]) > 0.8


def test_the_same_command_goes_on_and_adds_nothing(path):
    with pytest.raises(EngineUnavailableError):
        AimedVisits(path, people(), Dying(), ITEMS, SETTINGS).run()
    visits = AimedVisits(path, people(), ScriptedEngine(), ITEMS, SETTINGS)
    kept = len({row["session_id"] for row in told(path, visits.run_id)})
    assert 0 < kept < 18
    assert visits.run().already_done == kept
    broken_off = told(path, visits.run_id)
    assert visits.run().already_done == 18
    assert told(path, visits.run_id) == broken_off


def test_an_interrupted_run_is_the_run_that_was_not_interrupted(path, tmp_path):
    other = Path(shutil.copy(path, tmp_path / "other.duckdb"))
    whole = AimedVisits(other, people(), ScriptedEngine(), ITEMS, SETTINGS).run()
    with pytest.raises(EngineUnavailableError):
        AimedVisits(path, people(), Dying(), ITEMS, SETTINGS).run()
    resumed = AimedVisits(path, people(), ScriptedEngine(), ITEMS, SETTINGS).run()
    assert 0 < resumed.already_done < 18
    assert whole.run_id == resumed.run_id
    assert told(path, resumed.run_id) == told(other, whole.run_id)


class Priced(ScriptedEngine):
    """Every answer costs three tokens read and one written."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def submit(self, request):
        self.asked += 1
        return super().submit(request)

    def collect(self):
        return [
            (ticket, replace(answer, prompt_tokens=3, output_tokens=1))
            for ticket, answer in super().collect()
        ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"queries": "none", "shoppers": "model"},
        {"queries": "logged", "response": "model", "scored_rows": 40},
    ],
)
def test_the_tokens_of_every_answer_are_counted(path, changes):
    engine = Priced()
    settings = SETTINGS.model_copy(update=changes)
    summary = AimedVisits(path, people(), engine, ITEMS, settings).run()
    assert engine.asked > 0
    assert (summary.prompt_tokens, summary.output_tokens) == (3 * engine.asked, engine.asked)


def test_words_that_cannot_be_used_leave_the_visit_out(path):
    class Silent(ScriptedEngine):
        def collect(self):
            return [(ticket, TextAnswer("", 1, 1)) for ticket, _ in super().collect()]

    summary = AimedVisits(path, people(), Silent(), ITEMS, SETTINGS).run()
    assert summary.without_query == 18
    assert told(path, summary.run_id) == []


def test_a_log_without_queries_gets_browsing_visits(path):
    with Log.open(path, read_only=False) as log:
        log.execute("UPDATE searches SET query = NULL")
    run = AimedVisits(path, people(), ScriptedEngine(), ITEMS, SETTINGS).run()
    assert {row["query"] for row in told(path, run.run_id)} == {None}


def test_logged_queries_are_taken_over(path):
    settings = SETTINGS.model_copy(update={"queries": "logged"})
    run = AimedVisits(path, people(), ScriptedEngine(), ITEMS, settings).run()
    with Log.open(path) as log:
        real = set(
            log.query("SELECT query FROM searches WHERE origin = 'real'")["query"].to_pylist()
        )
    asked = {row["session_id"]: row["query"] for row in told(path, run.run_id)}
    assert len(asked) == 18
    assert len(set(asked.values())) > 3
    assert set(asked.values()) <= real


def test_training_reads_the_visits_and_knows_what_they_knew(path):
    run = AimedVisits(path, people(), ScriptedEngine(), ITEMS, SETTINGS).run()
    with Log.open(path) as log:
        examples = read_examples(log, origins=[run.run_id], until=UNTIL)
        stored = log.query(
            "SELECT configuration, kind, state FROM runs WHERE run_id = $run", {"run": run.run_id}
        ).to_pylist()[0]
    assert int(examples.labels.sum()) == 18
    assert "25-34" in examples.column("shopper_text")[0]
    assert (stored["kind"], stored["state"]) == ("aimed", "finished")
    assert json.loads(stored["configuration"])["knowledge_until"] == UNTIL.isoformat()


class Liking(ScriptedEngine):
    """Prefers items whose text names a kind; the other answers are the scripted engine's."""

    def __init__(self, word):
        super().__init__()
        self.word = word
        self.asked = {}

    def submit(self, request):
        ticket = super().submit(request)
        self.asked[ticket] = request
        return ticket

    def collect(self):
        found = []
        for ticket, answer in super().collect():
            if isinstance(answer, ChoiceAnswer):
                drawn = self.word in self.asked[ticket].prompt
                answer = ChoiceAnswer((-0.1, -3.0) if drawn else (-3.0, -0.1), 1, 1)  # noqa: PLW2901
            found.append((ticket, answer))
        return found


def test_a_preference_counts_as_much_as_it_does_on_real_rows(path):
    with Log.open(path, read_only=False) as log:
        log.execute(
            "UPDATE impressions SET purchased = item_id IN "
            "(SELECT item_id FROM items WHERE text LIKE 'soup%') WHERE origin = 'real'"
        )
        common = {
            "label": "purchased",
            "rows": 200,
            "until": UNTIL,
            "locale": "en_US",
            "seed": 0,
        }
        rows = read_lone_rows(log, **common)
        told_well = fit_response_curve(Liking(": soup"), PromptBook(), rows)
        told_nothing = fit_response_curve(ScriptedEngine(), PromptBook(), rows)
        log.execute("UPDATE impressions SET purchased = false")
        with pytest.raises(NoResponseError):
            fit_response_curve(ScriptedEngine(), PromptBook(), read_lone_rows(log, **common))
    assert told_well.slope > 1.5
    assert abs(told_nothing.slope) < 0.6
    assert told_well.rows == 200


def test_a_tuned_preference_is_weighed_on_people_that_it_was_not_tuned_on(
    path, tmp_path, monkeypatch
):
    with Log.open(path, read_only=False) as log:
        log.execute(
            "UPDATE impressions SET purchased = item_id IN "
            "(SELECT item_id FROM items WHERE text LIKE 'soup%') WHERE origin = 'real'"
        )
        everybody = log.query("SELECT DISTINCT user_id FROM sessions WHERE origin = 'real'")
        held = sorted(everybody["user_id"].to_pylist())[:8]
        unseen = tuple(person_hash(user) for user in held)
        rows = read_lone_rows(
            log, unseen, label="purchased", rows=40, until=UNTIL, locale="en_US", seed=0
        )
        assert {person.persona_id for person, _, _ in rows.asked} <= set(held)
        assert len(rows.labels) == 40

    weighed = []

    def told(engine, prompts, rows, *, appeal):
        weighed.append({person.persona_id for person, _, _ in rows.asked})
        return fit_response_curve(engine, prompts, rows, appeal=appeal)

    class Tuned(Liking):
        unseen: tuple

        @property
        def identity(self):
            told = {"tuned_until": UNTIL.isoformat(), "unseen_people": self.unseen}
            return replace(super().identity, tuned=True, **told)

    monkeypatch.setattr(aimed_shop, "fit_response_curve", told)
    for response in ("model", "appeal"):
        # Of a stranger there is no row, and everybody's are taken.
        for Tuned.unseen in (unseen, (), ("0" * 16,)):
            settings = AimedSettings(
                visits_per_item=2, until=UNTIL, response=response, queries="logged", scored_rows=300
            )
            log_file = shutil.copy(path, tmp_path / f"{len(weighed)}.duckdb")
            AimedVisits(log_file, people(), Tuned(": soup"), ["i0"], settings).run()
    assert len(weighed) == 6
    for held_alone, all_of_them, again in (weighed[:3], weighed[3:]):
        assert held_alone <= set(held)
        assert len(all_of_them) > len(held)
        assert again == all_of_them


def test_chances_follow_the_curve_by_hand():
    curve = ResponseCurve(intercept=0.0, slope=1.0, mean=2.0, spread=2.0, rows=10)
    found = curve.chance(np.array([2.0, 4.0, 1e9]))
    assert found[0] == pytest.approx(0.5)
    assert found[1] == pytest.approx(1 / (1 + np.exp(-1)))
    assert found[2] == pytest.approx(1 / (1 + np.exp(-4)))
    beside = curve.model_copy(update={"appeal_slope": 0.5})
    found = beside.chance(np.array([2.0, 4.0]), np.array([2.0, -4.0]))
    assert found == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])


def test_a_preference_is_weighed_beside_what_the_appeal_tells():
    rng = np.random.default_rng(0)
    appeal, liking = rng.normal(size=(2, 4000))
    labels = rng.random(4000) < 1 / (1 + np.exp(-(0.5 + 1.5 * appeal + 0.8 * liking)))
    asked = [(Persona(persona_id="p"), None, str(number)) for number in range(4000)]
    rows = LoneRows(asked, labels, appeal)
    known = fit_appeal_curve(rows)
    # Beside the appeal alone, what is left out makes its log-odds a little smaller.
    assert 1.2 < known.appeal_slope < 1.5

    class Telling(ScriptedEngine):
        def collect(self):
            return [
                (ticket, ChoiceAnswer((float(liking[ticket % 4000]), 0.0), 1, 1))
                for ticket, _ in super().collect()
            ]

    beside = fit_response_curve(Telling(), PromptBook(), rows, appeal=known)
    assert (beside.intercept, beside.appeal_slope) == (known.intercept, known.appeal_slope)
    assert beside.slope == pytest.approx(0.7, abs=0.15)
    alone = fit_response_curve(Telling(), PromptBook(), rows)
    assert alone.appeal_slope == 0.0
    assert alone.slope == pytest.approx(0.5, abs=0.15)


def test_responses_by_preference_are_lone_items_taken_or_not(path):
    with Log.open(path, read_only=False) as log:
        log.execute(
            "UPDATE impressions SET purchased = item_id IN "
            "(SELECT item_id FROM items WHERE text LIKE 'soup%') WHERE origin = 'real'"
        )
    settings = AimedSettings(
        visits_per_item=30, until=UNTIL, response="model", queries="logged", scored_rows=200
    )
    run = AimedVisits(path, people(), Liking(": soup"), ["i0", "i20"], settings).run()
    rows = told(path, run.run_id)
    assert {row["position"] for row in rows} == {1}
    rates = {
        item: np.mean([row["purchased"] for row in rows if row["item_id"] == item])
        for item in ("i0", "i20")
    }
    # i20 is soup, i0 is not.
    assert rates["i20"] > 0.8
    assert rates["i0"] < 0.2
    assert run.weight is not None


def test_responses_by_the_logs_own_model_are_those_of_people_like_them(path):
    with Log.open(path, read_only=False) as log:
        # The old take soup. Nothing else tells who takes what, the language model least of all.
        log.execute(
            """UPDATE users SET demographics = CASE WHEN md5(user_id) < '8'
               THEN '{"age": "65+"}' ELSE '{"age": "25-34"}' END WHERE origin = 'real'"""
        )
        log.execute(
            "UPDATE impressions SET clicked = NULL, purchased = item_id IN "
            "(SELECT item_id FROM items WHERE text LIKE 'soup%') AND search_id IN "
            "(SELECT search_id FROM searches JOIN sessions USING (session_id) "
            " JOIN users USING (user_id) WHERE md5(user_id) < '8') WHERE origin = 'real'"
        )
    crowd = [
        Persona(persona_id=f"{age}/{n}", demographics={"age": age})
        for age in ("65+", "25-34")
        for n in range(4)
    ]
    settings = AimedSettings(
        visits_per_item=60, until=UNTIL, response="appeal", queries="logged", scored_rows=400
    )
    run = AimedVisits(path, crowd, ScriptedEngine(), ["i0", "i20"], settings).run()
    assert run.appeal_weight > 0.5
    assert abs(run.weight) < run.appeal_weight / 2
    rates = {}
    for row in told(path, run.run_id):
        key = (row["item_id"], "65+" in row["user_id"])
        rates.setdefault(key, []).append(row["purchased"])
        assert row["position"] == 1
    # i20 is soup, i0 is not.
    assert np.mean(rates["i20", True]) > 0.6
    assert max(np.mean(rates[key]) for key in rates if key != ("i20", True)) < 0.25


def test_the_logs_own_model_tells_the_response_that_slates_are_fitted_on(path):
    settings = SETTINGS.model_copy(update={"response": "appeal", "label": "clicked"})
    with Log.open(path, read_only=False) as log:
        log.execute("UPDATE impressions SET clicked = NULL WHERE origin = 'real'")
    with pytest.raises(NoResponseError, match="tells `purchased`, and `clicked`"):
        AimedVisits(path, people(), ScriptedEngine(), ITEMS, settings).run()


def test_whom_the_model_finds_drawn_comes(path):
    settings = SETTINGS.model_copy(update={"shoppers": "model", "shoppers_asked": 8})
    crowd = [
        Persona(
            persona_id=f"{kind}{n}",
            demographics={"likes": kind},
            interests={"food > pizza": 1.0},
        )
        for kind, count in (("other", 6), ("fan", 2))
        for n in range(count)
    ]

    class Fan(Liking):
        def collect(self):
            found = []
            for ticket, answer in ScriptedEngine.collect(self):
                if isinstance(answer, ChoiceAnswer):
                    fan = "Shopper: fan" in self.asked[ticket].prompt
                    answer = ChoiceAnswer((-0.01, -8.0) if fan else (-8.0, -0.01), 1, 1)  # noqa: PLW2901
                found.append((ticket, answer))
            return found

    settings = settings.model_copy(update={"visits_per_item": 40, "queries": "none"})
    run = AimedVisits(path, crowd, Fan(""), ["i0"], settings).run()
    by_interest = AimedVisits(
        path, crowd, Fan(""), ["i0"], settings.model_copy(update={"shoppers": "interest"})
    ).run()
    share = [
        np.mean(["fan" in row["user_id"] for row in told(path, each.run_id)])
        for each in (run, by_interest)
    ]
    assert share[0] > share[1] + 0.2


def test_what_cannot_be_aimed_at_is_refused(path):
    with pytest.raises(CatalogueError):
        AimedVisits(path, people(), ScriptedEngine(), [], SETTINGS)
    with pytest.raises(CatalogueError, match="nowhere"):
        AimedVisits(path, people(), ScriptedEngine(), ["nowhere"], SETTINGS).run()
    with pytest.raises(PersonaError):
        AimedVisits(path, [], ScriptedEngine(), ITEMS, SETTINGS)


def test_people_aimed_at_come_equally_often_for_what_people_like_them_want(path):
    settings = SETTINGS.model_copy(
        update={"aim": "people", "visits_per_person": 40, "queries": "none"}
    )
    items = [f"i{number}" for number in range(60)]
    run = AimedVisits(path, people(6), ScriptedEngine(), items, settings).run()
    taken = [row for row in told(path, run.run_id) if row["purchased"]]
    who = [int(row["user_id"].rpartition("/p")[2]) for row in taken]
    assert {n: who.count(n) for n in range(6)} == dict.fromkeys(range(6), 40)
    # Ten items of each kind, in order: person n likes kind n.
    liked = [int(row["item_id"][1:]) // 10 == n for row, n in zip(taken, who, strict=True)]
    assert np.mean(liked) > 0.9
    with Log.open(path) as log:
        stored = log.query(
            "SELECT persona FROM users WHERE origin = $run", {"run": run.run_id}
        ).to_pylist()
    assert [json.loads(row["persona"])["interests"] for row in stored] == [{}] * 6


def test_the_model_chooses_what_people_come_for(path):
    class Soup(ScriptedEngine):
        """Drawn to soup alone."""

        def collect(self):
            return [
                (ticket, self.drawn(self.prompts.pop(ticket), answer))
                for ticket, answer in super().collect()
            ]

        def submit(self, request):
            ticket = super().submit(request)
            self.prompts[ticket] = str(request)
            return ticket

        def drawn(self, prompt, answer):
            if not isinstance(answer, ChoiceAnswer):
                return answer
            drawn = 0.0 if "soup" in prompt else -9.0
            return replace(answer, log_probabilities=(drawn, *answer.log_probabilities[1:-1], -3.0))

    engine = Soup()
    engine.prompts = {}
    settings = SETTINGS.model_copy(
        update={"aim": "people", "visits_per_person": 10, "shoppers": "model", "shoppers_asked": 6}
    )
    anybody = [Persona(persona_id="p0"), Persona(persona_id="p1")]
    items = [f"i{number}" for number in range(60)]
    run = AimedVisits(path, anybody, engine, items, settings).run()
    taken = [row["item_id"] for row in told(path, run.run_id) if row["purchased"]]
    # One item in six is soup: of six drawn items two in three times one is, and it is taken.
    assert np.mean([20 <= int(item[1:]) < 30 for item in taken]) > 0.4


def test_people_are_known_by_their_demographics_and_live_like_others_of_them(path):
    population = [
        Persona(
            persona_id="a", demographics={"age": "25-34"}, interests={"x": 1.0}, history=("h",)
        ),
        Persona(persona_id="b", demographics={"age": "65+"}, interests={"y": 1.0}),
    ]
    with Log.open(path, read_only=False) as log:
        log.execute("""UPDATE users SET demographics = '{"age": "65+"}' WHERE user_id = 'u7'""")
        made = people_without_history(log, ["u7", "u3", "nobody"], population, seed=0)
        with pytest.raises(PersonaError, match="no personas"):
            people_without_history(log, ["u7"], [], seed=0)
        log.execute("UPDATE users SET demographics = '[1]' WHERE user_id = 'u7'")
        with pytest.raises(InputError, match=r"'u7'.*not a JSON object"):
            people_without_history(log, ["u7"], population, seed=0)
    assert [person.persona_id for person in made] == ["nobody", "u3", "u7"]
    stranger, young, old = made
    assert (young.demographics, young.interests) == ({"age": "25-34"}, {"x": 1.0})
    assert (old.demographics, old.interests) == ({"age": "65+"}, {"y": 1.0})
    assert stranger.demographics == {}
    assert {person.history for person in made} == {()}
