"""What every generator has to do, whatever it is made of."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from generator_cases import GENERATORS
from generator_logs import KINDS, UNTIL

from footfall.errors import EmptyLogError, SettingError
from footfall.simulator.generators import GENERATED_SCHEMA, SessionGenerator, open_generator
from footfall.simulator.generators.protocol import checked_block
from footfall.simulator.log import Log


@pytest.fixture(scope="module")
def fitted(logs):
    made = {}

    def fit(name, kind="plain"):
        if (name, kind) not in made:
            until = None if kind == "timeless" else UNTIL
            with Log.open(logs[kind]) as log:
                generator = open_generator(name, **GENERATORS[name])
                made[name, kind] = generator.fit(log, until=until, seed=3)
        return made[name, kind]

    return fit


def generated(generator, count=300, seed=1, **options):
    return pa.concat_tables(list(generator.sessions(count, seed=seed, **options)))


each_generator = pytest.mark.parametrize("name", GENERATORS)


@each_generator
def test_it_follows_the_protocol(fitted, name):
    generator = fitted(name)
    assert isinstance(generator, SessionGenerator)
    assert generator.name == name


@each_generator
@pytest.mark.parametrize("kind", KINDS)
def test_sessions_are_whole_and_in_order(fitted, logs, name, kind):
    table = generated(fitted(name, kind))
    assert table.schema == GENERATED_SCHEMA
    checked_block(table, name=name, first=0, count=300)
    assert pc.count_distinct(table["session"]).as_py() == 300
    keys = table.select(["session", "step"]).to_pylist()
    assert keys == sorted(keys, key=lambda row: (row["session"], row["step"]))
    steps = table.group_by("session").aggregate(
        [("step", "min"), ("step", "max"), ("step", "count_distinct")]
    )
    assert set(steps["step_min"].to_pylist()) == {1}
    assert steps["step_max"].to_pylist() == steps["step_count_distinct"].to_pylist()
    with Log.open(logs[kind]) as log:
        known = log.query("SELECT item_id FROM items")["item_id"]
        queries = set(log.query("SELECT DISTINCT query FROM searches")["query"].to_pylist())
    assert pc.all(pc.is_in(table["item_id"].drop_null(), value_set=known.combine_chunks())).as_py()
    assert set(table["query"].to_pylist()) <= queries


@each_generator
def test_no_page_shows_an_item_twice(fitted, name):
    table = generated(fitted(name)).filter(pc.field("item_id").is_valid())
    shown = table.group_by(["session", "step", "item_id"]).aggregate([([], "count_all")])
    assert shown.num_rows == table.num_rows


@each_generator
def test_positions_run_from_the_top(fitted, name):
    table = generated(fitted(name))
    pages = table.group_by(["session", "step"]).aggregate([("position", "list")])
    for positions in pages["position_list"].to_pylist():
        assert positions == list(range(1, len(positions) + 1))


@each_generator
def test_only_recorded_responses_are_generated(fitted, name):
    table = generated(fitted(name))
    assert table["clicked"].null_count == 0
    assert table["carted"].null_count == table.num_rows
    assert table["purchased"].null_count == table.num_rows
    rates = table.group_by("clicked").aggregate([("sample_rate", "min"), ("sample_rate", "max")])
    for row in rates.to_pylist():
        wanted = 1.0 if row["clicked"] else 0.5
        assert row["sample_rate_min"] == row["sample_rate_max"] == pytest.approx(wanted)


@each_generator
@pytest.mark.parametrize("kind", ["plain", "browsing", "chinese", "timeless"])
def test_it_has_learned_what_is_clicked_and_what_it_costs(fitted, logs, name, kind):
    table = generated(fitted(name, kind), count=400)
    fruit = pc.starts_with(table["item_id"], "fruit").to_numpy(zero_copy_only=False)
    clicked = table["clicked"].to_numpy()
    # The log: 40 % of fruit is clicked, no tool; half of the pages are fruit.
    assert 0.3 < clicked[fruit].mean() < 0.5
    assert clicked[~fruit].mean() < 0.03
    assert 0.4 < fruit.mean() < 0.6


@each_generator
def test_a_page_is_about_what_was_asked_for(fitted, name):
    table = generated(fitted(name), count=400)
    fruit = pc.starts_with(table["item_id"], "fruit").to_numpy(zero_copy_only=False)
    asked = pc.equal(table["query"], "fresh fruit").to_numpy(zero_copy_only=False)
    assert fruit[asked].mean() > 0.9
    assert fruit[~asked].mean() < 0.1


@each_generator
def test_sessions_and_pages_are_as_long_as_the_logs(fitted, name):
    table = generated(fitted(name), count=400)
    pages = table.group_by(["session", "step", "page"]).aggregate([([], "count_all")])
    # Two pages a session, the second of them a further page of the list; six items a page.
    assert 1.6 < pages.num_rows / 400 < 2.4
    assert 5.0 < pages["count_all"].to_numpy().mean() < 6.5
    second = pages.filter(pc.field("step") == 2)["page"].to_numpy()
    assert np.mean(second == 2) > 0.9


@each_generator
def test_the_same_seed_gives_the_same_sessions(fitted, logs, name):
    generator = fitted(name)
    first = generated(generator, count=50)
    assert first.equals(generated(generator, count=50))
    assert not first.equals(generated(generator, count=50, seed=2))
    with Log.open(logs["plain"]) as log:
        again = open_generator(name, **GENERATORS[name]).fit(log, until=UNTIL, seed=3)
    assert first.equals(generated(again, count=50))


@each_generator
def test_nothing_after_until_is_learned(fitted, log_path, name):
    """Two logs that differ after the end of the training part alone: one item is always clicked."""
    with Log.open(log_path) as log:
        late = open_generator(name, **GENERATORS[name]).fit(log, until=UNTIL, seed=3)
    assert generated(late).equals(generated(fitted(name)))


@each_generator
def test_cold_items_get_their_categorys_rate(fitted, name):
    """Every category has items that were never shown: their numbers are 24 and more."""
    table = generated(fitted(name), count=600, cold_items=0.5)
    number = pc.cast(pc.utf8_slice_codeunits(table["item_id"], -2), "int64").to_numpy()
    fruit = pc.starts_with(table["item_id"], "fruit").to_numpy(zero_copy_only=False)
    clicked = table["clicked"].to_numpy()
    never_shown = number >= 24
    tools = ~fruit
    assert 0.25 < clicked[fruit & never_shown].mean() < 0.55
    assert clicked[tools & never_shown].mean() < 0.05
    assert (fruit & never_shown).sum() > 0.25 * fruit.sum()


@each_generator
def test_many_sessions_come_in_several_tables(fitted, name):
    tables = list(fitted(name).sessions(2300, seed=0))
    assert len(tables) > 1
    assert max(table.num_rows for table in tables) < 1500 * 2 * 8
    assert tables[-1]["session"][-1].as_py() == 2299
    assert set(tables[0]["session"].to_pylist()).isdisjoint(tables[1]["session"].to_pylist())


@each_generator
def test_a_log_without_pages_before_until_is_refused(logs, name):
    with Log.open(logs["timeless"]) as log, pytest.raises(EmptyLogError, match="2026"):
        open_generator(name, **GENERATORS[name]).fit(log, until=UNTIL, seed=0)


@each_generator
def test_sessions_before_fitting_are_refused(name):
    with pytest.raises(SettingError, match="fit"):
        next(iter(open_generator(name).sessions(1, seed=0)))


@each_generator
def test_an_unknown_option_is_named(name):
    with pytest.raises(SettingError, match="speed"):
        open_generator(name, speed=2)
