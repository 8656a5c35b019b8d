"""Search engines and recommenders that are tested: how a crowd asks them for pages."""

from footfall.simulator.targets.protocol import (
    EVENT_SCHEMA,
    ITEM_SCHEMA,
    AnsweredPage,
    Failure,
    PageRequest,
    Target,
    TargetClient,
    TrainableTarget,
)

__all__ = [
    "EVENT_SCHEMA",
    "ITEM_SCHEMA",
    "AnsweredPage",
    "Failure",
    "PageRequest",
    "Target",
    "TargetClient",
    "TrainableTarget",
]
