"""Examples in portions are the examples in one go."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_shop import build, day

from footfall.errors import DataError, EmptyLogError
from footfall.finetune import read_examples, save_examples
from footfall.finetune.example_batches import log_batches, parquet_batches
from footfall.finetune.example_table import EXAMPLE_SCHEMA, Examples
from footfall.finetune.row_columns import complete_examples, needed_columns

NEEDED = ("example_id", "item_text")


def rows(count, first=0):
    return build(
        [
            {"example_id": f"e{n}", "search_id": f"s{n}", "item_text": f"thing {n}"}
            for n in range(first, first + count)
        ]
    )


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_a_log_in_portions_is_the_log(shop, at_once):
    for number in range(3, 12):
        shown = {"soup": number % 2 == 0, "soap": False, "stew": number % 3 == 0}
        shop.slate(f"page {number}", "ann" if number % 2 else "bob", 2 * number, shown, query="tea")
    # Some pages lie before `until`: they are described as of moments of their own.
    chosen = {"until": day(12), "snapshots": 4}
    whole = read_examples(shop.log, **chosen)
    portions = log_batches(shop.log, **chosen, slates_at_once=at_once)
    assert portions.rows == len(whole)
    found = list(portions.batches)
    assert len(found) == -(-11 // at_once)
    assert Examples.concat(found).table.equals(whole.table)


def test_a_log_takes_the_same_choice_of_pages(shop):
    chosen = {"until": day(12), "start": day(6), "max_slates": 1}
    assert next(log_batches(shop.log, **chosen).batches).table.equals(
        read_examples(shop.log, **chosen).table
    )
    with pytest.raises(EmptyLogError):
        log_batches(shop.log, until=day(12), start=day(300))


def test_a_folder_is_read_file_by_file_in_order(tmp_path):
    (tmp_path / "later").mkdir()
    save_examples(rows(5), tmp_path / "a.parquet")
    save_examples(rows(0), tmp_path / "b.parquet")
    save_examples(rows(4, first=5), tmp_path / "later" / "a.parquet")
    found = parquet_batches(tmp_path, needed=NEEDED, rows_at_once=3)
    portions = list(found.batches)
    assert found.rows == 9
    assert [len(part) for part in portions if len(part)] == [3, 2, 3, 1]
    assert Examples.concat(portions).table.equals(rows(9).table)


def test_errors_name_file_column_and_row(tmp_path):
    with pytest.raises(DataError, match="no Parquet file"):
        parquet_batches(tmp_path, needed=NEEDED)
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(DataError, match=r"x\.parquet is not a Parquet file"):
        parquet_batches(tmp_path, needed=NEEDED)
    pq.write_table(pa.table({"example_id": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet: the column\(s\) item_text are missing"):
        parquet_batches(tmp_path, needed=NEEDED)
    texts = ["soup", "soap", "tea", None]
    pq.write_table(
        pa.table({"example_id": list("abcd"), "item_text": texts}), tmp_path / "x.parquet"
    )
    with pytest.raises(DataError, match=r"x\.parquet: the column item_text .* in row 4"):
        list(parquet_batches(tmp_path, needed=NEEDED, rows_at_once=3).batches)
    pq.write_table(
        pa.table({"example_id": ["a"], "item_text": ["b"], "price_log": ["dear"]}),
        tmp_path / "x.parquet",
    )
    with pytest.raises(DataError, match=r"x\.parquet: the column price_log cannot be read"):
        list(parquet_batches(tmp_path, needed=NEEDED).batches)


def test_what_a_table_lacks_is_filled_in():
    table = pa.table(
        {
            "item_text": pa.array(["soup", "汤"]).dictionary_encode(),
            "query": ["hot soup", None],
            "label": pa.array([True, None]),
            "mood": [1, 2],
        }
    )
    found = complete_examples(table).table
    assert found.schema == EXAMPLE_SCHEMA
    assert found["item_text"].to_pylist() == ["soup", "汤"]
    assert found["has_query"].to_pylist() == [1.0, 0.0]
    assert found["label"].to_pylist() == [True, False]
    assert found["search_id"].to_pylist() == ["0", "1"]
    assert found["weight"].to_pylist() == [1.0, 1.0]
    assert found["shopper_history"].to_pylist() == [[], []]
    assert found["shown_at"].null_count == 2
    # Numbers that are not read may be missing; those that are may not.
    numbers = table.append_column("price_log", pa.array([1.0, float("nan")]))
    assert len(complete_examples(numbers)) == 2
    with pytest.raises(DataError, match="price_log has no usable value in row 2"):
        complete_examples(numbers, needed=("price_log",))


def test_a_whole_table_stays_as_it_is():
    whole = rows(3)
    assert complete_examples(whole.table).table.equals(whole.table)


def test_needed_columns_follow_the_settings():
    assert needed_columns(("price_log", "has_query"), ()) == ("item_text", "price_log")
    assert needed_columns((), ("category_path", "category", "brand")) == (
        "item_text",
        "item_category",
        "item_brand",
    )
