"""What a run will cost, said before it starts."""

from __future__ import annotations

from footfall.simulator.pilot import Pilot
from footfall.simulator.shopper import Shop

__all__ = ["cost_line"]

#: Pages a session where nothing was tried out: the priors' mean.
_ASSUMED_PAGES = 1.5


def cost_line(sessions: int, pilot: Pilot | None, shop: Shop) -> str:
    """One sentence with the requests, tokens and minutes that ``sessions`` sessions will take."""
    if pilot is None or not pilot.sessions:
        asked = {"slate": 1, "item": shop.page_size, "query": shop.page_size + 1}[shop.scoring]
        requests = int(sessions * _ASSUMED_PAGES * (asked + 1))
        return f"It will ask the model about {requests:,} times (no session was tried out)."
    minutes = sessions * pilot.seconds / 60
    duration = f"{minutes:,.0f} minutes" if minutes >= 2 else f"{60 * minutes:,.0f} seconds"
    return (
        f"By the {pilot.sessions} sessions tried out it will take about {duration}: "
        f"{int(sessions * pilot.answers):,} requests, "
        f"{int(sessions * pilot.prompt_tokens):,} prompt tokens and "
        f"{int(sessions * pilot.output_tokens):,} output tokens."
    )
