from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.simulator.language import (
    Language,
    catalog_language,
    letter_scripts,
    locale_script,
    script_of,
)
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

UNTIL = datetime(2024, 3, 1)


def add(log, table, rows):
    log.append(table, pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[table]))


def add_queries(log, queries, *, origin="real", at=UNTIL - timedelta(days=1)):
    rows = [
        {
            "search_id": f"{origin}/{at}/{number}",
            "session_id": "s",
            "step": 1,
            "page": 1,
            "candidates": "logged",
            "query": query,
            "searched_at": at,
            "origin": origin,
        }
        for number, query in enumerate(queries)
    ]
    add(log, "searches", rows)


@pytest.fixture
def log(tmp_path):
    with Log.create(tmp_path / "shop.duckdb") as made:
        yield made


@pytest.mark.parametrize(
    ("letter", "script"),
    [
        ("a", "Latin"),
        ("é", "Latin"),
        ("Ａ", "Latin"),
        ("牛", "Han"),
        ("々", "Han"),
        ("ひ", "Kana"),
        ("カ", "Kana"),
        ("ｶ", "Kana"),
        ("ー", "Kana"),
        ("한", "Hangul"),
        ("ж", "Cyrillic"),
        ("µ", "Greek"),
        ("ग", "Devanagari"),
        ("7", None),
        (" ", None),
        ("-", None),
    ],
)
def test_the_script_of_a_letter(letter, script):
    assert script_of(letter) == script


def test_letters_are_counted_by_script_and_nothing_else_is():
    assert letter_scripts("纯牛奶250ml, ＯＫ!") == {"Han": 3, "Latin": 4}


@pytest.mark.parametrize(
    ("shares", "users_locale", "locale"),
    [
        ({"Latin": 1.0}, None, "en_US"),
        ({"Latin": 1.0}, "de_DE", "de_DE"),
        # The default of the mapping says en_US, the texts say otherwise.
        ({"Han": 0.9, "Latin": 0.1}, "en_US", "zh_CN"),
        ({"Han": 0.9, "Latin": 0.1}, "zh_TW", "zh_TW"),
        ({"Latin": 0.6, "Han": 0.4}, "zh_CN", "en_US"),
        # Japanese has more Han than kana in a shop's titles; a stray kana makes nothing Japanese.
        ({"Han": 0.6, "Kana": 0.4}, None, "ja_JP"),
        ({"Han": 0.97, "Kana": 0.03}, None, "zh_CN"),
        ({"Hangul": 1.0}, None, "ko_KR"),
        ({"Cyrillic": 1.0}, None, "ru_RU"),
        ({"Cyrillic": 1.0}, "uk_UA", "uk_UA"),
        ({"Runic": 1.0}, "en_US", "en_US"),
        ({}, None, "en_US"),
        ({}, "zh_CN", "zh_CN"),
    ],
)
def test_the_default_locale_is_the_users_own_unless_the_texts_contradict(
    shares, users_locale, locale
):
    assert Language(shares=shares, users_locale=users_locale).default_locale() == locale


def test_a_text_is_accepted_in_the_scripts_of_the_log():
    chinese = Language(shares={"Han": 0.9, "Latin": 0.095, "Cyrillic": 0.005})
    assert chinese.accepts("oppo 手机")
    assert chinese.accepts("iphone")
    assert not chinese.accepts("телефон")
    assert not chinese.accepts("手机 телефон")
    english = Language(shares={"Latin": 1.0})
    assert not english.accepts("手机")
    assert english.accepts("192.168.1.1")
    assert english.accepts("resistor 47 kΩ five percent")
    assert Language().accepts("手机")


def test_the_queries_tell_the_language_before_the_items_do(log):
    add(log, "items", [{"item_id": "i", "text": "Рыба рыба рыба", "origin": "real"}])
    assert catalog_language(log).shares == {"Cyrillic": 1.0}
    assert catalog_language(log).source == "items"
    # A query typed often counts once; later and simulated ones not at all.
    add_queries(log, ["牛奶"] * 5 + ["abcdef"])
    add_queries(log, ["молоко"], at=UNTIL)
    add_queries(log, ["ψωμί"], origin="run-1")
    found = catalog_language(log, until=UNTIL)
    assert found.source == "queries"
    assert found.shares == {"Latin": 0.75, "Han": 0.25}
    assert found.script == "Latin"
    assert found.scripts == {"Latin", "Han"}


def test_the_most_frequent_locale_of_real_users_is_kept(log):
    add(
        log,
        "users",
        [
            {"user_id": f"{origin}{locale}{n}", "locale": locale, "origin": origin}
            for origin, locale, count in [
                ("real", "fr_FR", 3),
                ("real", "en_US", 2),
                ("run-1", "de_DE", 9),
            ]
            for n in range(count)
        ],
    )
    add_queries(log, ["chaise"])
    assert catalog_language(log).default_locale() == "fr_FR"


def test_a_sample_of_a_large_log_is_the_same_every_time(log):
    add_queries(log, [f"{'слово' if n % 4 else 'word'} {n}" for n in range(6000)])
    first = catalog_language(log, seed=3)
    assert first == catalog_language(log, seed=3)
    assert first.shares["Cyrillic"] == pytest.approx(15 / 19, abs=0.02)
    assert first.shares != catalog_language(log, seed=4).shares


def test_an_empty_log_has_no_language_and_accepts_everything(log):
    found = catalog_language(log)
    assert (found.source, found.shares) == ("none", {})
    assert found.accepts("牛奶")


@settings(deadline=None)
@given(st.text(st.characters()))
def test_any_text_has_a_verdict(text):
    assert sum(letter_scripts(text).values()) >= 0
    assert Language(shares={"Latin": 1.0}).accepts(text) in {True, False}


def test_locales_are_written_in_their_script():
    assert [locale_script(name) for name in ("zh_TW", "ja_JP", "uk_UA", "vi_VN")] == [
        "Han",
        "Kana",
        "Cyrillic",
        "Latin",
    ]
