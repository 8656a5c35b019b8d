from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.simulator.behaviour import Rate
from footfall.simulator.language import Language
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS
from footfall.simulator.spelling import Vocabulary, count_slips
from footfall.simulator.typing_slips import TypingSlips, measure_slips

UNTIL = datetime(2024, 3, 1)
KINDS = ("doubled", "dropped", "inserted", "joined", "replaced", "swapped")


def add(log, table, rows):
    log.append(table, pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[table]))


def add_queries(log, queries, *, origin="real", at=UNTIL - timedelta(days=1), same_person=False):
    """Every query is another person's, unless ``same_person``."""
    name = f"{origin}/{at}/{log.count('searches')}"
    keys = [f"{name}/{0 if same_person else number}" for number in range(len(queries))]
    add(
        log,
        "sessions",
        [{"session_id": key, "user_id": key, "origin": origin} for key in dict.fromkeys(keys)],
    )
    row = {"step": 1, "page": 1, "candidates": "logged", "searched_at": at, "origin": origin}
    add(
        log,
        "searches",
        [
            row | {"search_id": f"{name}/{number}", "session_id": key, "query": query}
            for number, (key, query) in enumerate(zip(keys, queries, strict=True))
        ],
    )


def add_items(log, texts):
    rows = [{"item_id": f"i{n}", "text": text, "origin": "real"} for n, text in enumerate(texts)]
    add(log, "items", rows)


def slipping(rate=1.0, **shares):
    """Slips of the given kinds only."""
    rates = {kind: Rate(value=shares.get(kind, 0.0)) for kind in KINDS}
    return TypingSlips(rate=Rate(value=rate), **rates)


@pytest.fixture
def log(tmp_path):
    with Log.create(tmp_path / "shop.duckdb") as made:
        yield made


def random_words(rng, count):
    return ["".join(rng.choice(list("abdefghiklmnoprstuv"), 8)) for _ in range(count)]


@pytest.mark.parametrize("rate", [0.0, 0.03, 0.3])
def test_slips_made_at_a_known_rate_are_counted_at_that_rate(log, rate):
    rng = np.random.default_rng(0)
    words = random_words(rng, 30)
    add_items(log, words)
    # Pairs of words that come up often, so that a blank left out between them can be told.
    pairs = [" ".join(rng.choice(words, 2, replace=False)) for _ in range(60)]
    clean = [str(pair) for pair in rng.choice(pairs, 6000)]
    shares = {"dropped": 0.4, "replaced": 0.3, "swapped": 0.2, "joined": 0.1}
    true = slipping(rate, **shares)
    add_queries(log, [true.apply(query, rng) for query in clean])
    found = TypingSlips.fit(log, until=UNTIL)
    assert found.rate.source == "fitted"
    error = found.rate.standard_error
    assert found.rate.value == pytest.approx(rate, abs=max(3 * error, 1e-9))
    assert error == pytest.approx(max(np.sqrt(rate * (1 - rate) / 6000), 1 / 6000), rel=0.15)
    assert found.false_share.value < 0.05
    assert sum(getattr(found, kind).value for kind in KINDS) == pytest.approx(1.0)
    if rate == 0.03:
        # So rare that hardly one comes twice: then the different slips have the kinds' shares,
        # but for the blanks: of those there are only as many as pairs.
        for kind in ("dropped", "replaced", "swapped"):
            measured = getattr(found, kind)
            assert measured.value == pytest.approx(shares[kind], abs=4 * measured.standard_error)
        assert found.inserted.value < 0.02


@pytest.mark.parametrize(
    ("typed", "meant", "kind", "place"),
    [
        ("batlefield", "battlefield", "dropped", 3),
        ("attlefield", "battlefield", "dropped", 1),
        ("battlefielld", "battlefield", "doubled", 10),
        ("battxlefield", "battlefield", "inserted", 5),
        ("battlefoeld", "battlefield", "replaced", 8),
        ("abttlefield", "battlefield", "swapped", 1),
        ("battlefiedl", "battlefield", "swapped", 10),
        ("gamebattlefield", "game battlefield", "joined", 5),
        ("бттлфилд", "баттлфилд", "dropped", 2),
    ],
)
def test_a_slip_is_told_with_its_kind_and_place(log, typed, meant, kind, place):
    add_items(log, ["Battlefield game", "баттлфилд"])
    add_queries(log, ["game BATTLEFIELD"] * 30 + ["баттлфилд"] * 30 + [typed])
    (found,) = count_slips(log, Vocabulary.from_log(log)).pairs
    assert (found["word"], found["meant"]) == (typed, meant)
    assert (found["kind"], found["place"]) == (kind, place)


