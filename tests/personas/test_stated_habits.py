from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.personas.stated_habits import stated_habit

ENGLISH = {"age": "26", "bar": "Never", "coffee_house": "1~3", "restaurant_less_than_20": "GT8"}


@pytest.mark.parametrize(
    ("demographics", "category", "value"),
    [
        (ENGLISH, "Bar", "never"),
        (ENGLISH, "Places > Bars", "never"),
        (ENGLISH, "Coffee House", "1~3"),
        (ENGLISH, "Restaurant(<20)", "gt8"),
        ({"Bar": "1", "CoffeeHouse": "2", "Restaurant20To50": "3"}, "Coffee House", "2"),
        ({"Bar": "1", "CoffeeHouse": "2", "Restaurant20To50": "3"}, "Restaurant(20-50)", "3"),
        # Only the last step of the path is compared, and words are whole.
        (ENGLISH, "Bar > Snacks", None),
        (ENGLISH, "Barbecue", None),
        (ENGLISH, "", None),
        ({}, "Bar", None),
        ({"牛奶": "每天", "年龄": "三十"}, "食品 > 纯牛奶", "每天"),
        # The better name counts, and of equally good ones the first.
        ({"tea_and_coffee": "a", "coffee": "b"}, "Coffee", "b"),
        ({"coffee": "a", "Coffee": "b"}, "Coffee", "a"),
    ],
)
def test_the_field_that_is_named_like_the_category_counts(demographics, category, value):
    assert stated_habit(demographics, category) == value


@given(
    demographics=st.dictionaries(st.text(max_size=12), st.text(max_size=5), max_size=4),
    category=st.text(max_size=12),
)
def test_fields_of_other_kinds_change_nothing(demographics, category):
    found = stated_habit(demographics, category)
    assert found is None or demographics
    # No category of any script shares a word with a name that has none.
    assert stated_habit({**demographics, "—": "x"}, category) == found
