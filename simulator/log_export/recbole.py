"""RecBole's atomic files: interactions, users and items, and a configuration that reads them.

The format is described at https://recbole.io/docs/user_guide/data/atomic_files.html: the first line
names each column and its type (``token``, ``token_seq``, ``float``), columns are separated by tabs
and the members of a sequence by spaces.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from footfall.simulator.log_export.atomic_text import id_token, label, number, token, words
from footfall.simulator.log_export.shown_items import shown_items_sql

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["write_atomic_files"]

Columns = dict[str, str]

_INTERACTIONS: Final[Columns] = {
    "user_id:token": id_token("user_id"),
    "item_id:token": id_token("item_id"),
    "timestamp:float": "epoch(shown_at)",
    "label:float": "coalesce(clicked OR carted OR purchased, FALSE)::INTEGER",
    "shown:float": label("shown"),
    "clicked:float": label("clicked"),
    "carted:float": label("carted"),
    "purchased:float": label("purchased"),
    "position:float": "position",
    "shown_price:float": number("price"),
    "sample_rate:float": "sample_rate",
    "session_id:token": id_token("session_id"),
    "search_id:token": id_token("search_id"),
    "query:token_seq": words("query"),
    "history:token_seq": "nullif(array_to_string(history, ' '), '')",
    "origin:token": token("origin"),
}
_ITEMS: Final[Columns] = {
    "item_id:token": id_token("item_id"),
    "text:token_seq": words("text"),
    "category:token": token("category"),
    "top_category:token": token("split_part(category, ' > ', 1)"),
    "brand:token": token("brand"),
    "price:float": number("price"),
    "first_seen:float": "epoch(first_seen)",
}
_CONFIGURATION: Final = """\
# Settings of RecBole for {name}.inter, {name}.user and {name}.item. With this folder at
# dataset/{name}, give run_recbole dataset="{name}" and this file in config_file_list.
field_separator: "\\t"
seq_separator: " "
encoding: utf-8
USER_ID_FIELD: user_id
ITEM_ID_FIELD: item_id
TIME_FIELD: timestamp
LABEL_FIELD: label
load_col:
  inter: [user_id, item_id, timestamp, label, shown]
  user: [{users}]
  item: [item_id, text, category, brand, price]
# What was taken, with or without a recorded page: for general and sequential recommenders. For
# click models, keep what was shown instead: val_interval: {{shown: "[1,1]"}}
val_interval: {{label: "[1,1]"}}
"""


def write_atomic_files(log: Log, folder: Path, name: str, *, history: int) -> dict[str, int]:
    """Write ``name.inter``, ``name.user``, ``name.item`` and ``name.yaml``; rows of each file.

    Parameters
    ----------
    log:
        The log, its tables standing for the chosen rows.
    folder:
        An empty folder.
    name:
        RecBole's name of the data set.
    history:
        Most items in a row's history.
    """
    users = _user_columns(log)
    rows = {
        f"{name}.inter": _write(
            log,
            folder / f"{name}.inter",
            _INTERACTIONS,
            shown_items_sql(history=history, baskets=True, taken=id_token("item_id")),
        ),
        f"{name}.user": _write(log, folder / f"{name}.user", users, "FROM users"),
        f"{name}.item": _write(log, folder / f"{name}.item", _ITEMS, "FROM items"),
    }
    configuration = _CONFIGURATION.format(
        name=name, users=", ".join(column.partition(":")[0] for column in users)
    )
    (folder / f"{name}.yaml").write_text(configuration, encoding="utf-8")
    return rows


def _write(log: Log, path: Path, columns: Columns, source: str) -> int:
    selected = ", ".join(f'{sql} AS "{name}"' for name, sql in columns.items())
    log.execute(
        f"COPY (SELECT {selected} FROM ({source})) TO '{_quoted(path)}' "
        # Nothing is quoted: no value holds what would need it.
        "(FORMAT csv, DELIMITER '\t', HEADER, QUOTE '', ESCAPE '', NULLSTR '')"
    )
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b"")) - 1


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _user_columns(log: Log) -> Columns:
    """Columns of a user: id, locale and one token an attribute that the log knows of anybody."""
    columns = {"user_id:token": id_token("user_id"), "locale:token": token("locale")}
    attributes = log.query(
        "SELECT DISTINCT unnest(json_keys(demographics)) AS name FROM users "
        "WHERE demographics IS NOT NULL ORDER BY name"
    )["name"].to_pylist()
    for attribute in attributes:
        column = _column_name(attribute, columns)
        key = attribute.replace("~", "~0").replace("/", "~1").replace("'", "''")
        columns[f"{column}:token"] = token(f"json_extract_string(demographics, '/{key}')")
    return columns


def _column_name(attribute: str, taken: Columns) -> str:
    """The attribute's name in letters, digits and underscores, different from those taken."""
    plain = re.sub(r"\W+", "_", attribute).strip("_") or "attribute"
    name, number = plain, 1
    # Case does not tell columns apart in DuckDB.
    while f"{name}:token".casefold() in {column.casefold() for column in taken}:
        number += 1
        name = f"{plain}_{number}"
    return name
