from __future__ import annotations

import pytest

from footfall.errors import EmptyLogError
from footfall.eval.sessions import collect_sessions


def test_sessions_are_whole_and_end_in_every_way(log):
    found = collect_sessions(log, "run-1", count=4)
    assert len(found) == 4
    assert {story.ended_by for story in found} == {"bought", "left"}
    for story in found:
        searches = log.query(
            "SELECT count(*) AS n FROM searches WHERE session_id = ?", [story.session_id]
        )
        assert len(story.slates) == searches["n"][0].as_py()
        for slate in story.slates:
            assert [row.position for row in slate.rows] == [1, 2, 3, 4, 5]
            assert all(row.text and row.price for row in slate.rows)


def test_the_persona_is_put_in_words(log):
    persona = collect_sessions(log, "run-1", count=1)[0].persona
    assert persona["city"] == "上海"
    assert persona["likes"] == "milk, tea"
    assert persona["bought or clicked before"] == "绿茶"


def test_the_draw_repeats_and_follows_the_seed(log):
    first = collect_sessions(log, "run-1", count=3, seed=1)
    assert collect_sessions(log, "run-1", count=3, seed=1) == first
    assert collect_sessions(log, "run-1", count=3, seed=2) != first
    assert len(collect_sessions(log, "run-1", count=500)) == 60


def test_a_damaged_persona_and_a_missing_user_do_no_harm(log):
    log.execute("UPDATE users SET persona = '{broken'")
    assert collect_sessions(log, "run-1", count=1)[0].persona == {}
    assert collect_sessions(log, "real", count=1)[0].persona == {}


def test_a_session_without_pages_comes_last_and_empty(log):
    log.execute("DELETE FROM impressions WHERE origin = 'run-1'")
    log.execute("DELETE FROM searches WHERE origin = 'run-1' AND session_id <> 'run-1-0-0'")
    found = collect_sessions(log, "run-1", count=2)
    assert found[0].session_id == "run-1-0-0"
    assert found[0].slates[0].rows == []
    assert found[1].slates == []


def test_an_unknown_run_is_an_error(log):
    with pytest.raises(EmptyLogError, match="run-9"):
        collect_sessions(log, "run-9")
