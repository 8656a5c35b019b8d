"""Settings as a TOML recipe with a comment for every one of them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import tomlkit
from pydantic import BaseModel
from tomlkit.items import Table

__all__ = ["recipe_toml"]

_WIDTH = 96


def recipe_toml(settings: BaseModel) -> str:
    """A recipe that gives these settings when it is read, each after what it is for.

    TOML has no null: what is left open stands in a comment.
    """
    document = tomlkit.document()
    _fill(document, settings)
    return tomlkit.dumps(document)


def _fill(table: tomlkit.TOMLDocument | Table, settings: BaseModel) -> None:
    """Values come first: after the head of a table they would be the table's."""
    inner = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        told = field.description or ""
        if isinstance(value, BaseModel | Mapping):
            inner.append((name, value, told))
            continue
        _tell(table, told)
        if value is None:
            table.add(tomlkit.comment(f"{name} = (left open)"))
        else:
            table.add(name, tomlkit.item(_plain(value)))
    for name, value, told in inner:
        own = tomlkit.table()
        _tell(own, told)
        if isinstance(value, BaseModel):
            _fill(own, value)
        else:
            own.update(_plain(value))
        table.add(name, own)


def _tell(table: tomlkit.TOMLDocument | Table, told: str) -> None:
    for line in textwrap.wrap(told, _WIDTH):
        table.add(tomlkit.comment(line))


def _plain(value: Any) -> Any:
    """The value in types that TOML has; entries without a value are left out."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, PurePath) else value
