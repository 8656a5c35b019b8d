"""Mapping files: what they may say, and what the packaged ones say."""

from pathlib import Path

import pytest

from footfall.errors import SettingError
from footfall.simulator.ingest import Mapping, load_mapping, packaged_mappings
from footfall.simulator.ingest import mapping as mapping_module

MINIMAL = """
name = "shop"
[items]
file = "items.csv"
item_id = "id"
text = "name"
[impressions]
file = "events.csv"
item_id = "item"
clicked = "click"
"""


def load(tmp_path: Path, text: str) -> Mapping:
    path = tmp_path / "shop.toml"
    path.write_text(text, encoding="utf-8")
    return load_mapping(path)


def test_the_packaged_mappings_are_usable_by_name() -> None:
    assert packaged_mappings() == ("bestbuy", "coupon", "ogeek")
    for name in packaged_mappings():
        mapping = load_mapping(name)
        assert mapping.name == name
        assert mapping.description


def test_every_field_is_explained() -> None:
    for name in mapping_module.__all__:
        model = getattr(mapping_module, name)
        if isinstance(model, type):
            for field, info in model.model_fields.items():
                assert info.description, f"{name}.{field}"


def test_a_minimal_mapping(tmp_path: Path) -> None:
    mapping = load(tmp_path, MINIMAL)
    assert mapping.candidates.kind == "logged"
    assert mapping.impressions is not None
    assert mapping.impressions.rows == "shown"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("clicked =", "clikced ="), r"impressions.clikced.*Known fields there: .*clicked"),
        (('item_id = "id"\n', ""), r"items.item_id: Field required"),
        (('name = "shop"', 'name = "My Shop"'), "name"),
        (("[items]", "[items"), "not valid TOML"),
        (('file = "items.csv"', 'file = "items.csv"\nheader = false'), "columns must name"),
        (('clicked = "click"', 'clicked = "click"\nsession_gap_minutes = 0'), "session_gap"),
    ],
)
def test_a_wrong_mapping_says_where(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    assert change[0] in MINIMAL
    with pytest.raises(SettingError, match=words):
        load(tmp_path, MINIMAL.replace(*change))


def test_a_mapping_without_events(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"needs \[impressions\] or \[purchases\]"):
        load(tmp_path, MINIMAL.split("[impressions]", maxsplit=1)[0])


def test_no_such_mapping() -> None:
    with pytest.raises(SettingError, match="bestbuy, coupon, ogeek"):
        load_mapping("best-buy")
