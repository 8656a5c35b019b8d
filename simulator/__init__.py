"""The shop: the log, ingest, catalogue, search, language-model engines and shoppers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from footfall.exports import lazy_exports

if TYPE_CHECKING:
    from footfall.simulator.behaviour import Behaviour
    from footfall.simulator.behaviour_fit import fit_behaviour
    from footfall.simulator.catalog import Catalog
    from footfall.simulator.engines.protocol import Engine
    from footfall.simulator.engines.settings import EngineSettings, open_engine
    from footfall.simulator.histories import read_demographics, read_histories, read_pages
    from footfall.simulator.ingest import (
        IngestReport,
        ingest_complete_journey,
        ingest_mapping,
    )
    from footfall.simulator.log import Log
    from footfall.simulator.scale_out import RaySettings
    from footfall.simulator.search import open_recommender, open_search
    from footfall.simulator.simulation import Simulation, SimulationSettings, SimulationSummary

__all__ = [
    "Behaviour",
    "Catalog",
    "Engine",
    "EngineSettings",
    "IngestReport",
    "Log",
    "RaySettings",
    "Simulation",
    "SimulationSettings",
    "SimulationSummary",
    "fit_behaviour",
    "ingest_complete_journey",
    "ingest_mapping",
    "open_engine",
    "open_recommender",
    "open_search",
    "read_demographics",
    "read_histories",
    "read_pages",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "Behaviour": "behaviour",
        "Catalog": "catalog",
        "Engine": "engines.protocol",
        "EngineSettings": "engines.settings",
        "IngestReport": "ingest",
        "Log": "log",
        "RaySettings": "scale_out",
        "Simulation": "simulation",
        "SimulationSettings": "simulation",
        "SimulationSummary": "simulation",
        "fit_behaviour": "behaviour_fit",
        "ingest_complete_journey": "ingest",
        "ingest_mapping": "ingest",
        "open_engine": "engines.settings",
        "open_recommender": "search",
        "open_search": "search",
        "read_demographics": "histories",
        "read_histories": "histories",
        "read_pages": "histories",
    },
)
