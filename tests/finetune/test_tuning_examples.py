"""Which prompts and answers a log becomes, and what they must not know."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_shop import Shop, day
from tuning_parts import GAMES, clicks_log

from footfall.errors import EmptyLogError, NoResponseError, SettingError
from footfall.finetune.reconstruction import Reconstruction
from footfall.finetune.tuning_events import read_events, recorded_response
from footfall.finetune.tuning_examples import read_tuning_examples
from footfall.finetune.tuning_settings import TuningSettings
from footfall.finetune.tuning_slates import candidates_kind, make_slates
from footfall.finetune.tuning_tokens import make_batches
from footfall.simulator.catalog import Catalog
from footfall.simulator.engines.tuned import person_hash
from footfall.simulator.prompts import LARGEST_SLATE

UNTIL: datetime = day(50)
ALL = {"queries": 10_000, "choices": 10_000}


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    shop = clicks_log(tmp_path_factory.mktemp("log") / "shop.duckdb", searches=200)
    yield shop.log
    shop.log.close()


@pytest.fixture
def empty(tmp_path):
    shop = Shop(tmp_path / "shop.duckdb")
    yield shop
    shop.log.close()


def _events(log, **more):
    return read_events(log, **{"response": "clicked", "end": UNTIL, **ALL, **more})


def test_a_shopper_is_described_by_what_precedes_the_session_only(clicks) -> None:
    events = _events(clicks, known_until=UNTIL)
    assert len(events) == 50
    texts = dict(clicks_texts(clicks))
    earlier: dict[str, list[str]] = {}
    described = 0
    for event in events:
        (item,) = event.item_ids
        known = list(dict.fromkeys(reversed(earlier.get(event.user_id, []))))[:8]
        assert list(event.persona.history) == known[::-1]
        described += bool(known)
        assert event.persona.interests == ({"games": 1.0} if known else {})
        assert event.persona.demographics == {"age": "25-34"}
        earlier.setdefault(event.user_id, []).append(texts[item])
    assert described > 10


def clicks_texts(log):
    rows = log.query("SELECT item_id, text FROM items")
    return zip(rows["item_id"].to_pylist(), rows["text"].to_pylist(), strict=True)


def test_known_until_hides_what_a_tester_must_not_know(clicks) -> None:
    later = _events(clicks, start=day(100), end=None, known_until=day(3))
    known = {text for event in later for text in event.persona.history}
    everything = {
        text
        for event in _events(clicks, start=day(100), end=None)
        for text in event.persona.history
    }
    assert 0 < len(known) <= 3 < len(everything)


def test_nothing_from_the_end_on_is_read(clicks) -> None:
    assert max(event.at for event in _events(clicks)) < UNTIL
    assert len(_events(clicks, end=None)) == 200
    with pytest.raises(EmptyLogError) as caught:
        _events(clicks, end=day(-1))
    assert caught.value.hint


def test_a_response_after_the_end_leaves_the_search_out(empty) -> None:
    for item in ("a", "b"):
        empty.item(item, f"item {item}", "games")
    empty.user("u")
    empty.slate("before", "u", 1, {"a": True, "b": False}, query="q", label="clicked")
    empty.slate("across", "u", 9, {"a": True, "b": False}, query="q", label="clicked")
    empty.log.execute(
        "UPDATE impressions SET clicked_at = $late WHERE search_id = 'across' AND clicked",
        {"late": day(11)},
    )
    assert [e.search_id for e in _events(empty.log, end=day(10))] == ["before"]
    assert [e.search_id for e in _events(empty.log, end=day(12))] == ["before", "across"]


def test_a_query_tried_before_is_told_only_for_the_same_need(empty) -> None:
    empty.item("a", "kinect sports", "games")
    empty.user("u")
    for step, query in enumerate(("kinect", "halo", "kinect sports"), start=1):
        empty.slate(f"s{step}", "u", step, {"a": True}, query=query, label="clicked")
    empty.log.execute(
        "UPDATE searches SET session_id = 'session of s1', step = right(search_id, 1)::INT"
    )
    tried = {event.query: event.tried for event in _events(empty.log, end=None)}
    assert tried == {"kinect": (), "halo": (), "kinect sports": ("kinect",)}


def _slates(log, events, end=UNTIL, **more):
    catalog = Catalog.from_log(log, until=end)
    reconstruction = Reconstruction(log, catalog, response="clicked", end=end)
    rng = np.random.default_rng(0)
    return make_slates(events, catalog, reconstruction, rng, **{"page_size": 6, **more})


def test_no_candidate_is_a_second_answer_and_the_order_is_drawn_anew(clicks) -> None:
    events = _events(clicks)
    assert candidates_kind(events) == "reconstructed"
    slates = _slates(clicks, events)
    answers = {event.search_id: set(event.item_ids) for event in events}
    for slate in slates:
        assert len(set(slate.item_ids)) == len(slate.item_ids) == 6
        assert set(slate.item_ids) & answers[slate.search_id] == {slate.item_ids[slate.chosen]}
        assert slate.candidates == "reconstructed"
    places = Counter(slate.chosen for slate in slates)
    assert set(places) == set(range(6))
    assert max(places.values()) < len(slates) / 2


def test_half_of_the_candidates_answer_the_query(clicks) -> None:
    # By then every item was clicked once, so that all are there.
    for slate in _slates(clicks, _events(clicks, start=day(120), end=None), end=None):
        words = [set(text.split()) & {slate.query} for text in slate.texts]
        others = [bool(hit) for place, hit in enumerate(words) if place != slate.chosen]
        # Two other items of each game exist, and 5 // 2 neighbours are drawn.
        assert sum(others) >= 2


def test_items_that_were_not_there_yet_are_no_candidates(empty) -> None:
    for number in range(40):
        empty.item(f"i{number}", f"thing {number}", "games")
    empty.user("u")
    # A new item is clicked each day.
    for number in range(40):
        empty.slate(f"s{number}", "u", number, {f"i{number}": True}, query="thing", label="clicked")
    slates = _slates(empty.log, _events(empty.log, end=None), end=None)
    assert len(slates) == 40
    for slate in slates:
        newest = max(int(item[1:]) for item in slate.item_ids)
        now = int(slate.search_id[1:])
        # There from the start are the first eighth (5 items), and within a window of its click.
        assert newest <= max(now + 1, 5)
    assert max(int(item[1:]) for slate in slates[20:] for item in slate.item_ids) >= 20


def test_a_stated_first_day_counts_more_than_the_first_click(empty) -> None:
    for name, seen in (("old", day(0)), ("new", day(30)), ("other", day(0))):
        empty.add(
            "items",
            {"item_id": name, "text": f"{name} thing", "first_seen": seen, "origin": "real"},
        )
    empty.user("u")
    empty.slate("s1", "u", 1, {"old": True}, query="thing", label="clicked")
    empty.slate("s2", "u", 40, {"old": True}, query="thing", label="clicked")
    early, late = _slates(empty.log, _events(empty.log, end=None), end=None)
    assert set(early.item_ids) == {"old", "other"}
    assert set(late.item_ids) == {"old", "other", "new"}


def test_some_reconstructed_slates_lack_the_answer(clicks) -> None:
    events = _events(clicks, end=None)
    slates = _slates(clicks, events, end=None, none_share=0.3)
    answers = {event.search_id: set(event.item_ids) for event in events}
    none = [slate for slate in slates if slate.chosen is None]
    assert 0.2 < len(none) / len(slates) < 0.4
    assert all(not set(slate.item_ids) & answers[slate.search_id] for slate in none)
    assert all(slate.chosen is not None for slate in _slates(clicks, events, end=None))


def test_one_item_that_was_shown_is_taken_or_left(empty) -> None:
    for item in ("i0", "i1"):
        empty.item(item, f"item {item}", "games")
    empty.user("u")
    empty.slate("taken", "u", 1, {"i0": True}, label="clicked")
    empty.slate("left", "u", 2, {"i1": False}, label="clicked")
    events = _events(empty.log, end=None)
    rng = np.random.default_rng(0)
    taken, left = make_slates(events, Catalog.from_log(empty.log), None, rng)
    assert (taken.item_ids, taken.chosen) == (("i0",), 0)
    assert (left.item_ids, left.chosen) == (("i1",), None)


def test_logged_slates_stay_as_shown_and_large_ones_keep_the_answer(empty) -> None:
    ids = [f"i{number}" for number in range(30)]
    for item in ids:
        empty.item(item, f"item {item}", "games")
    empty.user("u")
    empty.slate("large", "u", 1, {item: item == "i29" for item in ids}, label="clicked")
    empty.slate("none", "u", 2, dict.fromkeys(ids[:4], False), label="clicked")
    empty.slate("two", "u", 3, {item: item in {"i0", "i1"} for item in ids[:5]}, label="clicked")
    events = _events(empty.log, end=None)
    rng = np.random.default_rng(0)
    slates = make_slates(events, Catalog.from_log(empty.log), None, rng)
    large, none, two = slates
    assert len(large.item_ids) == LARGEST_SLATE
    assert large.item_ids[large.chosen] == "i29"
    assert none.chosen is None
    assert set(none.item_ids) == set(ids[:4])
    # The other response is no wrong answer: it is left out.
    assert set(two.item_ids) in ({"i0", "i2", "i3", "i4"}, {"i1", "i2", "i3", "i4"})
    assert two.item_ids[two.chosen] in {"i0", "i1"}


def test_slates_without_a_response_do_not_crowd_out_the_others(empty) -> None:
    for item in ("a", "b"):
        empty.item(item, item, "games")
    empty.user("u")
    for number in range(30):
        clicked = number % 10 == 0
        empty.slate(f"s{number}", "u", number, {"a": clicked, "b": False}, label="clicked")
    kinds = Counter(any(event.responses) for event in _events(empty.log, end=None, none_share=0.4))
    assert kinds == {True: 3, False: 2}
    kinds = Counter(any(event.responses) for event in _events(empty.log, end=None, none_share=0.0))
    assert kinds == {True: 3}


def _settings(**more) -> TuningSettings:
    return TuningSettings(**{"page_size": 4, "validation_share": 0.2} | more)


def test_examples_are_the_simulation_s_prompts_with_real_answers(clicks) -> None:
    examples = read_tuning_examples(clicks, _settings(), until=day(100))
    assert examples.candidates == "reconstructed"
    queries = [e for e in examples.train if e.task == "query"]
    choices = [e for e in examples.train if e.task == "choice"]
    assert len(queries) == len(choices) == 80
    first_words = {game.split()[0] for game in GAMES}
    for example in queries:
        assert example.prompt.endswith("\nQuery:")
        assert example.completion[0] == " "
        assert example.completion[-1] == "\n"
        assert example.completion.strip() in first_words
        if "Looking for: " in example.prompt:
            assert f"Looking for: {example.completion.strip()}" in example.prompt
    told = sum("Looking for: " in example.prompt for example in queries)
    assert 45 <= told < 80
    for example in choices:
        assert example.prompt.endswith(":")
        assert example.completion in example.options
    assert 2 <= sum(e.completion == " none" for e in choices) <= 25
    # Each validation example is later than all training examples.
    number = [int(e.search_id[1:]) for e in examples.train]
    assert max(number) < min(int(e.search_id[1:]) for e in examples.validation)


def test_the_same_seed_gives_the_same_examples(clicks) -> None:
    one, again = (read_tuning_examples(clicks, _settings(), until=UNTIL) for _ in range(2))
    assert one == again
    assert one != read_tuning_examples(clicks, _settings(seed=1), until=UNTIL)


def test_no_more_examples_than_asked_for(clicks) -> None:
    examples = read_tuning_examples(
        clicks, _settings(queries=10, choices=0, validation_examples=1), until=UNTIL
    )
    assert [e.task for e in examples.train] == ["query"] * len(examples.train)
    assert 8 <= len(examples.train) <= 12
    assert len(examples.validation) == 1


def test_a_chinese_log_is_asked_in_chinese_and_without_blanks(empty) -> None:
    for number in range(4):
        empty.item(f"i{number}", f"牛奶 {number}", "食品")
    empty.add("users", {"user_id": "u", "locale": "zh_CN", "origin": "real"})
    for number in range(30):
        empty.slate(
            f"s{number}", "u", number, {f"i{number % 4}": True}, query="纯牛奶", label="clicked"
        )
    examples = read_tuning_examples(empty.log, _settings(none_share=0.5))
    queries = [e for e in examples.train if e.task == "query"]
    assert {e.completion for e in queries} == {"纯牛奶\n"}
    choices = [e for e in examples.train if e.task == "choice"]
    assert {e.options[-1] for e in choices} == {"无"}
    assert {"无", "A"} <= {e.completion for e in choices}


def test_browsing_sessions_type_nothing_where_others_type(empty) -> None:
    for item in ("a", "b"):
        empty.item(item, item, "games")
    empty.user("u")
    for number in range(20):
        query = "halo" if number % 2 else None
        empty.slate(f"s{number}", "u", number, {"a": True, "b": False}, query=query)
    settings = _settings(response="purchased")
    examples = read_tuning_examples(empty.log, settings)
    answers = Counter(e.completion for e in examples.train if e.task == "query")
    assert set(answers) == {" halo\n", " -\n"}
    # A log without any query says nothing about typing.
    empty.log.execute("UPDATE searches SET query = NULL")
    examples = read_tuning_examples(empty.log, settings)
    assert {e.task for e in examples.train} == {"choice"}


def test_without_times_validation_is_other_users(empty) -> None:
    for item in ("a", "b"):
        empty.item(item, item, "games")
    for user in range(20):
        empty.user(f"u{user}")
        empty.slate(f"s{user}", f"u{user}", None, {"a": True, "b": False}, label="clicked")
        empty.slate(f"t{user}", f"u{user}", None, {"a": True, "b": False}, label="clicked")
    with pytest.raises(SettingError, match="no times"):
        read_tuning_examples(empty.log, _settings(), until=UNTIL)
    examples = read_tuning_examples(empty.log, _settings())
    users = [{e.user_id for e in part} for part in (examples.train, examples.validation)]
    assert not users[0] & users[1]
    assert len(users[1]) == 4
    assert examples.unseen_people() == tuple(sorted(person_hash(user) for user in users[1]))


def test_a_log_without_responses_cannot_teach_choices(empty) -> None:
    empty.item("a", "a", "games")
    empty.user("u")
    empty.slate("s", "u", 1, {"a": False}, label="clicked")
    with pytest.raises(NoResponseError) as caught:
        recorded_response(empty.log)
    assert caught.value.hint


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=60),
    batch_tokens=st.integers(8, 100),
    seed=st.integers(0, 5),
)
def test_batches_hold_every_row_once_within_the_budget(lengths, batch_tokens, seed) -> None:
    rng = np.random.default_rng(seed)
    batches = make_batches(lengths, batch_tokens=batch_tokens, rng=rng)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[row] for row in batch)
        assert len(batch) * longest <= batch_tokens or len(batch) == 1
    # Like lengths go together: batches do not overlap in length.
    spans = [[lengths[row] for row in batch] for batch in batches]
    assert all(max(one) <= min(two) for one, two in pairwise(spans))