@pytest.mark.parametrize(
    "typed",
    [
        "battlefxxld",  # two letters
        "bttlefield3",  # a number in it
        "gam",  # too short
        "battlefields",  # the catalogue has it
        "battlefield",
        "战地游戏",
    ],
)
def test_what_is_no_slip_is_not_counted(log, typed):
    add_items(log, ["Battlefield game", "Battlefields"])
    add_queries(log, ["game battlefield"] * 30 + [typed])
    assert count_slips(log, Vocabulary.from_log(log)).pairs == []


def test_an_apostrophe_is_no_slip(log):
    add_items(log, ["Assassin's Creed"])
    add_queries(log, ["assassins creed"] * 30 + ["assassin’s creed"])
    assert count_slips(log, Vocabulary.from_log(log)).pairs == []


def test_a_word_must_be_ten_times_rarer_in_people_to_be_a_slip(log):
    add_queries(log, ["warfare"] * 40 + ["warefare"] * 4)
    # One person who types it again and again is one person.
    add_queries(log, ["warefare"] * 50, same_person=True)
    assert count_slips(log, Vocabulary.from_log(log)).wrong == 0
    add_queries(log, ["warfare"] * 10)
    counts = count_slips(log, Vocabulary.from_log(log))
    assert (counts.texts, counts.wrong) == (104, 54)
    # The 51 searches of one person weigh as one: by far more than 54 independent ones would.
    assert counts.error > 0.2 > np.sqrt(0.25 / 104)


def test_later_and_simulated_queries_and_turned_pages_do_not_count(log):
    add_items(log, ["battlefield"])
    add_queries(log, ["battlefield"] * 30)
    add_queries(log, ["bttlefield"], at=UNTIL)
    add_queries(log, ["bttlefield"], origin="run-1")
    log.execute(
        "INSERT INTO searches (search_id, session_id, step, query, page, candidates, searched_at, "
        "origin) SELECT 'second', session_id, 2, 'bttlefield', 2, candidates, searched_at, origin "
        "FROM searches WHERE query = 'battlefield' LIMIT 1"
    )
    counts = count_slips(log, Vocabulary.from_log(log, until=UNTIL), until=UNTIL)
    assert (counts.texts, counts.wrong) == (30, 0)


def test_right_words_taken_for_slips_are_bounded_by_those_of_the_catalogue(log):
    rng = np.random.default_rng(2)
    common, far, unknown = (random_words(rng, count) for count in (20, 60, 40))
    # A quarter of the catalogue's rare words is one letter from a common one. So where 40 rare
    # words that it lacks are left alone, at most 40 * 0.25 / 0.75 were wrongly taken, of 20.
    near = [word[1:] for word in common]
    add_items(log, [*common, *far, *near])
    add_queries(log, [*(common * 20), *far, *near, *unknown, *(f"{word}z" for word in common)])
    counts = count_slips(log, Vocabulary.from_log(log))
    assert len(counts.pairs) == 20
    assert counts.false_share == pytest.approx(40 * 0.25 / 0.75 / 20)


def test_a_log_that_cannot_tell_gets_no_slips_and_says_so(log):
    for queries in ([], ["牛奶", "纯牛奶", "面包"] * 1000, ["battlefield"] * 100):
        add_queries(log, queries)
        found = TypingSlips.fit(log)
        assert found.rate.value == 0.0
        assert found.rate.source == "prior"
        assert "not recorded" in found.rate.note
    # Many queries, but hardly a word is typed twice: a slip in them would go unseen.
    rng = np.random.default_rng(1)
    add_queries(log, random_words(rng, 2000))
    assert TypingSlips.fit(log).rate.source == "prior"


def test_the_letters_that_the_log_confuses_are_confused_again(log):
    add_items(log, ["картошка"])
    add_queries(log, ["картошка"] * 600 + ["кортошка", "картошко", "кыртошка"])
    found = TypingSlips.fit(log)
    assert {letter: set(typed) for letter, typed in found.confusions.items()} == {"а": set("оы")}
    only = found.model_copy(
        update={
            "rate": Rate(value=1.0),
            **{kind: Rate(value=float(kind == "replaced")) for kind in KINDS},
        }
    )
    rng = np.random.default_rng(0)
    typed = {only.apply("картошка", rng) for _ in range(200)}
    assert typed == {"кортошка", "кыртошка", "картошко", "картошкы", "картошка"}


