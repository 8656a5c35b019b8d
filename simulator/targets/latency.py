"""How long one page takes, and how many pages a second a target answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from footfall.errors import SettingError
from footfall.simulator.targets.protocol import PageRequest, TargetClient

__all__ = ["Latency", "latency_probe"]


@dataclass(frozen=True, slots=True)
class Latency:
    """What a probe measured.

    Attributes
    ----------
    requests:
        Pages asked for one after another; as many again were asked for together.
    p50, p95, p99:
        Percentiles of the seconds that one page took, asked for by itself, failed ones included.
    per_second:
        Pages a second when they are asked for together.
    failed_share:
        Share of all pages that failed.
    """

    requests: int
    p50: float
    p95: float
    p99: float
    per_second: float
    failed_share: float


def latency_probe(client: TargetClient, requests: Sequence[PageRequest]) -> Latency:
    """Ask for every page by itself, then for all of them together.

    During a run a target of this process is asked in batches, and a page's share of its batch is
    not what one shopper would wait. This is. The first page is asked for once more beforehand, so
    that what a target does only once does not count.

    Parameters
    ----------
    client:
        The target, after its ``fit``.
    requests:
        Some hundred; the 99th percentile of fewer is their maximum.

    Raises
    ------
    SettingError
        If there are no requests.
    """
    if not requests:
        raise SettingError("There is no request to probe with.", hint="Give some hundred.")
    client.ask(requests[:1])
    single = [client.ask([request])[0] for request in requests]
    began = perf_counter()
    together = client.ask(requests)
    seconds = perf_counter() - began
    p50, p95, p99 = np.quantile([page.seconds for page in single], [0.5, 0.95, 0.99]).tolist()
    failed = sum(page.failure is not None for page in (*single, *together))
    return Latency(
        requests=len(requests),
        p50=p50,
        p95=p95,
        p99=p99,
        per_second=len(requests) / max(seconds, 1e-9),
        failed_share=failed / (2 * len(requests)),
    )
