"""RecBole's atomic files: read back as RecBole does, whatever the texts hold."""

import re
from urllib.parse import unquote

import duckdb
import numpy as np
import pandas as pd
import pytest
from export_shop import MILK, day
from hypothesis import example, given, settings
from hypothesis import strategies as st

from footfall.errors import SettingError
from footfall.simulator.log_export import export_log
from footfall.simulator.log_export.atomic_text import id_token, token, words


def read_atomic(path):
    """An atomic file as RecBole reads it: typed columns, sequences split at spaces."""
    with path.open(encoding="utf-8") as file:
        head = file.readline()[:-1].split("\t")
    kinds = dict(column.split(":") for column in head)
    assert set(kinds.values()) <= {"token", "token_seq", "float", "float_seq"}
    frame = pd.read_csv(
        path,
        delimiter="\t",
        dtype={column: np.float64 if column.endswith(":float") else str for column in head},
        encoding="utf-8",
        engine="python",
    )
    frame.columns = list(kinds)
    for name, kind in kinds.items():
        if kind == "token_seq":
            frame[name] = [
                [word for word in text.split(" ") if word] for text in frame[name].fillna("")
            ]
    return frame


@pytest.fixture
def files(shop, tmp_path):
    folder = tmp_path / "my-shop"
    made = export_log(shop, folder, format="recbole", origin="real", history=2)
    assert made.rows == {"my-shop.inter": 7, "my-shop.user": 2, "my-shop.item": 4}
    return {kind: read_atomic(folder / f"my-shop.{kind}") for kind in ("inter", "user", "item")} | {
        "folder": folder
    }


def test_items_come_back_whatever_their_texts_hold(files):
    items = files["item"].set_index(files["item"]["item_id"].map(unquote))
    assert set(items.index) == {"milk", "NA", "a\tb", "a b"}
    assert items.loc["milk", "text"] == ["纯", "牛", "奶", "250ml，", "整", "箱"]
    assert MILK.replace(" ", "") == "".join(items.loc["milk", "text"])
    assert items.loc["a\tb", "text"] == ["Cheese", "12''", "wheel", "''best''"]
    assert items.loc["NA", "text"] == ["NULL"]
    assert unquote(items.loc["NA", "brand"]) == 'O"y 100%'
    assert unquote(items.loc["milk", "category"]) == "食品 > 乳制品"
    assert items.loc["milk", "top_category"] == "食品"
    assert items.loc["milk", "price"] == 3.5
    assert np.isnan(items.loc["a\tb", "price"])
    assert items.loc["a b", "first_seen"] == pd.Timestamp(day(9)).timestamp()
    assert pd.isna(items.loc["milk", "brand"])


def test_users_have_a_column_an_attribute(files):
    users = files["user"].set_index("user_id")
    assert list(users.columns) == ["locale", "a_b_c", "age_band", "locale_2"]
    assert users.loc["小明"].map(unquote).to_list() == ["zh_CN", "x\ty", "25-34", "Beijing"]
    assert users.loc["u2", "locale"] == "en_US"
    assert users.loc["u2"].isna().sum() == 3


def test_interactions_have_responses_times_and_what_was_taken_before(files):
    rows = files["inter"]
    ids = rows["item_id"].map(unquote)
    shown = rows[rows["shown"] == 1]
    assert len(shown) == 5
    first = rows[(ids == "milk") & (rows["user_id"] == "小明")].iloc[0]
    assert (first["label"], first["clicked"], first["purchased"]) == (1, 1, 1)
    assert first["timestamp"] == pd.Timestamp(day(1)).timestamp() + 60
    assert first["query"] == ["牛", "奶", "整", "箱"]
    assert first["history"] == []
    later = rows[ids == "a\tb"].iloc[0]
    assert later["history"] == ["milk", "%4EA"]
    assert later["query"] == ["''NA''"]
    assert np.isnan(later["carted"])
    unknown = rows[(ids == "a b") & (rows["shown"] == 1)].iloc[0]
    assert unknown["label"] == 0
    assert np.isnan(unknown["clicked"])


