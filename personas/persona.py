"""A shopper as plain data, and reading and writing of persona files (JSON Lines)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from footfall.errors import PersonaError
from footfall.files import whole_file

__all__ = ["WHOLE_LOG", "Persona", "read_personas", "write_personas"]

#: ``fitted_until`` of a persona that is fitted on all of a log.
WHOLE_LOG: Final = "end"

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Persona(BaseModel):
    """One shopper: who they are, and habits as numbers taken from a log or a prior.

    ``interests`` maps category paths (joined by `` > ``) to weights that sum to one. ``history``
    holds texts of items bought or clicked before, newest last. The habits are documented in
    :mod:`footfall.personas.habits`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    persona_id: str = Field(min_length=1, description="Unique within a population.")
    locale: str = Field("en_US", pattern=r"^[a-z]{2,3}_[A-Z]{2}$", description="Such as en_US.")
    demographics: dict[str, str] = Field(
        default_factory=dict, description="Attribute to value, in the log's own words."
    )
    interests: dict[str, float] = Field(
        default_factory=dict, description="Category path to weight; weights sum to one."
    )
    history: tuple[str, ...] = Field((), description="Texts of earlier items, newest last.")
    price_sensitivity: Share = Field(0.5, description="0 ignores prices, 1 buys the cheapest.")
    brand_loyalty: Share = Field(0.5, description="Probability of repeating the last brand.")
    exploration: Share = Field(0.3, description="Share of items never bought or clicked before.")
    patience: float = Field(2.0, gt=0.0, description="Expected result pages before leaving.")
    activity: float = Field(1.0, gt=0.0, description="Expected sessions per week.")
    segment: str = Field("", description="Segment that the persona was drawn from.")
    source: Literal["log", "faker", "user"] = Field(
        "user", description="log: fitted on a log. faker: invented. user: supplied."
    )
    fitted_until: str | None = Field(
        None,
        description="End of what of the log it is fitted on (ISO 8601), or `end` for all of it; "
        "none where unknown.",
    )
    fitted_part: str | None = Field(
        None, description="Digest of the training part that this log was, if it was one."
    )

    @field_validator("fitted_until")
    @classmethod
    def _is_a_time(cls, told: str | None) -> str | None:
        if told is not None and told != WHOLE_LOG:
            datetime.fromisoformat(told)
        return told


def read_personas(path: str | Path) -> list[Persona]:
    """Read personas from JSON Lines.

    Raises
    ------
    PersonaError
        If the file is missing, empty, repeats an id, or a line is not a persona; the message
        names the line and the field.
    """
    path = Path(path)
    if not path.is_file():
        raise PersonaError(
            f"{path}: there is no such persona file.", hint="Make one with `footfall personas`."
        )
    personas: dict[str, Persona] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            persona = _parse(line, path, number)
            if persona.persona_id in personas:
                raise PersonaError(
                    f"{path}, line {number}: persona_id {persona.persona_id!r} is repeated.",
                    hint="Give every persona its own persona_id.",
                )
            personas[persona.persona_id] = persona
    if not personas:
        raise PersonaError(
            f"{path}: the persona file is empty.", hint="Make one with `footfall personas`."
        )
    return list(personas.values())


def _parse(line: str, path: Path, number: int) -> Persona:
    try:
        return Persona.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the line"
        raise PersonaError(
            f"{path}, line {number}, {field}: {first['msg']}.",
            hint=f"Known fields: {', '.join(Persona.model_fields)}.",
        ) from error


def write_personas(personas: Iterable[Persona], path: str | Path) -> int:
    """Write personas as JSON Lines, replacing the file in one step; return how many."""
    count = 0
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as lines:
        for persona in personas:
            lines.write(json.dumps(persona.model_dump(mode="json"), ensure_ascii=False) + "\n")
            count += 1
    return count
