import csv
import pickle
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.personas.persona import Persona
from footfall.simulator import appeal_fit
from footfall.simulator.appeal import Appeal, fit_with_out_of_fold
from footfall.simulator.appeal_features import HASH_SPACE, slate_features
from footfall.simulator.ingest.run import ingest_mapping
from footfall.simulator.log import Log
from footfall.simulator.real_slates import RealSlate

WORDS = {
    "en": {
        "habit": ("visits cafes", {"often": "every week", "never": "never"}),
        "other": ("town", ["north", "south", "east", "west"]),
        "items": {"cafe": "Coffee House voucher, 2h", "bar": "Bar voucher, 1d"},
        "weather": ("Sunny", "Snowy"),
        "query": "Work, {}, {}",
        "company": ["Alone", "Friends", "Kids"],
    },
    "zh": {
        "habit": ("去咖啡馆", {"often": "每周", "never": "从不"}),
        "other": ("城区", ["东", "南", "西", "北"]),
        "items": {"cafe": "咖啡馆优惠券，两小时", "bar": "酒吧优惠券，一天"},
        "weather": ("晴天", "下雪"),
        "query": "上班，{}，{}",
        "company": ["独自", "朋友", "孩子"],
    },
}
#: Log-odds of a response by habit and item, and what bad weather takes from the bar.
TRUTH = {("often", "cafe"): 1.5, ("often", "bar"): -1.5, ("never", "cafe"): -1.5}
SNOW = 1.5


def truth(habit, item, snow):
    return TRUTH.get((habit, item), 1.0) - (SNOW if snow and item == "bar" else 0.0)


def row(text, category=None, **known):
    return {
        "text": text,
        "category": category,
        "brand": None,
        "price": None,
        "popularity": 0.0,
        **known,
    }


def slate(persona, query, rows, responses, *, positions=None, rates=None):
    count = len(rows)
    return RealSlate(
        persona=persona,
        query=query,
        item_ids=tuple(each["text"] for each in rows),
        rows=rows,
        positions=tuple(positions or [float("nan")] * count),
        responses=tuple(responses),
        sample_rates=tuple(rates or [1.0] * count),
    )


def offers(language, *, people=150, offers_each=8, seed=0, chance=None):
    """One offer a slate; with its true log-odds. ``chance`` replaces the truth."""
    words, rng = WORDS[language], np.random.default_rng(seed)
    made, log_odds = [], []
    for number in range(people):
        habit = ("often", "never")[int(rng.random() < 0.25)]
        persona = Persona(
            persona_id=f"u{number}",
            demographics={
                words["habit"][0]: words["habit"][1][habit],
                words["other"][0]: words["other"][1][int(rng.integers(4))],
            },
        )
        for _ in range(offers_each):
            item, snow = ("cafe", "bar")[int(rng.random() < 0.25)], int(rng.integers(2))
            company = words["company"][int(rng.integers(3))]
            query = words["query"].format(words["weather"][snow], company)
            true = truth(habit, item, snow) if chance is None else chance(rng)
            log_odds.append(true)
            response = bool(rng.random() < 1 / (1 + np.exp(-true)))
            made.append(slate(persona, query, [row(words["items"][item], item)], [response]))
    return made, np.asarray(log_odds)


@cache
def fitted(language):
    slates, true = offers(language)
    return slates, true, *fit_with_out_of_fold(slates)


@pytest.mark.parametrize("language", WORDS)
def test_what_goes_together_is_recovered(language):
    _, true, appeal, out_of_fold = fitted(language)
    assert appeal.informative
    assert appeal.gain > 2 * appeal.gain_error > 0
    assert (appeal.people, appeal.impressions) == (150, 1200)
    left_out = np.concatenate(out_of_fold)
    assert np.corrcoef(left_out, true)[0, 1] > 0.93
    # Shrunk, but of the true size: as log-odds, and not only as an order.
    assert 0.7 < np.polyfit(true, left_out, 1)[0] < 1.1
    # New people, of whom nothing but their words is known.
    later, true = offers(language, seed=1)
    found = appeal.log_odds_many(
        [each.persona for each in later],
        [each.query for each in later],
        [each.rows for each in later],
    )
    assert np.corrcoef(np.concatenate(found), true)[0, 1] > 0.95
    assert np.concatenate(found).mean() == pytest.approx(0.0, abs=0.15)


