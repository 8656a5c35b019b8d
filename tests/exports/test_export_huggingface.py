"""Hugging Face datasets: one row an item shown, one split an origin, read back from disk."""

import pytest
from export_shop import MILK, day

from footfall.errors import EmptyLogError, MissingPartError
from footfall.simulator.log import Log
from footfall.simulator.log_export import export_dataset, export_log, huggingface
from footfall.simulator.log_export.shown_items import SHOWN_ITEM_SCHEMA


def loaded(shop, tmp_path, **choices):
    from datasets import load_from_disk

    export_log(shop, tmp_path / "data", format="huggingface", **choices)
    return load_from_disk(str(tmp_path / "data"))


def by_item(split):
    return {(row["user_id"], row["item_id"]): row for row in split}


def test_a_saved_dataset_has_a_typed_row_an_item_shown(shop, tmp_path):
    from datasets import DatasetDict, Features

    data = loaded(shop, tmp_path)
    assert isinstance(data, DatasetDict)
    assert {name: len(split) for name, split in data.items()} == {"real": 5, "sim_1": 2}
    assert data["real"].features == Features.from_arrow_schema(SHOWN_ITEM_SCHEMA)
    rows = by_item(data["real"])
    milk = rows["小明", "milk"]
    assert milk["item_text"] == MILK
    assert milk["query"] == "牛奶\t整箱"
    assert (milk["clicked"], milk["purchased"], milk["carted"]) == (True, True, None)
    assert milk["price"] == 3.5
    assert milk["shown_at"] == day(1).replace(minute=1)
    assert milk["history"] == []
    assert rows["小明", "a\tb"]["history"] == ["milk", "NA"]
    assert rows["u2", "milk"]["history"] == []
    assert rows["小明", "a b"]["clicked"] is None
    assert all(data["real"]["shown"])
    assert set(data["sim_1"]["origin"]) == {"sim-1"}


def test_the_folder_holds_nothing_but_the_dataset(shop, tmp_path):
    export_log(shop, tmp_path / "data", format="huggingface", origin="real")
    found = {path.name for path in (tmp_path / "data").iterdir()}
    assert found == {"real", "dataset_dict.json"}


def test_a_dataset_in_memory_is_the_one_on_disk(shop, tmp_path):
    with Log.open(shop) as log:
        made = export_dataset(log, until=day(4), history=1)
    saved = loaded(shop, tmp_path, until=day(4), history=1)
    assert list(made) == list(saved) == ["real"]
    assert made["real"].features == saved["real"].features
    assert by_item(made["real"]) == by_item(saved["real"])
    assert len(made["real"]) == 4
    assert by_item(made["real"])["小明", "a\tb"]["history"] == ["NA"]


def test_rows_that_show_nothing_are_no_dataset(shop, tmp_path):
    with Log.open(shop) as log, pytest.raises(EmptyLogError, match="shows an item"):
        export_dataset(log, until=day(-5))
    with pytest.raises(EmptyLogError, match="shows an item"):
        loaded(shop, tmp_path, until=day(-5))
    assert not (tmp_path / "data").exists()


def test_origins_whose_names_clash_get_splits_of_their_own():
    splits = huggingface._splits(["real", "sim-1", "sim_1", "跑-1"])
    assert splits == {"real": "real", "sim_1": "sim-1", "sim_1_2": "sim_1", "跑_1": "跑-1"}


def test_a_missing_package_is_named_before_any_work(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface, "find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match=r"footfall\[datasets\]"):
        export_log(shop, tmp_path / "data", format="huggingface")
