"""Mapping files: which column of a source means what.

A value of a mapping is one of three things: the name of a column (``sku``), a template over columns
(``{title} ({tag})``), or a constant behind an equals sign (``=Xbox 360 games``). A template is
missing where all of its columns are; in an identifier, where any of them is.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from footfall.errors import SettingError

__all__ = [
    "Candidates",
    "ImpressionSource",
    "ItemSource",
    "Mapping",
    "PurchaseSource",
    "Source",
    "UserSource",
    "load_mapping",
    "packaged_mappings",
]

#: A column name, a template such as ``{title} ({tag})``, or ``=`` and a constant.
Value = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Source(_Strict):
    """A file and how to read it."""

    file: str = Field(min_length=1, description="Path below the source folder; * may match many.")
    format: Literal["csv", "tsv", "parquet", "jsonl"] | None = Field(
        None, description="How the file is written; by default what its ending says."
    )
    header: bool = Field(True, description="Whether the first line of a CSV or TSV names columns.")
    columns: list[str] = Field(
        default_factory=list, description="Names of the columns where there is no header."
    )
    delimiter: str | None = Field(
        None, min_length=1, max_length=4, description="Between columns; by default comma or tab."
    )
    quote: str | None = Field(
        None, max_length=1, description='Around values; by default " in CSV and none in TSV.'
    )
    time_format: str | None = Field(
        None,
        description="strptime pattern of the times, or epoch_s or epoch_ms; by default ISO 8601.",
    )
    null_values: list[str] = Field(
        default_factory=list, description="Texts that mean missing, beside the empty text."
    )

    @model_validator(mode="after")
    def _names_without_header(self) -> Self:
        if not self.header and not self.columns:
            raise ValueError("columns must name the columns when header is false")
        return self


class ItemSource(Source):
    """The catalogue, one item a row; rows that are equal in every mapped column count once."""

    item_id: Value = Field(description="Identifier of the item.")
    text: Value = Field(description="What a shopper reads about the item.")
    category: Value | None = Field(None, description="Category path, joined by ' > '.")
    brand: Value | None = Field(None, description="Brand.")
    price: Value | None = Field(None, description="Price, in the log's currency.")
    first_seen: Value | None = Field(None, description="When the item came into the shop.")


class UserSource(Source):
    """What is known about users, one or more rows each; the first row of a user counts."""

    user_id: Value = Field(description="Identifier of the user.")
    demographics: dict[str, Value] = Field(
        default_factory=dict, description="Attribute to where its value is."
    )


class ImpressionSource(Source):
    """What was shown and how people responded, one shown or one clicked item a row."""

    rows: Literal["shown", "clicks"] = Field(
        "shown", description="shown: every row was shown. clicks: every row was clicked."
    )
    item_id: Value = Field(description="Identifier of the shown item.")
    user_id: Value | None = Field(None, description="Identifier of the user, where known.")
    anonymous_user: Literal["search", "query"] = Field(
        "search", description="Without user_id: one user per search, or one per distinct query."
    )
    session_id: Value | None = Field(None, description="Identifier of the session, where known.")
    session_gap_minutes: float = Field(
        30.0, gt=0, description="Without session_id: a pause this long begins another session."
    )
    search_id: Value | None = Field(None, description="Identifier of the result page.")
    same_search: list[Value] = Field(
        default_factory=list, description="Without search_id: rows equal in these are one page."
    )
    same_search_rows: Literal["anywhere", "consecutive"] = Field(
        "anywhere", description="Whether the rows of a page must follow one another in the file."
    )
    query: Value | None = Field(None, description="What was searched for, or the context.")
    answered_by: Value | None = Field(None, description="What produced the page.")
    page: Value | None = Field(None, description="Number of the result page, from 1.")
    place: Value | None = Field(None, description="Shop or site.")
    position: Value | None = Field(None, description="Position on the page; 1 is the top.")
    price: Value | None = Field(None, description="Price shown.")
    shown_at: Value | None = Field(None, description="When the page was shown.")
    clicked: Value | None = Field(None, description="Whether the item was clicked.")
    clicked_at: Value | None = Field(None, description="When the item was clicked.")
    carted: Value | None = Field(None, description="Whether the item was put in the cart.")
    purchased: Value | None = Field(None, description="Whether the item was bought.")
    purchased_at: Value | None = Field(None, description="When the item was bought.")


class PurchaseSource(Source):
    """Purchases outside of result pages, one purchased item a row."""

    user_id: Value = Field(description="Identifier of the user.")
    item_id: Value = Field(description="Identifier of the item.")
    session_id: Value | None = Field(None, description="Session of the impressions, where known.")
    place: Value | None = Field(None, description="Shop or site.")
    quantity: Value | None = Field(None, description="How many.")
    amount: Value | None = Field(None, description="Paid for the line, in the log's currency.")
    purchased_at: Value | None = Field(None, description="When.")


class Candidates(_Strict):
    """How the items on a page are known."""

    kind: Literal["logged", "sampled", "reconstructed"] = Field(
        "logged",
        description="logged: every shown item has a row. sampled: some of them. reconstructed: "
        "only clicked ones, and others are drawn from the catalogue.",
    )
    per_search: int = Field(9, ge=1, le=1000, description="Reconstructed items per page.")
    pool: Literal["same category", "popularity", "uniform"] = Field(
        "popularity",
        alias="from",
        description="same category: of the clicked item's category, by popularity. popularity: of "
        "the catalogue, by popularity. uniform: of the catalogue, all alike.",
    )
    popularity_exponent: float = Field(
        0.75, ge=0, le=2, description="Weight of an item is (clicks + 1) to this power."
    )


class Mapping(_Strict):
    """One log: its files, and what their columns mean."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_-]*$", description="Prefix of the identifiers that ingest makes."
    )
    description: str = Field("", description="What the log is, for people.")
    locale: str = Field("en_US", pattern=r"^[a-z]{2,3}_[A-Z]{2}$", description="Users' locale.")
    items: ItemSource = Field(description="The catalogue.")
    users: UserSource | None = Field(None, description="What is known about users.")
    impressions: ImpressionSource | None = Field(None, description="What was shown.")
    purchases: PurchaseSource | None = Field(None, description="What was bought.")
    candidates: Candidates = Field(
        default_factory=Candidates, description="How the items on a page are known."
    )

    @model_validator(mode="after")
    def _some_events(self) -> Self:
        if self.impressions is None and self.purchases is None:
            raise ValueError("a mapping needs [impressions] or [purchases]")
        return self