HABITS = {
    "en": {"visits_cafes": "Cafe", "eats_at_restaurants": "Restaurant (20-50)", "bars": "Bar"},
    "zh": {"去咖啡馆": "咖啡馆", "去餐厅": "餐厅", "去酒吧": "酒吧"},
}


@pytest.mark.parametrize("language", HABITS)
def test_a_habit_speaks_of_kinds_without_a_response(language):
    fields, rng = HABITS[language], np.random.default_rng(0)
    slates = []
    for number in range(300):
        levels = {name: ("never", "often")[int(rng.integers(2))] for name in fields}
        persona = Persona(persona_id=f"u{number}", demographics=levels)
        for name, kind in list(fields.items())[:2]:
            chance = 0.8 if levels[name] == "often" else 0.2
            offer = [row("x", kind)]
            slates.append(slate(persona, None, offer, [bool(rng.random() < chance)]))
    appeal, _ = fit_with_out_of_fold(slates)
    last = list(fields)[-1]
    log_odds = {
        (own, other): appeal.log_odds(
            Persona(persona_id="new", demographics={**dict.fromkeys(fields, other), last: own}),
            None,
            [row("x", fields[last])],
        )[0]
        for own in ("often", "never")
        for other in ("often", "never")
    }
    # Nobody was ever offered the last kind; who is often there takes it.
    assert min(log_odds["often", any_] - log_odds["never", any_] for any_ in ("often", "never")) > 1


@pytest.mark.parametrize("seed", range(5))
def test_where_nothing_tells_the_response_the_appeal_is_neutral(seed):
    slates, _ = offers("en", people=60, seed=seed, chance=lambda _rng: -0.5)
    appeal, out_of_fold = fit_with_out_of_fold(slates)
    assert appeal.impressions == 480
    assert not appeal.informative
    assert [list(values) for values in out_of_fold] == [[0.0]] * 480
    assert list(appeal.log_odds(slates[0].persona, slates[0].query, slates[0].rows)) == [0.0]
    assert "unused" in appeal.line()


def test_habits_of_single_people_are_not_taken_for_those_of_others():
    # Every person has a rate of their own, which no word tells of.
    rng = np.random.default_rng(3)
    rates = iter(np.repeat(rng.normal(0, 2, 60), 8))
    slates, _ = offers("en", people=60, chance=lambda _rng: next(rates))
    assert not fit_with_out_of_fold(slates)[0].informative


@pytest.mark.parametrize("known", [False, True])
def test_learning_which_items_are_popular_is_not_enough(known):
    rng = np.random.default_rng(0)
    rates = rng.uniform(0.05, 0.6, 12)
    rows = [
        row(f"thing{n}", f"kind{n}", popularity=1000.0 * rate if known else 0.0)
        for n, rate in enumerate(rates)
    ]
    slates = []
    for number in range(300):
        shown = rng.choice(12, 4, replace=False)
        slates.append(
            slate(
                Persona(persona_id=f"u{number % 80}"),
                None,
                [rows[place] for place in shown],
                [bool(value) for value in rng.random(4) < rates[shown]],
            )
        )
    appeal, _ = fit_with_out_of_fold(slates)
    assert appeal.impressions == 1200
    assert not appeal.informative


def test_an_item_does_not_appeal_because_it_was_shown_at_the_top():
    rng = np.random.default_rng(0)
    slates = []
    for number in range(600):
        person = Persona(persona_id=f"u{number}", demographics={"team": "ab"[number % 2]})
        order = [0, 1] if rng.random() < 0.8 else [1, 0]
        rows = [[row("lamp one", "lamp"), row("sofa two", "sofa")][place] for place in order]
        # The top is clicked far more often; besides, the teams like different things.
        liked = [(each["category"] == "lamp") == (number % 2 == 0) for each in rows]
        chance = 1 / (1 + np.exp(-np.asarray([1.0, -2.0]) - 1.5 * np.asarray(liked)))
        clicks = [bool(value) for value in rng.random(2) < chance]
        slates.append(slate(person, None, rows, clicks, positions=[1.0, 2.0]))
    appeal, _ = fit_with_out_of_fold(slates)
    assert appeal.informative
    both = np.mean(
        [appeal.log_odds(slates[team].persona, None, slates[0].rows) for team in (0, 1)], axis=0
    )
    lamp = 0 if slates[0].rows[0]["category"] == "lamp" else 1
    # Between the two places lie 3 log-odds; lamps were shown at the top four times in five.
    assert abs(both[lamp] - both[1 - lamp]) < 0.6


