"""Made rows tell as much of their shopper as real rows do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from part_logs import DAY0, make_log

from footfall.finetune.example_table import Examples
from footfall.finetune.examples import read_examples
from footfall.finetune.known_shoppers import describe_made_rows
from footfall.finetune.row_description import describe_rows
from footfall.personas import Persona
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

UNTIL = DAY0.replace(month=3)
PERSONA = Persona(
    persona_id="run/p",
    demographics={"age": "三十"},
    interests={"all > 牛奶": 1.0},
    history=("first", "second", "third"),
)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(make_log(tmp_path / "shop.duckdb", people=12), read_only=False) as opened:
        user = {
            "user_id": "run/p",
            "locale": "en_US",
            "demographics": '{"age": "三十"}',
            "persona": PERSONA.model_dump_json(),
            "origin": "run",
        }
        opened.append("users", pa.Table.from_pylist([user], schema=ARROW_SCHEMAS["users"]))
        yield opened


def real_rows(log: Log, histories: list[list[str]]) -> Examples:
    """Real examples whose slates have these histories in turn."""
    real = read_examples(log, label="clicked", until=UNTIL)
    told = [histories[slate % len(histories)] for slate in real.slate_numbers().tolist()]
    return real.with_column("shopper_history", pa.array(told, pa.list_(pa.string())))


def made_rows(user: str, slates: int, per_slate: int = 2) -> pa.Table:
    rows: list[dict[str, Any]] = [
        {
            "search_id": f"made/{slate:03d}",
            "session_id": f"made/{slate:03d}",
            "user_id": user,
            "item_id": f"i{place:02d}",
            "query": "milk",
            "label": place == 0,
            "sample_rate": 1.0,
            "origin": "run",
            "shown_at": None,
            "slate_at": None,
            "position": place + 1,
            "score": None,
            "copy": 1,
        }
        for slate in range(slates)
        for place in range(per_slate)
    ]
    types = {
        "shown_at": pa.timestamp("us"),
        "slate_at": pa.timestamp("us"),
        "score": pa.float64(),
        "copy": pa.int32(),
        "position": pa.int32(),
    }
    table = pa.Table.from_pylist(rows)
    for name, kind in types.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table[name].cast(kind))
    return table


@pytest.mark.parametrize(("user", "age"), [("run/p", "三十"), ("u01", "21")])
def test_without_history_in_real_rows_made_ones_tell_demographics_alone(
    log: Log, user: str, age: str
) -> None:
    real = real_rows(log, [[]])
    made = describe_made_rows(log, made_rows(user, 5), real, until=UNTIL, seed=0)
    assert set(made.column("shopper_text")) == {age}
    assert set(made.column("user_id")) == {user}
    assert all(len(history) == 0 for history in made.column("shopper_history"))
    assert not made.column("category_affinity").any()
    assert made.column("user_cold").all()


def test_made_rows_tell_the_latest_items_as_many_as_real_ones_do(log: Log) -> None:
    real = real_rows(log, [["a", "b"]])
    made = describe_made_rows(log, made_rows("run/p", 5), real, until=UNTIL, seed=0)
    assert {tuple(history) for history in made.column("shopper_history")} == {("second", "third")}
    assert set(made.column("shopper_text")) == {"三十 ; 牛奶 ; second, third"}
    assert set(made.column("shopper_profile")) == {"三十 ; 牛奶"}
    (said,) = set(made.column("shopper_demographics"))
    assert list(json.loads(said).values()) == ["三十"]
    longer = real_rows(log, [["a", "b", "c", "d"]])
    whole = describe_made_rows(log, made_rows("run/p", 5), longer, until=UNTIL, seed=0)
    assert {len(history) for history in whole.column("shopper_history")} == {3}


@pytest.mark.parametrize(
    ("history", "interests", "unknown"),
    [((), {}, True), (("first",), {}, False), ((), {"all > 茶": 1.0}, False)],
)
def test_a_persona_without_past_is_somebody_unknown(
    log: Log, history: tuple[str, ...], interests: dict[str, float], unknown: bool
) -> None:
    bare = PERSONA.model_copy(update={"history": history, "interests": interests})
    log.execute("DELETE FROM users WHERE user_id = 'run/p'")
    user = {
        "user_id": "run/p",
        "locale": "en_US",
        "demographics": '{"age": "三十"}',
        "persona": bare.model_dump_json(),
        "origin": "run",
    }
    log.append("users", pa.Table.from_pylist([user], schema=ARROW_SCHEMAS["users"]))
    real = real_rows(log, [["a", "b"]])
    made = describe_made_rows(log, made_rows("run/p", 4), real, until=UNTIL, seed=0)
    (told,) = set(made.column("shopper_profile"))
    # What the people who have a history are interested in, or their own interests.
    if unknown:
        assert told.startswith("三十 ; ")
        assert "牛奶" in told
    else:
        assert "牛奶" not in told
        assert ("茶" in told) == bool(interests)


def test_slates_are_told_whole_and_as_often_as_real_ones(log: Log) -> None:
    real = real_rows(log, [[], ["a"], [], []])
    made = describe_made_rows(log, made_rows("run/p", 400), real, until=UNTIL, seed=0)
    lengths = np.array([len(history) for history in made.column("shopper_history")])
    per_slate = lengths.reshape(-1, 2)
    assert (per_slate[:, 0] == per_slate[:, 1]).all()
    assert per_slate[:, 0].mean() == pytest.approx(0.25, abs=0.07)
    again = describe_made_rows(log, made_rows("run/p", 400), real, until=UNTIL, seed=0)
    assert again.table.equals(made.table)
    other = describe_made_rows(log, made_rows("run/p", 400), real, until=UNTIL, seed=1)
    assert not other.table.equals(made.table)


def test_somebody_unknown_is_described_like_a_real_person_unknown(log: Log) -> None:
    # One more person has a page in the real part and no history: what is said of them counts.
    visit = {"session_id": "new", "origin": "real"}
    moment = UNTIL.replace(month=2)
    page = {"search_id": "new/1", "step": 1, "page": 1, "candidates": "sampled"}
    tables: dict[str, dict[str, Any]] = {
        "users": {
            "user_id": "new",
            "locale": "en_US",
            "demographics": '{"age": "三十"}',
            "origin": "real",
        },
        "sessions": {**visit, "user_id": "new", "started_at": moment},
        "searches": {**visit, **page, "query": "soup", "searched_at": moment},
        "impressions": {
            "search_id": "new/1",
            "item_id": "i00",
            "position": 1,
            "clicked": False,
            "shown_at": moment,
            "sample_rate": 1.0,
            "origin": "real",
        },
    }
    for table, row in tables.items():
        log.append(table, pa.Table.from_pylist([row], schema=ARROW_SCHEMAS[table]))
    real = read_examples(log, label="clicked", until=UNTIL, snapshots=4)
    people = [*sorted({f"u{number:02d}" for number in range(12)}), "new"]
    later = pa.concat_tables([made_rows(user, 1) for user in people])
    origin = later.schema.get_field_index("origin")
    later = later.set_column(origin, "origin", pa.array(["real"] * len(later)))
    later = later.set_column(0, "search_id", pa.array([f"later/{n // 2}" for n in range(26)]))
    known = describe_rows(log, later, until=UNTIL)
    (expected,) = set(known.column("shopper_profile")[known.column("user_id") == "new"])
    assert "牛奶" in expected
    made = describe_made_rows(log, made_rows("run/p", 60), real, until=UNTIL, seed=0)
    lengths = np.array([len(history) for history in made.column("shopper_history")])
    assert 0 < (lengths == 0).mean() < 1
    assert set(made.column("shopper_profile")[lengths == 0]) == {expected}
    assert set(made.column("shopper_profile")[lengths > 0]) == {"三十 ; 牛奶"}
