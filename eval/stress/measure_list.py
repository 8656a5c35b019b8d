"""All measures of a stress test, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from footfall.eval.stress.exposure import EXPOSURE_MEASURES
from footfall.eval.stress.measure_kinds import CellMeasure, SumMeasure
from footfall.eval.stress.relevance import RELEVANCE_MEASURES
from footfall.eval.stress.responses import RESPONSE_MEASURES
from footfall.eval.stress.waiting import WAITING_MEASURES

__all__ = ["MEASURES"]

#: In the order of reports.
MEASURES: Final[Mapping[str, SumMeasure | CellMeasure]] = {
    measure.name: measure
    for measure in (
        *RESPONSE_MEASURES,
        *RELEVANCE_MEASURES,
        *EXPOSURE_MEASURES,
        *WAITING_MEASURES,
    )
}
