"""Making a log: from the Complete Journey, or from any files through a mapping."""

from footfall.simulator.ingest.complete_journey import (
    complete_journey_folder,
    ingest_complete_journey,
)
from footfall.simulator.ingest.mapping import Mapping, load_mapping, packaged_mappings
from footfall.simulator.ingest.report import IngestReport
from footfall.simulator.ingest.run import ingest_mapping

__all__ = [
    "IngestReport",
    "Mapping",
    "complete_journey_folder",
    "ingest_complete_journey",
    "ingest_mapping",
    "load_mapping",
    "packaged_mappings",
]
