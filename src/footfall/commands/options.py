"""What several commands take: the log, settings files, seeds and times."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from pydantic import BaseModel

from footfall.errors import SettingError
from footfall.recipe import parse_toml, validated

__all__ = [
    "INTERRUPTED",
    "SECTIONS",
    "Assignments",
    "LogFile",
    "Seed",
    "SettingsFile",
    "Until",
    "assigned",
    "read_tables",
    "settings_from",
    "toml_value",
]

Settings = TypeVar("Settings", bound=BaseModel)

#: Exit status after an interrupt, as shells count it: 128 and the signal's number.
INTERRUPTED: Final = 130

#: Tables that a settings file may hold; each command reads its own.
SECTIONS: Final = (
    "personas",
    "engine",
    "simulation",
    "fast",
    "generation",
    "split",
    "fusion",
    "augmentation",
    "training",
    "classification",
    "tuning",
    "ray",
)

LogFile = Annotated[Path, typer.Argument(help="The log: a DuckDB file.", show_default=False)]
SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", help="TOML file of settings: the tables named above."),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting; may be repeated."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")]
Until = Annotated[
    datetime | None,
    typer.Option(help="Use nothing of the log after this time (the end of the training part)."),
]


def assigned(texts: Sequence[str] | None, kind: type[BaseModel]) -> dict[str, Any]:
    """Settings of the options ``--set NAME=VALUE``; a value is one of TOML, or plain text.

    Raises
    ------
    SettingError
        If one has another form, or names what is no setting of ``kind``.
    """
    found: dict[str, Any] = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not sign or name not in kind.model_fields:
            raise SettingError(
                f"--set {text!r} is not NAME=VALUE of a setting.",
                hint=f"Known settings: {', '.join(kind.model_fields)}.",
            )
        found[name] = toml_value(value)
    return found


def toml_value(text: str) -> Any:
    """A value of TOML, or the text where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def settings_from(
    kind: type[Settings], path: Path | None, section: str, /, **options: Any
) -> Settings:
    """Settings from a table of a TOML file, overridden by the options that were given."""
    values: dict[str, Any] = {}
    if path is not None:
        values = read_tables(path).get(section, {})
    values |= {name: value for name, value in options.items() if value is not None}
    return validated(
        kind,
        values,
        f"{path or 'options'}, {section}",
        hint=f"Known settings: {', '.join(kind.model_fields)}.",
    )


def read_tables(path: Path, known: Sequence[str] = SECTIONS) -> dict[str, dict[str, Any]]:
    """Tables of a settings file by name.

    Raises
    ------
    SettingError
        If there is no such file, it is not TOML, or a table is not ``known``.
    """
    if not path.is_file():
        raise SettingError(
            f"{path}: there is no such settings file.", hint="Name a TOML file with --settings."
        )
    tables = parse_toml(path.read_bytes(), path)
    wrong = [name for name, table in tables.items() if name not in known or type(table) is not dict]
    if wrong:
        raise SettingError(
            f"{path}: {wrong[0]!r} is no table of settings.",
            hint=f"A settings file holds the tables {', '.join(f'[{name}]' for name in known)}.",
        )
    return tables