def test_the_words_of_a_query_that_the_item_holds_count():
    rng = np.random.default_rng(1)
    words = [f"word{n}" for n in range(400)]
    slates = []
    for number in range(300):
        asked, other, third = rng.choice(words, 3, replace=False)
        rows = [row(f"{asked} {third}"), row(f"{other} {third}")]
        clicks = [bool(rng.random() < 0.7), bool(rng.random() < 0.1)]
        slates.append(slate(Persona(persona_id=f"u{number}"), str(asked), rows, clicks))
    appeal, _ = fit_with_out_of_fold(slates)
    # None of these words was ever seen.
    found = appeal.log_odds(Persona(persona_id="new"), "新词", [row("新词 x"), row("other x")])
    assert found[0] - found[1] > 2.0


def test_fields_that_tell_nothing_are_shrunk_away(monkeypatch):
    slates, true = offers("en", people=100)
    rng = np.random.default_rng(9)
    for number in range(0, len(slates), 8):
        noise = {f"field {n}": f"v{rng.integers(6)}" for n in range(10)}
        for place in range(number, number + 8):
            each = slates[place]
            known = {**each.persona.demographics, **noise}
            persona = Persona(persona_id=each.persona.persona_id, demographics=known)
            slates[place] = slate(persona, each.query, each.rows, each.responses)

    def error():
        left_out = np.concatenate(fit_with_out_of_fold(slates)[1])
        return np.std(left_out - true)

    adapted = error()
    monkeypatch.setattr(appeal_fit, "_group_scales", lambda _rows, weights: np.ones(len(weights)))
    assert adapted < 0.8 * error()


def test_an_appeal_is_the_items_own_and_not_centred_within_the_slate():
    _, _, appeal, _ = fitted("en")
    words = WORDS["en"]
    regular = Persona(persona_id="x", demographics={words["habit"][0]: "every week"})
    cafe, bar = (row(words["items"][item], item) for item in ("cafe", "bar"))
    query = "Work, Sunny, Alone"
    both = appeal.log_odds(regular, query, [cafe, bar])
    assert both[0] > 0.7
    assert both[1] < -0.7
    assert list(appeal.log_odds(regular, query, [bar])) == pytest.approx([both[1]])
    assert appeal.log_odds(regular, query, []).shape == (0,)


def test_it_survives_json_and_pickle_and_is_found_again():
    slates, _, appeal, left_out = fitted("zh")
    again, left_out_again = fit_with_out_of_fold(slates)
    assert again == appeal
    assert np.array_equal(np.concatenate(left_out), np.concatenate(left_out_again))
    for copy in (
        Appeal.model_validate_json(appeal.model_dump_json()),
        pickle.loads(pickle.dumps(appeal)),
    ):
        for each in slates[:50]:
            mine = appeal.log_odds(each.persona, each.query, each.rows)
            assert np.array_equal(copy.log_odds(each.persona, each.query, each.rows), mine)


def test_slates_in_another_order_give_the_same_appeal():
    slates, _ = offers("en", people=80)
    turned, left_out = fit_with_out_of_fold(slates[::-1])
    appeal, forward = fit_with_out_of_fold(slates)
    assert np.concatenate(left_out)[::-1] == pytest.approx(np.concatenate(forward), abs=1e-3)
    assert turned.gain == pytest.approx(appeal.gain, abs=1e-5)


def test_a_stored_appeal_stays_small_whatever_the_log():
    rng = np.random.default_rng(0)
    words = [f"w{n}" for n in range(3000)]
    slates = []
    for number in range(300):
        rows = [row(" ".join(rng.choice(words[:150], 12))) for _ in range(8)]
        query = " ".join(rng.choice(words[:100], 5))
        clicks = ["w7 " in each["text"] or bool(rng.random() < 0.1) for each in rows]
        slates.append(slate(Persona(persona_id=f"u{number}"), query, rows, clicks))
    appeal, _ = fit_with_out_of_fold(slates)
    assert appeal.informative
    assert 30_000 < len(appeal.model_dump_json()) < 50_000


