"""Language-model engines: in this process, behind an address, recorded, or scripted."""

from footfall.simulator.engines.bundled import prepare_model
from footfall.simulator.engines.protocol import (
    Answer,
    ChoiceAnswer,
    ChoiceRequest,
    Engine,
    EngineIdentity,
    LikelihoodAnswer,
    LikelihoodRequest,
    Request,
    TextAnswer,
    TextRequest,
    ask,
)
from footfall.simulator.engines.replay import RecordingEngine, ReplayEngine
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.engines.settings import EngineSettings, engine_kinds, open_engine
from footfall.simulator.engines.shared_answers import SharedAnswers

__all__ = [
    "Answer",
    "ChoiceAnswer",
    "ChoiceRequest",
    "Engine",
    "EngineIdentity",
    "EngineSettings",
    "LikelihoodAnswer",
    "LikelihoodRequest",
    "RecordingEngine",
    "ReplayEngine",
    "Request",
    "ScriptedEngine",
    "SharedAnswers",
    "TextAnswer",
    "TextRequest",
    "ask",
    "engine_kinds",
    "open_engine",
    "prepare_model",
]
