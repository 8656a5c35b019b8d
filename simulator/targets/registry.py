"""Targets by name: built in, of other packages, of a Python module, or behind an address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from footfall.errors import FootfallError, SettingError
from footfall.simulator.plug_ins import find_object, plug_in_names
from footfall.simulator.targets.adapters import as_target
from footfall.simulator.targets.als import ALSTarget
from footfall.simulator.targets.content import ContentTarget
from footfall.simulator.targets.in_process import InProcessClient
from footfall.simulator.targets.popularity import PopularityTarget
from footfall.simulator.targets.protocol import TargetClient
from footfall.simulator.targets.random_items import RandomTarget
from footfall.simulator.targets.words import WordsTarget

__all__ = ["TARGET_GROUP", "open_target", "target_names"]

TARGET_GROUP: Final = "footfall.targets"

_BUILT_IN: Final[Mapping[str, Callable[..., Any]]] = {
    "als": ALSTarget,
    "bm25": WordsTarget,
    "content": ContentTarget,
    "popularity": PopularityTarget,
    "random": RandomTarget,
}

#: What has one of these is asked as it is; anything else is called to make one.
_FINISHED: Final = ("answer", "fit", "search", "recommend")


def open_target(
    name: str,
    *,
    timeout: float = 2.0,
    concurrency: int = 16,
    options: Mapping[str, Any] | None = None,
) -> TargetClient:
    """Open a target.

    Parameters
    ----------
    name:
        ``popularity``, ``random``, ``bm25``, ``content``, ``als``, a plug-in's name,
        ``package.module:object`` (an object, or something callable with the options that makes
        one), or an address that begins with ``http://`` or ``https://``.
    timeout:
        Seconds after which a page has failed.
    concurrency:
        Pages asked for at the same time, behind an address.
    options:
        Handed to what makes the target.

    Raises
    ------
    SettingError
        If the name is unknown, or what it names cannot be loaded, made or asked for pages.
    TargetUnavailableError
        If an address does not answer.
    """
    given = dict(options or {})
    if name.startswith(("http://", "https://")):
        from footfall.simulator.targets.http import HttpClient

        if given:
            raise SettingError(
                f"The target {name} takes no options ({', '.join(given)}).",
                hint="Set them where the server is started.",
            )
        client: TargetClient = HttpClient(name, timeout=timeout, concurrency=concurrency)
        return client
    found = _BUILT_IN.get(name) or find_object(
        name,
        kind="target",
        group=TARGET_GROUP,
        known=_BUILT_IN,
        or_else="package.module:object, or an address (http://…)",
    )
    if isinstance(found, type) or not any(hasattr(found, each) for each in _FINISHED):
        found = _made(found, name, given)
    elif given:
        raise SettingError(
            f"The target {name!r} is a finished object and takes no options ({', '.join(given)}).",
            hint="Leave the options out.",
        )
    return InProcessClient(as_target(found), timeout=timeout)


def target_names() -> list[str]:
    """Names of the built-in targets and of all plug-ins that can be loaded, sorted.

    A plug-in that cannot be loaded is named in a ``RuntimeWarning`` and left out.
    """
    return sorted({*_BUILT_IN, *plug_in_names(TARGET_GROUP)})


def _made(factory: Any, name: str, options: dict[str, Any]) -> Any:
    if not callable(factory):
        raise SettingError(
            f"The target {name!r} is of type {type(factory).__name__}, which cannot be asked for "
            "pages.",
            hint="Name an object with `answer`, or something that makes one.",
        )
    try:
        return factory(**options)
    except FootfallError:
        raise
    except Exception as error:
        raise SettingError(
            f"The target {name!r} cannot be made with the options "
            f"({', '.join(options) or 'none'}): {type(error).__name__}: {error}",
            hint="Check the names and values of the options.",
        ) from error
