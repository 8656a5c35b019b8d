"""Generators by name.

A name is a built-in one, a plug-in's (an entry point in :data:`GENERATOR_GROUP`), or
``package.module:object``. What a plug-in or object names is called with the options and gives a
:class:`~footfall.simulator.generators.protocol.SessionGenerator`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from footfall.errors import SettingError
from footfall.simulator.generators.protocol import SessionGenerator
from footfall.simulator.plug_ins import find_object, plug_in_names

__all__ = ["GENERATOR_GROUP", "generator_names", "open_generator"]

#: The entry-point group.
GENERATOR_GROUP: Final = "footfall.generators"

_Factory: TypeAlias = Callable[..., Any]

#: Imported when first used: two of them need torch.
_BUILT_IN: Final[Mapping[str, str]] = {
    "gan": "footfall.simulator.generators.networks:GANGenerator",
    "markov": "footfall.simulator.generators.markov:MarkovGenerator",
    "vae": "footfall.simulator.generators.networks:VAEGenerator",
}


def generator_names() -> list[str]:
    """Names of the built-in generators and of all plug-ins that can be loaded.

    A plug-in that cannot be loaded is named in a ``RuntimeWarning`` and left out.
    """
    return sorted({*_BUILT_IN, *plug_in_names(GENERATOR_GROUP, _check_callable)})


def open_generator(name: str, **options: Any) -> SessionGenerator:
    """Make a generator, not fitted yet.

    Parameters
    ----------
    name:
        ``markov``, ``vae``, ``gan``, a plug-in's name, or ``package.module:object``.
    **options:
        The generator's own settings.

    Raises
    ------
    SettingError
        If the name is unknown, the plug-in or object cannot be loaded, an option is wrong, or what
        comes out is no generator.
    """
    made = _call(_find(name), name, options)
    if not isinstance(made, SessionGenerator) or not isinstance(made.name, str):
        raise SettingError(
            f"{name!r} gave {type(made).__name__}, which is no generator.",
            hint="It needs a text `name` and the methods `fit` and `sessions`.",
        )
    return made


def _find(name: str) -> _Factory:
    found: _Factory = find_object(
        _BUILT_IN.get(name, name),
        kind="generator",
        group=GENERATOR_GROUP,
        known=_BUILT_IN,
        check=_check_callable,
    )
    return found


def _check_callable(found: Any) -> None:
    if not callable(found):
        raise TypeError(f"{found!r} cannot be called")


def _call(factory: _Factory, name: str, options: dict[str, Any]) -> Any:
    try:
        return factory(**options)
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(str(part) for part in first["loc"])
        raise SettingError(
            f"The generator {name!r}, option {setting}: {first['msg']}.",
            hint="docs/generators.md lists the options.",
        ) from error
    except TypeError as error:
        raise SettingError(
            f"The generator {name!r} cannot be made with the options"
            f" ({', '.join(options) or 'none'}): {error}",
            hint="Check the names of the options.",
        ) from error
