"""Search engines and recommenders: what decides the items that a shopper sees."""

from footfall.simulator.search.bm25 import BM25Search
from footfall.simulator.search.dense import DenseSearch
from footfall.simulator.search.hybrid import HybridSearch
from footfall.simulator.search.popularity import PopularityRecommender
from footfall.simulator.search.protocol import Recommender, SearchEngine
from footfall.simulator.search.registry import (
    open_recommender,
    open_search,
    recommender_names,
    search_names,
)

__all__ = [
    "BM25Search",
    "DenseSearch",
    "HybridSearch",
    "PopularityRecommender",
    "Recommender",
    "SearchEngine",
    "open_recommender",
    "open_search",
    "recommender_names",
    "search_names",
]