def test_what_only_a_few_people_share_is_not_learned():
    rng = np.random.default_rng(0)
    slates = []
    for number in range(200):
        # Groups of four share a nickname and always respond alike; age tells something of all.
        age, lucky = "old" if number % 2 else "young", (number // 4) % 2 == 0
        person = Persona(
            persona_id=f"u{number}", demographics={"age": age, "name": f"n{number // 4}"}
        )
        for _ in range(6):
            like = bool(rng.random() < (0.9 if lucky else 0.1) * (1.0 if number % 2 else 0.3))
            slates.append(slate(person, None, [row("thing", "kind")], [like]))
    appeal, _ = fit_with_out_of_fold(slates)
    assert appeal.informative
    found = [
        appeal.log_odds(
            Persona(persona_id="x", demographics={"age": "old", "name": name}), None, slates[0].rows
        )[0]
        for name in ("n0", "n1", "unheard of")
    ]
    assert found[0] == found[1] == found[2]


def test_a_persons_own_responses_are_not_in_their_out_of_fold_log_odds(monkeypatch):
    # With one penalty to choose from, nothing at all of a fold's people reaches its fit.
    monkeypatch.setattr(appeal_fit, "_FIRST_VARIANCES", (0.1,))
    monkeypatch.setattr(appeal_fit, "_SECOND_VARIANCES", (0.3,))
    slates, _ = offers("en", people=100)
    _, before = fit_with_out_of_fold(slates)
    mine = [place for place, each in enumerate(slates) if each.persona.persona_id == "u7"]
    for place in mine:
        each = slates[place]
        slates[place] = slate(
            each.persona, each.query, each.rows, [not value for value in each.responses]
        )
    _, after = fit_with_out_of_fold(slates)
    changed = {
        each.persona.persona_id
        for each, old, new in zip(slates, before, after, strict=True)
        if not np.array_equal(old, new)
    }
    assert "u7" not in changed
    # Everybody in the other four of five folds is judged by a fit that saw the change.
    assert len(changed) == 80


COUPON_COLUMNS = [
    *("destination", "passanger", "weather", "temperature", "time", "coupon", "expiration"),
    *("gender", "age", "maritalStatus", "has_children", "education", "occupation", "income"),
    *("Bar", "CoffeeHouse", "CarryAway", "RestaurantLessThan20", "Restaurant20To50"),
    *("Y", "respondent_id"),
]


def coupons(folder, *, flip=()):
    """A small log of made-up offers in the coupon mapping's columns."""
    rng = np.random.default_rng(5)
    folder.mkdir()
    with (folder / "coupon_offers.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COUPON_COLUMNS)
        writer.writeheader()
        for user in range(60):
            often = rng.random() < 0.5
            for _ in range(8):
                coupon = ("Bar", "Coffee House")[int(rng.integers(2))]
                like = rng.random() < (0.85 if (coupon == "Bar") == often else 0.15)
                writer.writerow(
                    {
                        **dict.fromkeys(COUPON_COLUMNS, "x"),
                        "coupon": coupon,
                        "Bar": "4~8" if often else "never",
                        "expiration": ("1d", "2h")[int(rng.integers(2))],
                        "Y": int(like != (f"{user}" in flip)),
                        "respondent_id": user,
                    }
                )
    ingest_mapping("coupon", folder, folder / "shop.duckdb")
    return folder / "shop.duckdb"


def test_responses_of_other_people_than_asked_for_change_nothing(tmp_path):
    everybody = [str(user) for user in range(60)]
    train, held_out = everybody[:45], everybody[45:]
    with Log.open(coupons(tmp_path / "a")) as log:
        appeal, all_of_them = Appeal.fit(log, users=train), Appeal.fit(log)
    with Log.open(coupons(tmp_path / "b", flip=held_out)) as log:
        assert Appeal.fit(log, users=train) == appeal
    assert appeal.informative
    assert (appeal.people, appeal.impressions, all_of_them.people) == (45, 360, 60)
    assert all_of_them.weights != appeal.weights
    guest = Persona(persona_id="x", demographics={"visits_bars": "4~8"})
    rows = [row(f"{coupon} coupon, expires in 1d", coupon) for coupon in ("Bar", "Coffee House")]
    bar, cafe = appeal.log_odds(guest, "x, x, x xF, x", rows)
    assert bar - cafe > 2.0


def test_rows_without_a_known_response_are_told_and_not_learned_from():
    slates, _ = offers("en", people=100)
    unknown = [slate(each.persona, each.query, each.rows, [None]) for each in slates[:200]]
    appeal, out_of_fold = fit_with_out_of_fold([*slates, *unknown])
    assert appeal.impressions == 800
    assert all(np.isfinite(values).all() for values in out_of_fold)
    told = np.concatenate(out_of_fold)
    assert told[800:] == pytest.approx(told[:200])
    assert not fit_with_out_of_fold(unknown)[0].impressions


def test_too_little_to_fit_on_is_neutral():
    slates, _ = offers("en", people=40)
    for few in (
        [],
        slates[:1],
        slates[:100],
        [slate(each.persona, each.query, each.rows, [False]) for each in slates],
        [slate(slates[0].persona, each.query, each.rows, each.responses) for each in slates],
        [slate(each.persona, each.query, [], []) for each in slates],
    ):
        appeal, out_of_fold = fit_with_out_of_fold(few)
        assert appeal == Appeal()
        assert [len(values) for values in out_of_fold] == [len(each.rows) for each in few]
        assert not np.any(np.concatenate([np.zeros(0), *out_of_fold]))
    assert Appeal().log_odds(Persona(persona_id="x"), None, [row("a"), row("b")]).tolist() == [0, 0]


def test_a_log_that_keeps_few_of_its_misses_is_weighed_as_it_was_shown():
    rng = np.random.default_rng(0)
    slates, whole = [], []
    for number in range(400):
        person = Persona(persona_id=f"u{number}", demographics={"age": "ab"[number % 2]})
        rows, clicks, rates = [], [], []
        for place in range(6):
            kind = ("x", "y")[place % 2]
            like = bool(rng.random() < (0.5 if (kind == "x") == (number % 2 == 0) else 0.1))
            # Misses of y are kept one in four.
            rate = 0.25 if kind == "y" and not like else 1.0
            rows.append(row(f"{kind} thing", kind))
            clicks.append(like)
            rates.append(rate)
        whole.append(slate(person, None, rows, clicks))
        kept = [place for place in range(6) if rng.random() < rates[place]]
        slates.append(
            slate(
                person,
                None,
                [rows[place] for place in kept],
                [clicks[place] for place in kept],
                rates=[rates[place] for place in kept],
            )
        )
    rows = [row("x thing", "x"), row("y thing", "y")]
    people = [Persona(persona_id="x", demographics={"age": age}) for age in "ab"]
    found, full = (
        np.concatenate([fit_with_out_of_fold(part)[0].log_odds(p, None, rows) for p in people])
        for part in (slates, whole)
    )
    assert found == pytest.approx(full, abs=0.35)


texts = st.one_of(st.none(), st.text(max_size=40), st.sampled_from(["纯牛奶，250ml", "a, b; c|d"]))
prices = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))
some_rows = st.lists(
    st.fixed_dictionaries(
        {}, optional={"text": texts, "category": texts, "brand": texts, "price": prices}
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(query=texts, rows=some_rows, values=st.lists(st.text(max_size=10), max_size=3))
def test_any_words_make_features_and_a_row_has_them_whatever_stands_beside_it(query, rows, values):
    persona = Persona(persona_id="x", demographics={f"d{n}": v for n, v in enumerate(values)})
    features = slate_features(persona, query, rows)
    assert len({len(column) for column in features}) == 1
    assert set(features.rows) == set(range(len(rows)))
    assert all(0 <= place < HASH_SPACE for place in features.places)
    assert np.isfinite(features.values).all()
    for number, each in enumerate(rows):
        alone = slate_features(persona, query, [each])
        mine = features.rows == number
        assert sorted(zip(features.places[mine], features.values[mine], strict=True)) == sorted(
            zip(alone.places, alone.values, strict=True)
        )


def test_long_words_do_not_speak_louder_and_order_in_a_cross_counts():
    def squared(text):
        features = slate_features(Persona(persona_id="x"), None, [row(text)])
        return (features.values**2).sum()

    assert squared("one two three four five") == pytest.approx(squared("one"))
    # What stands first in the query is another field than what stands second.
    places = [
        set(slate_features(Persona(persona_id="x"), query, [row("a", "b")]).places)
        for query in ("sun, rain", "rain, sun")
    ]
    assert places[0] != places[1]
