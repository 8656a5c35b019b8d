"""Each packaged mapping reads files of the shape that its log has."""

import json

import pytest

from footfall.simulator.ingest import ingest_mapping, packaged_mappings
from footfall.simulator.log import Log

COUPON = (
    "destination,passanger,weather,temperature,time,coupon,expiration,gender,age,maritalStatus,"
    "has_children,education,occupation,income,Bar,CoffeeHouse,CarryAway,RestaurantLessThan20,"
    "Restaurant20To50,Y,respondent_id"
)


def bestbuy(folder):
    (folder / "sku_name.tsv").write_text("".join(f"{n}\tGame {n}\n" for n in range(30)))
    lines = ["user,sku,category,query,click_time,query_time"]
    lines += [
        f"u{n},{n % 7},c,game {n % 7},2011-08-1{n % 9} 04:00:17.021,2011-08-1{n % 9} 03:59:04.27"
        for n in range(40)
    ]
    (folder / "clicks.csv").write_text("\n".join(lines) + "\n")


def coupon(folder):
    lines = [COUPON]
    lines += [
        f"Home,Alone,Sunny,55,2PM,{kind},1d,Male,21,Single,0,Some college,Student,$1,never,never,"
        f"never,never,never,{n % 2},{n}"
        for n in range(20)
        for kind in ("Bar", "Coffee House")
    ]
    (folder / "coupon_offers.csv").write_text("\n".join(lines) + "\n")


def ogeek(folder):
    lines = []
    for n, prefix in enumerate(["银耳", "小品", "苹果"] * 4):
        shown = json.dumps({f"{prefix}汤": "0.1", f"{prefix}大全": "0.2"}, ensure_ascii=False)
        lines.append(f"{prefix}\t{shown}\t{prefix}汤{n}\t菜谱\t{n % 2}")
    (folder / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


MAKERS = {"bestbuy": bestbuy, "coupon": coupon, "ogeek": ogeek}
# Impressions, clicked ones, and how the shown items are known.
EXPECTED = {
    "bestbuy": (400, 40, "reconstructed"),
    "coupon": (40, 20, "logged"),
    "ogeek": (12, 6, "logged"),
}


def test_there_is_a_test_for_every_packaged_mapping():
    assert set(packaged_mappings()) == set(MAKERS)


@pytest.mark.parametrize("name", MAKERS)
def test_a_packaged_mapping_reads_its_log(tmp_path, name):
    MAKERS[name](tmp_path)
    path = tmp_path / "log.duckdb"
    report = ingest_mapping(name, tmp_path, path)
    assert report.rejects == {}
    impressions, clicked, candidates = EXPECTED[name]
    with Log.open(path) as log:
        assert log.count("impressions") == impressions
        assert log.scalar("SELECT count(*) FROM impressions WHERE clicked") == clicked
        kinds = log.query("SELECT DISTINCT candidates FROM searches")["candidates"].to_pylist()
        queries = log.scalar("SELECT count(*) FROM searches WHERE query IS NULL")
    assert kinds == [candidates]
    assert queries == 0