def packaged_mappings() -> tuple[str, ...]:
    """Return the names of the mappings that come with Footfall."""
    folder = files("footfall.simulator.ingest") / "mappings"
    return tuple(
        sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml"))
    )


def load_mapping(name: str | Path) -> Mapping:
    """Read a packaged mapping by its name or any mapping by its path.

    Raises
    ------
    SettingError
        If there is no such mapping, or the message names the field that is wrong.
    """
    if str(name) in packaged_mappings():
        text = (files("footfall.simulator.ingest") / "mappings" / f"{name}.toml").read_text("utf-8")
    elif Path(name).is_file():
        try:
            text = Path(name).read_text("utf-8")
        except UnicodeDecodeError as error:
            raise SettingError(
                f"{name}: not a text in UTF-8: {error}.", hint="Save the file as UTF-8."
            ) from error
    else:
        raise SettingError(
            f"{name}: there is no such mapping.",
            hint=f"Name a TOML file, or one of {', '.join(packaged_mappings())}.",
        )
    try:
        return Mapping.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{name}: not valid TOML: {error}.") from error
    except ValidationError as error:
        raise _explained(name, error) from error


def _explained(name: str | Path, error: ValidationError) -> SettingError:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the mapping"
    hint = ""
    if first["type"] == "extra_forbidden":
        hint = f"Known fields there: {', '.join(_fields_at(first['loc'][:-1]))}."
    return SettingError(f"{name}, {field}: {first['msg']}.", hint=hint)


def _fields_at(path: tuple[int | str, ...]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "items": ItemSource,
        "users": UserSource,
        "impressions": ImpressionSource,
        "purchases": PurchaseSource,
        "candidates": Candidates,
    }
    model = sections.get(str(path[0]), Mapping) if path else Mapping
    return [field.alias or name for name, field in model.model_fields.items()]
