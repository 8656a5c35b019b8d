"""A shop as a Gymnasium environment: an episode is one visit, an action is a page of results.

Who comes, what they need and type, how they look, click, buy and leave is what the crowd without a
language model does (:mod:`footfall.simulator.fast`); the agent stands where the target stands and
sees what a shop sees. Importing this module registers ``footfall/Shop-v0``::

    import gymnasium
    import footfall.eval.stress.environment

    env = gymnasium.make("footfall/Shop-v0", log="shop.duckdb", personas="people.jsonl")
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt

from footfall.errors import MissingPartError, SettingError
from footfall.eval.stress.observation import ShopObservation
from footfall.personas import Persona, read_personas
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.fast import FastCrowd, FastShop, VisitPlan
from footfall.simulator.fast.baseline import BaselineClient
from footfall.simulator.fast.block import ENDS, Block
from footfall.simulator.log import Log
from footfall.simulator.search import BM25Search, PopularityRecommender
from footfall.simulator.targets.protocol import AnsweredPage, PageRequest, TargetClient

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise MissingPartError(
        "The package gymnasium is not installed.",
        hint="Install it with `pip install 'footfall[stress]'`.",
    ) from error

__all__ = ["ENVIRONMENT_ID", "ShopEnv", "open_environment", "register"]

ENVIRONMENT_ID: Final = "footfall/Shop-v0"

Reward = Literal["clicks", "purchases"]
Observation = dict[str, npt.NDArray[np.float32]]
Action = npt.NDArray[np.int64]

#: Visits drawn until one asks for a page; some shoppers find no words and leave.
_TRIES: Final = 100
_DAYS: Final = 7
_OUT_OF_PATIENCE: Final = ENDS.index("out of patience")


class ShopEnv(gymnasium.Env[Observation, Action]):
    """One visit of a shopper at a time; the agent arranges every page.

    **Observation**: see :class:`~footfall.eval.stress.observation.ShopObservation`. What decides
    clicks but no shop knows (the need, the intent of the visit, interests, habits) is left out.

    **Action**: candidates by number, best first, one a place of the page. A number that was given
    before, and one beyond the candidates that there are (``mask``), is passed over; places left at
    the end take the candidates not named, in the order of the retrieval. So every action gives a
    full page, and ``[0, 0, ..., 0]`` is the page of the retrieval itself.

    **Reward**: clicks or purchases on the page.

    **End**: ``terminated`` when the shopper leaves or thinks of nothing more to type,
    ``truncated`` after ``most_pages`` pages.

    The same seed brings the same visit, and the same item gets the same response in the same
    visit, wherever and beside whatever it is shown (common random numbers): policies are best
    compared on the same seeds. Episodes do not remember each other.

    Parameters
    ----------
    shop:
        Everything fitted.
    arrivals:
        When shoppers come.
    candidates:
        Items to choose from on every page.
    reward:
        ``clicks`` or ``purchases``.
    most_pages:
        Pages of a visit at most, 2 or more; the shop's own where not given.
    retrieval:
        What proposes candidates; BM25 for queries and popularity for browsing where not given. It
        is filled up with popular items. Items that the list has shown already are left out.
    render_mode:
        ``ansi``: :meth:`render` tells the last page in words.

    Raises
    ------
    SettingError
        If a setting is out of range.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012

    def __init__(
        self,
        shop: FastShop,
        arrivals: Arrivals,
        *,
        candidates: int = 50,
        reward: Reward = "purchases",
        most_pages: int | None = None,
        retrieval: TargetClient | None = None,
        render_mode: str | None = None,
    ) -> None:
        _check(candidates, reward, most_pages, render_mode)
        self.shop = shop if most_pages is None else replace(shop, most_pages=most_pages)
        self.reward = reward
        self.render_mode = render_mode
        self._arrivals = arrivals
        self._retrieval = retrieval or BaselineClient(
            BM25Search(shop.catalog), PopularityRecommender(shop.catalog)
        )
        # A visit's number decides its draws, so one seed serves all episodes.
        self._crowd = FastCrowd(self.shop, self._retrieval, seed=0, ideal=False)
        self._popular = shop.catalog.popularity_order()
        self._size = min(candidates, len(shop.catalog))
        self._seen = ShopObservation(self.shop, self._size)
        self.observation_space = cast("spaces.Space[Observation]", self._seen.space())
        self.action_space = spaces.MultiDiscrete(
            np.full(min(shop.page_size, self._size), self._size), dtype=np.int64
        )
        self._block: Block | None = None
        self._request: PageRequest | None = None
        self._list: list[int] = []
        self._candidates: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Another visit.

        Parameters
        ----------
        seed:
            Decides who comes, when, and everything they do.
        options:
            ``{"shopper": persona_id}`` has that shopper come.

        Raises
        ------
        SettingError
            If there is no such shopper, or nobody asks for a page.
        """
        super().reset(seed=seed)
        shopper = self._chosen((options or {}).get("shopper"))
        for _ in range(_TRIES):
            self._block = self._crowd.begin(self._visit(shopper))
            self._list = []
            if self._ask():
                return self._observe(), self._info()
        raise SettingError(
            f"None of {_TRIES} visits asked for a page.",
            hint="The shop's items need texts, or its log queries, that shoppers can type.",
        )

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show a page; what the shopper does with it, and what they ask for next.

        Raises
        ------
        SettingError
            If the action is not in the action space.
        gymnasium.error.ResetNeeded
            If the visit has ended.
        """
        block = self._block
        if block is None or block.ended[0] >= 0:
            raise gymnasium.error.ResetNeeded("The visit has ended: call reset() first.")
        items = self._page(action)
        self._list += items.tolist()
        page = AnsweredPage(tuple(self.shop.items.ids[items].tolist()), 0.0)
        self._crowd.answered(block, np.zeros(1, dtype=np.int64), [page])
        shown = block.shown[-1]
        kept = shown.clicked if self.reward == "clicks" else shown.purchased
        if block.ended[0] < 0:
            self._ask()
        ended = int(block.ended[0])
        truncated = ended == _OUT_OF_PATIENCE
        info = self._info()
        return self._observe(), float(kept.sum()), ended >= 0 and not truncated, truncated, info

    def render(self) -> str | None:
        """The last page shown, or what is asked for, in words."""
        if self.render_mode is None or self._block is None:
            return None
        lines = [f"asked for: {self._told_query()}"]
        if self._block.shown:
            shown = self._block.shown[-1]
            texts = self.shop.catalog.texts()
            for item, clicked, bought in zip(
                shown.item.tolist(), shown.clicked.tolist(), shown.purchased.tolist(), strict=True
            ):
                mark = "bought" if bought else "clicked" if clicked else ""
                lines.append(f"  {texts[item]}  {mark}".rstrip())
        return "\n".join(lines)

    def _chosen(self, persona_id: str | None) -> int | None:
        if persona_id is None:
            return None
        for place, persona in enumerate(self.shop.personas):
            if persona.persona_id == persona_id:
                return place
        raise SettingError(
            f"There is no shopper {persona_id!r}.", hint="Name one of the shop's personas."
        )

    def _visit(self, shopper: int | None) -> VisitPlan:
        seed, number = self.np_random.integers(2**31), self.np_random.integers(2**62)
        plan = VisitPlan.draw(
            self.shop.personas, self._arrivals, sessions=1, days=_DAYS, seed=int(seed)
        )
        chosen = plan.shopper if shopper is None else np.array([shopper])
        return replace(plan, number=np.array([number]), shopper=chosen)

    def _ask(self) -> bool:
        """Let the shopper ask for a page; whether they do."""
        assert self._block is not None
        active, requests = self._crowd.asking(self._block, np.zeros(1, dtype=np.int64))
        self._request = requests[0] if len(active) else None
        if self._request is None:
            return False
        if not self._request.offset:
            self._list = []
        self._candidates = self._proposed(self._request)
        return True

    def _proposed(self, request: PageRequest) -> npt.NDArray[np.int64]:
        """Rows of the candidates: those retrieved, then popular ones."""
        wanted = replace(request, limit=self._size + len(self._list), offset=0)
        (answer,) = self._retrieval.ask([wanted])
        place = self.shop.place
        rows = [place[item_id] for item_id in answer.item_ids if item_id in place]
        unseen = dict.fromkeys(rows)
        before = set(self._list)
        found = [row for row in unseen if row not in before][: self._size]
        missing = self._size - len(found)
        if missing:
            known = before | set(found)
            # Enough of them that `missing` remain, if the catalogue has so many.
            popular = self._popular[: missing + len(known)].tolist()
            found += [row for row in popular if row not in known][:missing]
        return np.array(found, dtype=np.int64)

    def _page(self, action: Action) -> npt.NDArray[np.int64]:
        numbers = np.asarray(action)
        if not self.action_space.contains(numbers.astype(np.int64, copy=False)):
            raise SettingError(
                f"The action {action!r} is none of {self.action_space}.",
                hint="Give a number of a candidate for each place of the page.",
            )
        count = len(self._candidates)
        named = [number for number in dict.fromkeys(numbers.tolist()) if number < count]
        rest = [number for number in range(count) if number not in set(named)]
        return self._candidates[(named + rest)[: len(numbers)]]

    def _observe(self) -> Observation:
        assert self._block is not None
        return self._seen.of(self._block, self._request, self._candidates)

    def _info(self) -> dict[str, Any]:
        """What people want to read beside the observation; fresh objects every time."""
        assert self._block is not None
        block, ids = self._block, self.shop.items.ids
        ended = int(block.ended[0])
        info: dict[str, Any] = {
            "shopper_id": self.shop.personas[int(block.plan.shopper[0])].persona_id,
            "query": None if self._request is None else self._request.query,
            "candidates": [] if self._request is None else ids[self._candidates].tolist(),
            "ended_by": None if ended < 0 else ENDS[ended],
        }
        if block.shown:
            shown = block.shown[-1]
            for name in ("looked", "clicked", "carted", "purchased"):
                info[name] = ids[shown.item[getattr(shown, name)]].tolist()
        return info

    def _told_query(self) -> str:
        if self._request is None:
            return "nothing more"
        return "anything (browsing)" if self._request.query is None else self._request.query


