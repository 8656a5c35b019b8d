"""Who the shoppers are: personas from a log or from nothing, their habits, the text encoder."""

from footfall.personas.anonymity import smallest_group
from footfall.personas.describe import describe_users, persona_text
from footfall.personas.encoder import TextEncoder
from footfall.personas.fit import PersonaModel
from footfall.personas.habits import Habits, interest_category, measure_habits
from footfall.personas.invent import invent_personas
from footfall.personas.persona import Persona, read_personas, write_personas
from footfall.personas.settings import PersonaSettings
from footfall.personas.tokens import normalize, tokenize
from footfall.personas.vectorize import UserVectors, Vectorizer, vectorize_histories

__all__ = [
    "Habits",
    "Persona",
    "PersonaModel",
    "PersonaSettings",
    "TextEncoder",
    "UserVectors",
    "Vectorizer",
    "describe_users",
    "interest_category",
    "invent_personas",
    "measure_habits",
    "normalize",
    "persona_text",
    "read_personas",
    "smallest_group",
    "tokenize",
    "vectorize_histories",
    "write_personas",
]
