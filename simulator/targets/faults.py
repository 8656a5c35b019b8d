"""A way to a target that misbehaves as it is told to: slow, silent, failing, talking nonsense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from footfall.simulator.fast.draws import exponentials, text_keys, uniforms
from footfall.simulator.targets.protocol import AnsweredPage, Failure, PageRequest, TargetClient

__all__ = ["Faults", "FaultyClient"]

#: Streams of random numbers.
_FATE: Final = 62
_DELAY: Final = 63
_FAILURES: Final[tuple[Failure, ...]] = ("timeout", "error", "malformed")


class Faults(BaseModel):
    """Shares of the pages on which something goes wrong; of one page, one thing only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    slow_share: float = Field(0.0, ge=0.0, le=1.0, description="Share of pages that come late.")
    slow_seconds: float = Field(
        1.0,
        ge=0.0,
        description="How much later, in seconds: the mean of an exponential. What takes "
        "longer than timeout_seconds never comes.",
    )
    timeout_share: float = Field(0.0, ge=0.0, le=1.0, description="Share that never comes.")
    timeout_seconds: float = Field(2.0, ge=0.0, description="How long a shopper waits for those.")
    error_share: float = Field(0.0, ge=0.0, le=1.0, description="Share answered by an error.")
    malformed_share: float = Field(0.0, ge=0.0, le=1.0, description="Share that is no answer.")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        total = self.slow_share + self.timeout_share + self.error_share + self.malformed_share
        if total > 1.0 + 1e-9:
            raise ValueError(f"the shares sum to {total:g}, more than all pages")
        return self


class FaultyClient:
    """A target reached by a way with faults. Nobody sleeps: what is late has more ``seconds``.

    Parameters
    ----------
    client:
        The target. It is not asked for pages that fail.
    faults:
        What goes wrong, and how often.
    seed:
        Of what is drawn. What befalls a page belongs to its request (shopper, time, query and
        page), so that two targets meet the same faults with the same shoppers.
    """

    def __init__(self, client: TargetClient, faults: Faults, *, seed: int = 0) -> None:
        self.client = client
        self.faults = faults
        self._seed = seed

    @property
    def name(self) -> str:
        """The target's name."""
        return self.client.name

    def ask(self, requests: Sequence[PageRequest]) -> Sequence[AnsweredPage]:
        """One answer a request; those that fail by the faults are empty."""
        keys = text_keys(
            [f"{r.shopper_id}/{r.at.isoformat()}/{r.query}/{r.offset}" for r in requests]
        )
        fate = self._fates(uniforms(self._seed, _FATE, keys))
        late = self.faults.slow_seconds * exponentials(self._seed, _DELAY, keys)
        reached = [place for place, kind in enumerate(fate.tolist()) if kind <= 1]
        answered = iter(self.client.ask([requests[place] for place in reached]) if reached else ())
        pages = []
        for kind, seconds in zip(fate.tolist(), late.tolist(), strict=True):
            if kind > 1:
                pages.append(self._failed(_FAILURES[kind - 2]))
                continue
            page = next(answered)
            pages.append(self._later(page, seconds) if kind == 1 else page)
        return pages

    def _fates(self, chance: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Of each page: 0 well, 1 late, and then the failures in their order."""
        faults = self.faults
        shares = [
            faults.slow_share,
            faults.timeout_share,
            faults.error_share,
            faults.malformed_share,
        ]
        fate = np.searchsorted(np.cumsum(shares), chance, side="right") + 1
        return np.where(fate > len(shares), 0, fate)

    def _later(self, page: AnsweredPage, seconds: float) -> AnsweredPage:
        waited = page.seconds + seconds
        if waited > self.faults.timeout_seconds:
            return self._failed("timeout")
        return replace(page, seconds=waited)

    def _failed(self, failure: Failure) -> AnsweredPage:
        seconds = self.faults.timeout_seconds if failure == "timeout" else 0.0
        return AnsweredPage((), seconds, failure)

    def fit(self, items: pa.Table, events: pa.Table) -> bool:
        """Let the target learn: that way has no faults."""
        return self.client.fit(items, events)

    def close(self) -> None:
        """Close the way to the target."""
        self.client.close()
