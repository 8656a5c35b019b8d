"""The crowd without a language model: all visits of a block advance together, page by page.

What a visit does is what :mod:`footfall.simulator.shopper` does, with numbers in the place of a
model: looks by position, clicks by the log-odds of :mod:`.click_odds`, carts and purchases by
constant rates, and after every page leaving, turning it, or searching anew.

A shopper's history is as it was when the block began: visits of one block do not see what the same
shopper took on the others. Blocks hold up to 2,048 visits, in time order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from footfall.errors import CatalogueError, SettingError
from footfall.simulator.crowd_events import CrowdEvents
from footfall.simulator.fast.answers import Answers, read_answers
from footfall.simulator.fast.block import Block, ShownRows, StepRows
from footfall.simulator.fast.click_odds import ClickOdds
from footfall.simulator.fast.crowd_tables import attacker_id, block_events
from footfall.simulator.fast.draws import exponentials, normals, text_keys, uniforms
from footfall.simulator.fast.ideal import IdealPages
from footfall.simulator.fast.needs import FastNeeds
from footfall.simulator.fast.plan import SHOPPER, VisitPlan
from footfall.simulator.fast.responses import Chances, draw_responses
from footfall.simulator.fast.shop import FastShop
from footfall.simulator.fast.taken import Taken
from footfall.simulator.targets.protocol import AnsweredPage, PageRequest, TargetClient

__all__ = ["FastCrowd", "QueryChange"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
QueryChange = Callable[[list[str], np.random.Generator], list[str]]

_MOST_VISITS: Final = 2048
#: Mean seconds of looking at one item and of typing a query, as for other simulated shoppers.
_SECONDS_PER_LOOK: Final = 4.0
_SECONDS_PER_QUERY: Final = 12.0
#: Pages that an attacker turns, looking for the items to push.
_ATTACK_PAGES: Final = 3
#: Streams of random numbers; needs have 20 to 22, responses 30 to 33.
_SHOPPER, _VISIT, _BROWSE, _QUERY, _TYPING, _LOOKING, _LEAVE, _TURN, _ANEW, _GO_ON, _PUSHED = range(
    1, 12
)
_BOUGHT, _LEFT, _OUT_OF_PATIENCE, _NO_QUERY, _FAILED = range(5)


class FastCrowd:
    """Leads shoppers through the pages of a target.

    Parameters
    ----------
    shop:
        Everything fitted.
    client:
        The target.
    seed:
        Of everything that is drawn. The same seed, visit number, shopper and item give the same
        draw, whatever the target shows.
    demand:
        Factors of top-level categories, on top of the log's own; :attr:`demand` may be set anew
        between calls of :meth:`run`.
    query_change:
        What becomes of typed queries on their way to the target; shoppers still want what they
        meant to type. Called for one query at a time, with a generator of its own.
    attacked:
        Ids of the items that attackers push.
    browse_share:
        Share of visits (and of later needs) that type nothing; the log's own when not given.
    ideal:
        Whether to find the best pages, for ``ideal_gain``.

    Raises
    ------
    CatalogueError
        If an attacked item is not in the catalogue.
    SettingError
        If ``browse_share`` is no share.
    """

    def __init__(
        self,
        shop: FastShop,
        client: TargetClient,
        *,
        seed: int,
        demand: Mapping[str, float] | None = None,
        query_change: QueryChange | None = None,
        attacked: Sequence[str] = (),
        browse_share: float | None = None,
        ideal: bool = True,
    ) -> None:
        if browse_share is not None and not 0.0 <= browse_share <= 1.0:
            raise SettingError(f"browse_share is {browse_share}.", hint="Use 0 to 1.")
        self.shop = shop
        self.client = client
        self.seed = seed
        self.attacked = _attacked(shop, attacked)
        self._query_change = query_change
        self._browse_share = browse_share
        self._taken = Taken(shop.population.history, shop.items.ids, shop.taken_by)
        self._odds = ClickOdds(
            shop.behaviour, shop.preference, shop.reference, shop.items, shop.population
        )
        self._ideal = IdealPages(shop.items, shop.population, shop.page_size) if ideal else None
        self._people = text_keys([persona.persona_id for persona in shop.personas])
        self.demand = demand or {}

    @property
    def demand(self) -> Mapping[str, float]:
        """Factors of top-level categories by which they are needed more or less often."""
        return self._demand

    @demand.setter
    def demand(self, factors: Mapping[str, float]) -> None:
        self._demand = dict(factors)
        names = {*self.shop.demand, *self._demand}
        whole = {n: self.shop.demand.get(n, 1.0) * self._demand.get(n, 1.0) for n in names}
        self._needs = FastNeeds(self.shop.items, self.shop.population, whole)

    def run(self, plan: VisitPlan) -> CrowdEvents:
        """All visits of the plan; shoppers remember what they took in earlier calls."""
        blocks = self.blocks(plan)
        return CrowdEvents.joined(
            block_events(each, self.shop, self.client.name) for each in blocks
        )

    def blocks(self, plan: VisitPlan) -> list[Block]:
        """The visits of the plan as arrays, block by block in time order."""
        order = np.lexsort((plan.number, plan.started_at))
        pieces = [order[at : at + _MOST_VISITS] for at in range(0, len(order), _MOST_VISITS)]
        found = []
        for piece in pieces:
            block = self.begin(plan.take(piece))
            while len(active := np.flatnonzero(block.ended < 0)):
                active, requests = self.asking(block, active)
                if requests:
                    self.answered(block, active, self.client.ask(requests))
            changed, history = self._taken.take_in(block)
            self._odds.remember(changed, history)
            found.append(block)
        return found

    def begin(self, plan: VisitPlan) -> Block:
        """Visits that come in; nobody has asked for a page yet."""
        shop, seed, number = self.shop, self.seed, plan.number
        behaviour = shop.behaviour
        share = behaviour.intent_of_shopper.value
        drawn = np.sqrt(share) * normals(seed, _SHOPPER, self._people[plan.shopper])
        drawn = drawn + np.sqrt(1.0 - share) * normals(seed, _VISIT, number)
        browse = behaviour.browsing.value if self._browse_share is None else self._browse_share
        none = np.full((len(plan), shop.most_pages + 1), -1, dtype=np.int64)
        pushed = plan.role != SHOPPER
        needed = self._needs.draw(seed, number, np.zeros_like(number), plan.shopper, none)
        if len(self.attacked):
            place = uniforms(seed, _PUSHED, number) * len(self.attacked)
            needed = np.where(pushed, self.attacked[place.astype(np.int64)], needed)
        block = Block(
            plan=plan,
            needed=needed,
            needed_before=none,
            browsing=uniforms(seed, _BROWSE, number, 0) < browse,
            intent=behaviour.intent_spread.value * drawn,
        )
        if self._ideal is None:
            block.ideal[:] = np.nan
        return block

    def asking(self, block: Block, active: Ints) -> tuple[Ints, list[PageRequest]]:
        """What these visits ask for next, and which of them ask: who finds no words ends."""
        active = self._type(block, active)
        return active, self._requests(block, active)

    def answered(self, block: Block, active: Ints, answers: Sequence[AnsweredPage]) -> None:
        """What these visits do with the pages that they asked for, one each."""
        block.steps[active] += 1
        arrived = block.seconds[active].copy()
        read = read_answers(answers, self.shop.place, self.shop.page_size)
        shown, bought, clicked = self._react(block, active, read)
        block.pages.append(
            StepRows(
                visit=active,
                step=block.steps[active].copy(),
                page=block.page[active].copy(),
                query=[block.typed[each] for each in active.tolist()],
                needed=block.needed[active].copy(),
                seconds_in=arrived,
                failure=read.failure,
                waited=read.seconds,
                ideal=block.ideal[active].copy(),
            )
        )
        block.shown.append(shown)
        self._go_on(block, active, read, bought, clicked)

    def _type(self, block: Block, active: Ints) -> Ints:
        """Queries of those who begin a list; who finds no words ends, the others are returned."""
        begins = active[(block.page[active] == 1)]
        typing = begins[~block.browsing[begins]]
        number, needs, attempt = block.plan.number, block.needs, block.attempt
        chance = uniforms(self.seed, _QUERY, number[typing], needs[typing])
        book = self.shop.queries
        silent = []
        for visit, item, place, tried in zip(
            typing.tolist(),
            block.needed[typing].tolist(),
            chance.tolist(),
            attempt[typing].tolist(),
            strict=True,
        ):
            query = book.query(item, place, tried)
            if query is None:
                silent.append(visit)
                continue
            block.meant[visit] = self.shop.query_vectors.place(query)
            block.typed[visit] = self._arrived(query, int(number[visit]), int(needs[visit]), tried)
        if silent:
            block.end(np.array(silent, dtype=np.int64), _NO_QUERY)
            kept = block.ended[active] < 0
            active, begins = active[kept], begins[block.ended[begins] < 0]
            typing = typing[block.ended[typing] < 0]
        wait = exponentials(self.seed, _TYPING, number[typing], needs[typing], attempt[typing])
        block.seconds[typing] += _SECONDS_PER_QUERY * wait
        block.attempt[typing] += 1
        if self._ideal is not None and len(begins):
            meant, typed = self._meant(block, begins)
            block.ideal[begins] = self._ideal.gains(
                self._odds,
                block.plan.shopper[begins],
                block.needed[begins],
                self._taken.history,
                meant,
                typed,
            )
        return active

    def _arrived(self, query: str, number: int, needs: int, attempt: int) -> str:
        if self._query_change is None:
            return query
        rng = np.random.default_rng([self.seed, _QUERY, number, needs, attempt])
        return self._query_change([query], rng)[0]

    def _meant(self, block: Block, visits: Ints) -> tuple[npt.NDArray[np.float32], Flags]:
        """Vectors of what visits want, and whether they typed it."""
        return self.shop.query_vectors.of(block.meant[visits]), ~block.browsing[visits]

    def _requests(self, block: Block, active: Ints) -> list[PageRequest]:
        shop, size = self.shop, self.shop.page_size
        moments = block.moments_after(active, block.seconds[active]).tolist()
        offsets = ((block.page[active] - 1) * size).tolist()
        shoppers = block.plan.shopper[active].tolist()
        honest = (block.plan.role[active] == SHOPPER).tolist()
        typed, personas, history = block.typed, shop.personas, self._taken.ids
        requests = []
        for visit, shopper, real, moment, offset in zip(
            active.tolist(), shoppers, honest, moments, offsets, strict=True
        ):
            persona = personas[shopper]
            requests.append(
                PageRequest(
                    persona.persona_id if real else attacker_id(persona.persona_id),
                    moment,
                    typed[visit],
                    history(shopper) if real else (),
                    persona.locale,
                    persona.demographics,
                    size,
                    offset,
                )
            )
        return requests

    def _react(
        self, block: Block, active: Ints, answers: Answers
    ) -> tuple[ShownRows, Flags, Flags]:
        """What visits do with their pages; which bought, and which clicked, shape (pages,)."""
        shop = self.shop
        visit = active[answers.page]
        shopper = block.plan.shopper[visit]
        vectors, typed = self._meant(block, active)
        log_odds = self._odds.pairs(
            shopper,
            answers.item,
            self._taken.history,
            vectors[answers.page],
            typed[answers.page],
        )
        looks = shop.behaviour.looks(shop.page_size)[answers.position - 1]
        chances = Chances(looks, log_odds + block.intent[visit])
        drawn = draw_responses(self.seed, shop, block, visit, answers.item, chances, self.attacked)
        pages = len(active)
        looked = np.bincount(answers.page, drawn.looked, minlength=pages)
        wait = exponentials(self.seed, _LOOKING, block.plan.number[active], block.steps[active])
        block.seconds[active] += _SECONDS_PER_LOOK * wait * looked
        shown = ShownRows(answers.page, answers.position, answers.item, log_odds, *drawn)
        bought = np.bincount(answers.page, drawn.purchased, minlength=pages) > 0
        clicked = np.bincount(answers.page, drawn.clicked, minlength=pages) > 0
        return shown, bought, clicked

    def _go_on(
        self, block: Block, active: Ints, answers: Answers, bought: Flags, clicked: Flags
    ) -> None:
        """Leave, turn the page, or want something else."""
        behaviour, number, step = (
            self.shop.behaviour,
            block.plan.number[active],
            block.steps[active],
        )
        pushes = block.plan.role[active] != SHOPPER
        leaves = uniforms(self.seed, _LEAVE, number, step) < self._leaving(
            block.plan.shopper[active], bought, clicked
        )
        leaves = np.where(pushes, step >= _ATTACK_PAGES, leaves)
        how = np.where(bought, _BOUGHT, np.where(answers.failure > 0, _FAILED, _LEFT))
        how = np.where(leaves, how, np.where(step >= self.shop.most_pages, _OUT_OF_PATIENCE, -1))
        block.end(active, how)
        stays = how < 0
        turns = uniforms(self.seed, _TURN, number, step) < behaviour.next_page.value
        turns = (answers.sizes > 0) & ~bought & turns | pushes
        block.page[active[stays & turns]] += 1
        rest = stays & ~turns
        anew = bought | block.browsing[active]
        anew |= uniforms(self.seed, _ANEW, number, step) < behaviour.new_need.value
        wants = active[rest & anew]
        block.page[active[rest]] = 1
        if len(wants):
            self._want(block, wants)

    def _want(self, block: Block, wants: Ints) -> None:
        """Another need; who goes on browsing looks further down, not at the same page again."""
        block.needs[wants] += 1
        number, needs = block.plan.number[wants], block.needs[wants]
        shopper, before = block.plan.shopper[wants], block.needed_before[wants]
        found = self._needs.draw(self.seed, number, needs, shopper, before)
        block.needed[wants] = found
        block.needed_before[wants, needs] = found
        block.attempt[wants] = 0
        share = self._browse_share or 0.0
        browsing = uniforms(self.seed, _GO_ON, number, needs) < share
        further = wants[browsing & block.browsing[wants]]
        block.page[further] = block.steps[further] + 1
        block.browsing[wants] = browsing
        for visit in wants[browsing].tolist():
            block.typed[visit] = None

    def _leaving(self, shopper: Ints, bought: Flags, clicked: Flags) -> Floats:
        """Chance of leaving after a page, shape (pages,)."""
        behaviour = self.shop.behaviour
        rate = np.where(
            clicked, behaviour.leave_after_click.value, behaviour.leave_after_page.value
        )
        patience = self.shop.population.patience[shopper] / self.shop.mean_patience
        chance = np.clip(rate / patience, 0.02, 1.0)
        return np.where(bought, behaviour.leave_after_purchase.value, chance)


def _attacked(shop: FastShop, item_ids: Sequence[str]) -> Ints:
    missing = [item_id for item_id in item_ids if item_id not in shop.place]
    if missing:
        raise CatalogueError(
            f"The attacked item {missing[0]!r} is not in the catalogue.",
            hint="Name items of the catalogue.",
        )
    return np.array([shop.place[item_id] for item_id in item_ids], dtype=np.int64)
