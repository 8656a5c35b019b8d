"""Pages of HTML that need nothing else: one style, one set of tables and figures, one renderer."""

from __future__ import annotations

import math
from importlib.resources import files
from typing import Any

from footfall.eval.results import format_figure, format_interval, format_number

__all__ = ["format_duration", "render_page"]


def format_duration(seconds: float | None) -> str:
    """Seconds, minutes or hours for people; a dash where there is none."""
    if seconds is None:
        return "–"
    if seconds < 99.5:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _price(value: float | None, currency: str) -> str:
    return "" if value is None or math.isnan(value) else f"{currency}{value:,.2f}"


def _template(name: str) -> str | None:
    """Source of a template that ships with the package, or ``None`` where there is none."""
    file = files("footfall.eval") / "templates" / name
    return file.read_text(encoding="utf-8") if file.is_file() else None


def render_page(template: str, **content: Any) -> str:
    """HTML of a template of the package; every text is escaped, a missing name is an error."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": format_figure,
        "number": format_number,
        "duration": format_duration,
        "price": _price,
        "language": lambda locale: locale.replace("_", "-"),
    }
    environment.globals["interval"] = format_interval
    return environment.get_template(template).render(**content)