def test_a_models_own_slips_are_measured_and_the_rest_is_applied(log):
    add_items(log, ["battlefield"])
    add_queries(log, ["battlefield"] * 800 + ["battlefild"] * 40)
    fitted = TypingSlips.fit(log)
    assert fitted.rate.value == pytest.approx(40 / 840)
    # "halo" is looked at and unknown, which makes it no slip; the last has no word at all.
    own = measure_slips(log, ["battlefield"] * 97 + ["bttlefield", "battlefild", "halo 4", ""])
    assert own.value == pytest.approx(2 / 100)
    rest = fitted.remaining(own)
    assert own.value + (1 - own.value) * rest.rate.value == pytest.approx(fitted.rate.value)
    assert rest.rate.standard_error > fitted.rate.standard_error
    assert rest.replaced == fitted.replaced
    assert fitted.remaining(Rate(value=0.5)).rate.value == 0.0
    assert fitted.remaining(Rate(value=1.0)).rate.value == 0.0
    assert measure_slips(log, ["牛奶", "42"]).value == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_a_query_as_it_says(kind):
    slips = slipping(**{kind: 1.0})
    rng = np.random.default_rng(0)
    query = "Dark Souls 2011 pc"
    seen = {slips.apply(query, rng) for _ in range(300)}
    assert query not in seen
    assert len(seen) > 1 or kind == "joined"
    for typed in seen:
        words, whole = typed.split(), query.split()
        assert "2011" in words
        assert words[-1] == "pc"
        if kind == "joined":
            assert typed == "DarkSouls 2011 pc"
            continue
        (changed,) = [pair for pair in zip(words, whole, strict=True) if pair[0] != pair[1]]
        assert changed[1] in {"Dark", "Souls"}
        length = {"doubled": 1, "inserted": 1, "dropped": -1}.get(kind, 0)
        assert len(changed[0]) - len(changed[1]) == length
        if kind == "swapped":
            assert sorted(changed[0].lower()) == sorted(changed[1].lower())
            assert changed[0].istitle()
        if kind == "replaced":
            wrong = [p for p in zip(changed[0], changed[1], strict=True) if p[0] != p[1]]
            assert len(wrong) == 1


def test_neighbouring_keys_touch():
    slips = slipping(replaced=1.0).model_copy(update={"first_letter": Rate(value=1.0)})
    rng = np.random.default_rng(0)
    assert {slips.apply("good", rng)[0] for _ in range(200)} == set("ftyhbv")
    assert {slips.apply("Pqqq", rng)[0] for _ in range(100)} == set("OL")


def test_slips_come_at_the_rate_and_the_first_letter_seldom():
    slips = slipping(0.2, dropped=1.0)
    rng = np.random.default_rng(0)
    typed = [slips.apply("battlefield", rng) for _ in range(4000)]
    assert np.mean([word != "battlefield" for word in typed]) == pytest.approx(0.2, abs=0.02)
    wrong = [word for word in typed if word != "battlefield"]
    assert np.mean([word == "attlefield" for word in wrong]) == pytest.approx(0.05, abs=0.025)


def test_chinese_and_scripts_that_the_log_lacks_are_left_alone():
    slips = slipping(**dict.fromkeys(KINDS, 1 / 6))
    rng = np.random.default_rng(0)
    for query in ("小米手机壳", "無線イヤホン", "무선 이어폰", "ไร้สาย", "42", "tv", ""):
        assert slips.apply(query, rng) == query
    chinese = Language(shares={"Han": 0.9, "Latin": 0.1})
    assert slips.apply("xiaomi手机", rng, language=chinese).endswith("手机")
    assert slips.apply("xiaomi手机", rng, language=chinese) != "xiaomi手机"
    assert slips.apply("телефон", rng, language=chinese) == "телефон"


@settings(deadline=None)
@given(st.text(st.characters()), st.integers(0, 2**32 - 1))
def test_any_query_stays_a_query(query, seed):
    slips = slipping(**dict.fromkeys(KINDS, 1 / 6))
    typed = slips.apply(query, np.random.default_rng(seed))
    assert typed == slips.apply(query, np.random.default_rng(seed))
    assert bool(typed) == bool(query)
    digits = [sign for sign in query if sign.isdigit()]
    assert [sign for sign in typed if sign.isdigit()] == digits
    assert abs(len(typed) - len(query)) <= 4


def test_settings_survive_a_runs_configuration(log):
    add_items(log, ["battlefield"])
    add_queries(log, ["battlefield"] * 800 + ["battlefild"] * 40)
    fitted = TypingSlips.fit(log)
    assert TypingSlips.model_validate_json(fitted.model_dump_json()) == fitted
    assert "battlef" not in fitted.model_dump_json()