def open_environment(
    log: str | Path,
    personas: str | Path | Sequence[Persona],
    *,
    until: datetime | None = None,
    page_size: int = 10,
    fit_seed: int = 0,
    **settings: Any,
) -> ShopEnv:
    """A shop fitted on a log, as an environment.

    Parameters
    ----------
    log, personas:
        The log, and the shoppers or the file that holds them.
    until:
        Nothing after it is used.
    page_size:
        Items on a page.
    fit_seed:
        Of the fit.
    settings:
        Of :class:`ShopEnv`.
    """
    people = read_personas(personas) if isinstance(personas, str | Path) else personas
    with closing(Log.open(log)) as opened:
        shop = FastShop.open(opened, people, until=until, page_size=page_size, seed=fit_seed)
        arrivals = Arrivals.from_log(opened, until=until, weeks=_WEEKS)
    return ShopEnv(shop, arrivals, **settings)


#: Weeks before ``until`` whose hours are looked at.
_WEEKS: Final = 8.0


def register() -> None:
    """Make ``gymnasium.make("footfall/Shop-v0", log=..., personas=...)`` known; once is enough."""
    if ENVIRONMENT_ID not in gymnasium.registry:
        gymnasium.register(
            id=ENVIRONMENT_ID, entry_point=f"{open_environment.__module__}:open_environment"
        )


def _check(candidates: int, reward: str, most_pages: int | None, render_mode: str | None) -> None:
    if candidates < 2:
        raise SettingError(
            f"candidates: {candidates} is below 2.", hint="Give something to choose."
        )
    if reward not in {"clicks", "purchases"}:
        raise SettingError(f"reward: {reward!r} is unknown.", hint="Use 'clicks' or 'purchases'.")
    if most_pages is not None and most_pages < 2:
        raise SettingError(f"most_pages: {most_pages} is below 2.", hint="Use 2 or more.")
    if render_mode not in {None, "ansi"}:
        raise SettingError(f"render_mode: {render_mode!r} is unknown.", hint="Use 'ansi'.")


register()
