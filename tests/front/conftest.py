import csv
from datetime import datetime, timedelta

import numpy as np
import pytest

MAPPING = """
name = "small-shop"

[items]
file = "items.csv"
item_id = "sku"
text = "name"
category = "path"
price = "price"

[users]
file = "users.csv"
user_id = "user"
[users.demographics]
age = "age"

[impressions]
file = "shown.csv"
user_id = "user"
item_id = "sku"
search_id = "page"
session_id = "page"
query = "query"
position = "rank"
shown_at = "time"
clicked = "clicked"
purchased = "bought"
"""

KINDS = ["pizza", "yogurt", "soup", "牛奶"]


def write(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


@pytest.fixture(scope="session")
def small_source(tmp_path_factory):
    """Files of a shop with 24 items, 30 users and 300 pages in 100 days, and their mapping."""
    folder = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    items = [
        (f"i{n}", f"{kind} number {n}", f"food > {kind}", round(1 + n / 5, 2))
        for n, kind in enumerate(np.repeat(KINDS, 6))
    ]
    write(folder / "items.csv", ("sku", "name", "path", "price"), items)
    ages = ("18-24", "25-44", "45+")
    write(folder / "users.csv", ("user", "age"), [(f"u{n}", ages[n % 3]) for n in range(30)])
    shown = []
    for page in range(300):
        user = int(rng.integers(30))
        kind = KINDS[user % 4]
        at = datetime(2024, 1, 1) + timedelta(hours=8 * page, minutes=int(rng.integers(60)))
        for rank, item in enumerate(rng.choice(len(items), 8, replace=False), start=1):
            chance = 0.6 / rank**0.5 if kind in items[item][2] else 0.1
            clicked = rng.random() < chance
            bought = clicked and rng.random() < 0.6
            shown.append(
                (f"u{user}", items[item][0], page, kind, rank, at.isoformat(" "), clicked, bought)
            )
    header = ("user", "sku", "page", "query", "rank", "time", "clicked", "bought")
    write(folder / "shown.csv", header, shown)
    (folder / "mapping.toml").write_text(MAPPING, encoding="utf-8")
    return folder