def test_purchases_that_no_page_led_to_are_told_once(files):
    bought = files["inter"][files["inter"]["shown"] == 0]
    assert sorted(bought["item_id"].map(unquote)) == ["NA", "a b"]
    by_id = bought.set_index(bought["item_id"].map(unquote))
    assert by_id.loc["NA", "shown_price"] == 2.5
    assert by_id.loc["NA", "history"] == ["milk"]
    assert by_id["label"].to_list() == [1, 1]
    assert np.isnan(by_id.loc["a b", "timestamp"])


def test_a_history_is_cut_to_its_newest_items_and_may_be_left_out(shop, tmp_path):
    for length, expected in ((1, ["%4EA"]), (0, [])):
        folder = tmp_path / f"h{length}"
        export_log(shop, folder, format="recbole", origin="real", history=length)
        rows = read_atomic(folder / f"h{length}.inter")
        assert rows[rows["item_id"] == "a%09b"].iloc[0]["history"] == expected


def test_ids_in_histories_are_those_of_the_rows(files):
    known = set(files["item"]["item_id"])
    assert all(set(history) <= known for history in files["inter"]["history"])


def test_the_configuration_names_columns_that_are_there(files):
    text = (files["folder"] / "my-shop.yaml").read_text(encoding="utf-8")
    for kind in ("inter", "user", "item"):
        named = re.search(rf"^  {kind}: \[(.*)\]$", text, re.MULTILINE).group(1).split(", ")
        assert set(named) <= set(files[kind].columns)
    for field in re.findall(r"_FIELD: (\w+)", text):
        assert field in files["inter"].columns


def test_a_folder_of_a_name_that_recbole_cannot_use_is_refused(shop, tmp_path):
    with pytest.raises(SettingError, match="RecBole"):
        export_log(shop, tmp_path / "my shop", format="recbole")


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SPECIAL = st.sampled_from(["NA", "null", "<NA>", "nan", '"', '""', "%4EA", "\t", "a\r", "#N/A N/A"])


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as opened:
        yield opened


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("texts") / "texts.inter"


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(ANY | SPECIAL, min_size=1, max_size=8))
@example(texts=["", " ", "NA", "a b", "a\tb", "%", "\x00", "\x85", "牛奶"])
def test_any_text_survives_as_id_token_and_words(connection, place, texts):
    numbers = list(range(len(texts)))
    connection.execute("CREATE OR REPLACE TABLE t (n INTEGER, x VARCHAR)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", list(zip(numbers, texts, strict=True)))
    connection.execute(
        f'COPY (SELECT n AS "n:float", {id_token("x")} AS "id:token", {token("x")} AS "x:token", '
        f"{words('x')} AS \"w:token_seq\" FROM t ORDER BY n) TO '{place}' "
        "(FORMAT csv, DELIMITER '\t', HEADER, QUOTE '', ESCAPE '', NULLSTR '')"
    )
    assert len(place.read_text(encoding="utf-8").splitlines()) == len(texts) + 1
    frame = read_atomic(place)
    assert frame["n"].to_list() == numbers
    for text, identifier, value, found in zip(
        texts, frame["id"], frame["x"], frame["w"], strict=True
    ):
        if text:
            assert unquote(identifier) == text
            assert " " not in identifier
            assert unquote(value) == text
        else:
            assert pd.isna(identifier)
        # Nothing but spaces, control characters and the shape of quotation marks is lost.
        kept = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", "", text.replace('"', "''"))
        assert "".join(found) == kept


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(ANY | SPECIAL, min_size=2, max_size=6, unique=True))
def test_different_ids_stay_different(connection, texts):
    sql = f"SELECT {id_token('x')} FROM (SELECT unnest($texts) AS x)"
    found = [row[0] for row in connection.execute(sql, {"texts": texts}).fetchall()]
    assert len(set(found)) == len(texts)
