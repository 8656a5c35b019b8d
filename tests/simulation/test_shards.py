"""The driver's side of scale-out against workers that die at any moment."""

import os
import pickle
import socket
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from fake_ray import FakeRay, FakeTaskError
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scale_out_parts import Trap, fail, stumble

from footfall.errors import (
    EngineError,
    EngineMemoryError,
    EngineMissingError,
    EngineUnavailableError,
    RecordingError,
)
from footfall.personas.persona import Persona
from footfall.simulator.behaviour import Behaviour
from footfall.simulator.catalog import Catalog
from footfall.simulator.crowd import Crowd
from footfall.simulator.engines import EngineSettings, ScriptedEngine, open_engine
from footfall.simulator.language import Language
from footfall.simulator.log import Log
from footfall.simulator.memory import PastVisit
from footfall.simulator.needs import NeedBook
from footfall.simulator.prompts import PromptBook
from footfall.simulator.rhythm import Rhythm
from footfall.simulator.scale_out import RayCrowd, RaySettings, requirements
from footfall.simulator.scale_out.cluster import core_binding, reason_of, worker_resources
from footfall.simulator.scale_out.packed_shop import PackedShop
from footfall.simulator.scale_out.portable import needed_variables, portable_settings
from footfall.simulator.scale_out.shards import Journey, ShardQueue, default_shard_size
from footfall.simulator.scale_out.team import Team
from footfall.simulator.scale_out.worker import Contract, ShopWorker
from footfall.simulator.schedule import Itinerary, PlannedVisit
from footfall.simulator.search import open_recommender, open_search
from footfall.simulator.shopper import Shop
from footfall.simulator.simulation import Simulation, SimulationSettings
from footfall.simulator.typing_slips import TypingSlips

UNTIL = datetime(2024, 3, 1)
VISITS = 3


@pytest.fixture(scope="module")
def shop():
    kinds = ["soup", "牛奶", "bread"]
    items = [
        {
            "item_id": f"i{number}",
            "text": f"{kinds[number % 3]} {'plain' if number % 2 else 'family'} {number}",
            "category": f"food > {kinds[number % 3]}",
            "price": 1.0 + number % 5,
        }
        for number in range(45)
    ]
    catalog = Catalog.from_table(pa.Table.from_pylist(items))
    return Shop(
        catalog=catalog,
        search=open_search("bm25", catalog),
        recommender=open_recommender("popularity", catalog),
        needs=NeedBook(catalog),
        prompts=PromptBook(),
        behaviour=Behaviour(),
        rhythm=Rhythm(),
        slips=TypingSlips(),
        language=Language(),
    )


@pytest.fixture(scope="module")
def crew():
    return [
        Persona(
            persona_id=f"p{n}", interests={"food > soup": 0.6, "food > 牛奶": 0.4}, patience=4.0
        )
        for n in range(5)
    ]


def plans(count):
    return [
        Itinerary(
            shopper,
            tuple(
                PlannedVisit(VISITS * shopper + visit, UNTIL - timedelta(days=20 - visit))
                for visit in range(VISITS)
            ),
        )
        for shopper in range(count)
    ]


def before(shopper):
    """Shopper 2 has been here already, and remembers it."""
    if shopper != 2:
        return ()
    bought = ("i21", "i24")
    return (PastVisit(UNTIL - timedelta(days=30), ("soup",), bought, bought, bought, "bought"),)


def lead(shop, crew, ray, *, engine=None, **scale):
    settings = RaySettings(**{"shard_size": 2, "batch_visits": 1, "restarts": 1000, **scale})
    engine = engine or EngineSettings(kind="scripted")
    identity = ScriptedEngine().identity
    contract = Contract(engine, identity, 0, 48, "", settings.batch_visits)
    queue = ShardQueue(plans(len(crew)), before, crew, settings.shard_size)
    team = Team(ray, PackedShop(shop, "bm25", "popularity"), contract, settings)
    yield from team.lead(queue)


def told(visits):
    """What can be compared of finished visits, in their order."""
    return [(each.shopper, each.number, each.visit.past(), each.visit.asked) for each in visits]


@pytest.fixture(scope="module")
def here(shop, crew):
    """The visits of a crowd in this process."""
    crowd = Crowd(shop, crew, ScriptedEngine(), seed=0)
    return told(crowd.run(plans(len(crew)), before))


def test_memory_shapes_visits_in_this_shop(shop, crew, here):
    """Else the next tests could not tell whether a worker's memory was rebuilt."""
    crowd = Crowd(shop, crew, ScriptedEngine(), seed=0)
    forgetful = [
        Itinerary(plan.shopper, (visit,)) for plan in plans(len(crew)) for visit in plan.visits
    ]
    assert sorted(told(crowd.run(forgetful))) != sorted(here)


@effort(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_visit_comes_once_and_in_order_whoever_dies(shop, crew, here, data):
    deaths = data.draw(st.lists(st.booleans(), max_size=40))
    workers = data.draw(st.integers(1, 3))
    batch = data.draw(st.integers(1, 4))
    turns = data.draw(st.randoms(use_true_random=False))
    ray = FakeRay(lambda _, count: count <= len(deaths) and deaths[count - 1], turns.randrange)
    visits = told(lead(shop, crew, ray, workers=workers, batch_visits=batch))
    assert sorted(visits) == sorted(here)
    for shopper in range(len(crew)):
        numbers = [visit[1] for visit in visits if visit[0] == shopper]
        assert numbers == sorted(numbers)


def test_the_actors_are_not_restarted_empty_by_ray(shop, crew):
    ray = FakeRay()
    assert len(list(lead(shop, crew, ray))) == VISITS * len(crew)
    assert ray.options == {"max_restarts": 0, "num_cpus": 1.0, "num_gpus": 0.0}
    assert len(ray.actors) == 2


def test_no_more_is_computed_than_is_taken(shop, crew):
    ray = FakeRay()
    visits = lead(shop, crew, ray, workers=1, shard_size=5)
    next(visits)
    # Two calls to start, and one batch: the rest waits until somebody wants it.
    assert ray.executed == 3
    visits.close()


def test_the_shard_to_blame_is_named_alone(shop, crew):
    def leads_shopper_3(call, _):
        arguments = pickle.loads(call.arguments)
        return call.method == "go_on" and any(
            journey.itinerary.shopper == 3 for journey in arguments[0]
        )

    visits = []
    with pytest.raises(EngineUnavailableError, match=r"Shard 2 \(shoppers 2 to 3\).* 4 workers"):
        visits.extend(lead(shop, crew, FakeRay(leads_shopper_3), restarts=3))
    assert visits
    assert not {2, 3} & {visit.shopper for visit in visits}


def test_a_worker_without_its_engine_is_replaced(tmp_path, shop, crew, here):
    trapped = replace(shop, search=Trap(shop.search, tmp_path, fail, at=5, times=2))
    ray = FakeRay()
    assert sorted(told(lead(trapped, crew, ray))) == sorted(here)
    assert len(list(tmp_path.glob("deed-*"))) == 2
    assert len(ray.actors) == 4


def test_workers_that_never_open_their_engine_are_given_up(shop, crew):
    ray = FakeRay(lambda call, _: call.method == "open")
    with pytest.raises(EngineUnavailableError, match=r"3 times in a row: It died\."):
        list(lead(shop, crew, ray, restarts=2))


class Turns:
    """Whose turn it is: everybody's, one after another."""

    def __init__(self):
        self.turn = -1

    def __call__(self, number):
        self.turn += 1
        return self.turn % number


def opens_once(error):
    """An engine for the first that asks, and an error for all others."""
    opened = []

    def open_one(settings):
        if opened:
            raise error
        opened.append(ScriptedEngine())
        return opened[0]

    return open_one


@pytest.mark.parametrize("error", [EngineMissingError("No model.", hint="Get it."), OSError("!")])
def test_a_worker_that_cannot_start_does_not_end_the_work_of_another(
    monkeypatch, capsys, shop, crew, here, error
):
    monkeypatch.setattr("footfall.simulator.scale_out.worker.open_engine", opens_once(error))
    ray = FakeRay(pick=Turns())
    assert sorted(told(lead(shop, crew, ray, restarts=2))) == sorted(here)
    assert len(ray.actors) == 1 + 3
    lines = " ".join(capsys.readouterr().err.split())
    assert lines.count("Worker 2 is gone") == 3
    assert lines.count("the others go on without it after 3 failed starts.") == 1


def test_a_worker_that_dies_while_it_starts_does_not_end_the_work_of_another(shop, crew, here):
    ray = FakeRay(lambda call, _: call.method == "open" and call.actor is not ray.actors[0])
    ray.pick = Turns()
    assert sorted(told(lead(shop, crew, ray, restarts=2))) == sorted(here)
    assert len(ray.actors) == 1 + 3


def test_it_is_an_error_when_the_last_that_worked_has_died(monkeypatch, shop, crew):
    error = EngineMissingError("No model.", hint="Get it.")
    monkeypatch.setattr("footfall.simulator.scale_out.worker.open_engine", opens_once(error))
    ray = FakeRay(lambda call, count: call.method == "go_on" and count > 16, Turns())
    visits = []
    with pytest.raises(EngineMissingError, match="No model"):
        visits.extend(lead(shop, crew, ray, restarts=2))
    assert visits
    assert len(ray.actors) == 1 + 3 + 1


def test_the_death_of_the_only_worker_that_found_room_is_not_waited_out(shop, crew):
    ray = FakeRay(lambda call, count: count > 5, room=1)
    visits = []
    with pytest.raises(EngineUnavailableError, match="No worker has started within 300 seconds"):
        visits.extend(lead(shop, crew, ray))
    assert len(visits) == 3


def test_in_process_models_sample_from_streams_of_their_own(monkeypatch, shop, crew, here):
    def seeds(kind):
        opened = []

        def open_one(settings):
            opened.append(settings.seed)
            return ScriptedEngine()

        monkeypatch.setattr("footfall.simulator.scale_out.worker.open_engine", open_one)
        monkeypatch.setattr("footfall.simulator.scale_out.team.require_room", lambda *_: None)
        ray = FakeRay(lambda call, count: count == 9, Turns())
        engine = EngineSettings(kind=kind, seed=7)
        assert sorted(told(lead(shop, crew, ray, engine=engine))) == sorted(here)
        return opened

    assert seeds("vllm") == [7, 8, 9]
    assert seeds("scripted") == [7, 7, 7]


def open_worker(shop, **changes):
    contract = Contract(EngineSettings(kind="scripted"), ScriptedEngine().identity, 0, 48, "", 1)
    worker = ShopWorker()
    packed = PackedShop(shop, "bm25", "popularity")
    assert worker.open(packed, replace(contract, **changes), {}) is None
    return worker


def test_a_later_shard_is_begun_while_the_one_before_is_busy(shop, crew, here):
    worker = open_worker(shop)
    first, second = (Journey(crew[plan.shopper], plan, []) for plan in plans(2))
    visits = worker.go_on([first]).visits
    visits += worker.go_on([second]).visits
    while batch := worker.go_on([]).visits:
        visits += batch
    order = [visit.shopper for visit in visits]
    assert order.index(1) < len(order) - 1 - order[::-1].index(0)
    assert sorted(told(visits)) == sorted(visit for visit in here if visit[0] < 2)


def test_what_workers_find_in_another_folder_is_what_the_driver_means(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    replay = EngineSettings(kind="replay", recording=Path("answers.jsonl"))
    assert portable_settings(replay).recording == tmp_path / "answers.jsonl"
    folder = EngineSettings(kind="vllm", model="model")
    assert portable_settings(folder).model == str(tmp_path / "model")
    named = EngineSettings(kind="vllm", model="somebody/model")
    assert portable_settings(named) == named
    served = EngineSettings(kind="server", model="model", address="http://10.0.0.1/v1")
    assert portable_settings(served) == served


def test_a_model_found_by_its_whole_path_is_not_another(tmp_path, monkeypatch, shop, crew):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(requirements, "find_spec", lambda _: True)
    engine = EngineSettings(kind="vllm", model="model")
    identity = replace(ScriptedEngine().identity, model="model")
    crowd = RayCrowd(shop, crew, engine, identity=identity, settings=RaySettings(), seed=0)
    assert crowd.contract.engine.model == crowd.contract.identity.model == str(tmp_path / "model")


def test_workers_get_the_key_of_the_server(monkeypatch, shop):
    server = EngineSettings(
        kind="server", address="http://10.0.0.1/v1", api_key_env="FOOTFALL_TEST_KEY"
    )
    monkeypatch.delenv("FOOTFALL_TEST_KEY", raising=False)
    assert needed_variables(server) == {}
    monkeypatch.setenv("FOOTFALL_TEST_KEY", "secret")
    variables = needed_variables(server)
    assert variables == {"FOOTFALL_TEST_KEY": "secret"}
    monkeypatch.setenv("FOOTFALL_TEST_KEY", "old")
    open_worker(shop, variables=variables)
    assert os.environ["FOOTFALL_TEST_KEY"] == "secret"
    scripted = EngineSettings(kind="scripted", api_key_env="FOOTFALL_TEST_KEY")
    assert needed_variables(scripted) == {}


def test_the_key_of_the_server_is_not_shown():
    contract = Contract(
        EngineSettings(), ScriptedEngine().identity, 0, 48, "", 1, {"FOOTFALL_TEST_KEY": "secret"}
    )
    assert "secret" not in repr(contract)


def test_a_cluster_named_by_the_environment_is_looked_for_at_the_start(monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda _: True)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    scripted = EngineSettings(kind="scripted")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(EngineUnavailableError, match=address):
            requirements.require_scalable(scripted, RaySettings())
        # A connection that is there already is used, whatever the address.
        monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))
        requirements.require_scalable(scripted, RaySettings())


def test_a_run_whose_cluster_has_vanished_has_failed(shop_log, people):
    def vanished(_):
        fail()

    settings = SimulationSettings(
        sessions=4, until=UNTIL, behaviour="prior", pilot_sessions=0, seed=0
    )
    simulation = Simulation(shop_log, people, ScriptedEngine(), settings, crowd_of=vanished)
    with pytest.raises(EngineUnavailableError):
        simulation.run()
    with Log.open(shop_log) as log:
        state = log.scalar(
            "SELECT state FROM runs WHERE run_id = $run_id", {"run_id": simulation.run_id}
        )
    assert state == "failed"


def test_an_engine_that_does_not_open_is_the_same_error_as_here(tmp_path, shop, crew):
    missing = EngineSettings(kind="replay", recording=tmp_path / "missing.jsonl")
    ray = FakeRay()
    with pytest.raises(RecordingError) as caught:
        list(lead(shop, crew, ray, engine=missing))
    with pytest.raises(RecordingError) as here:
        open_engine(missing)
    assert (caught.value.message, caught.value.hint) == (here.value.message, here.value.hint)
    assert len(ray.actors) == 2


def test_a_worker_with_another_model_is_refused(shop, crew):
    other = EngineSettings(kind="scripted", seed=1)
    with pytest.raises(EngineError, match="A worker's engine is scripted"):
        list(lead(shop, crew, FakeRay(), engine=other))


def test_a_defect_of_the_program_is_not_taken_for_a_death(tmp_path, shop, crew):
    trapped = replace(shop, search=Trap(shop.search, tmp_path, stumble, at=3, times=99))
    with pytest.raises(FakeTaskError, match="division"):
        list(lead(trapped, crew, FakeRay()))


def test_a_cluster_without_room_is_an_error(shop, crew):
    class Full(FakeRay):
        def wait(self, calls, *, num_returns, timeout=None):
            return [], calls

    with pytest.raises(EngineUnavailableError, match="each needs 64 CPUs and 0 GPUs"):
        list(lead(shop, crew, Full(), cpus_per_worker=64.0, start_timeout_seconds=0.01))


def test_workers_that_never_start_do_not_hold_up_the_others(shop, crew, here):
    ray = FakeRay(room=1)
    assert sorted(told(lead(shop, crew, ray, workers=3))) == sorted(here)
    assert len(ray.actors) == 3


def test_shards_are_cut_only_when_they_are_asked_for(crew):
    cut = []

    def coming():
        for plan in plans(len(crew)):
            cut.append(plan.shopper)
            yield plan

    crew = [*crew, *crew[:2]]
    queue = ShardQueue(coming(), before, crew, 3)
    assert cut == []
    assert queue.waiting()
    first = queue.take([])
    assert sorted(first.journeys) == cut == [0, 1, 2]
    second = queue.take([first])
    assert queue.take([first, second]) is None
    assert second.describe() == "shard 2 (shoppers 3 to 5)"
    assert queue.take([]).describe() == "shard 3 (shopper 6)"
    assert not queue.waiting()
    first.deaths = 1
    queue.put_back(first)
    assert queue.take([second]) is None
    assert queue.take([]) is first
    assert queue.take([first]) is None


@pytest.mark.parametrize(
    ("shoppers", "workers", "size"), [(1, 2, 1), (8, 2, 1), (9, 2, 2), (80, 2, 10), (10**6, 2, 256)]
)
def test_the_size_of_a_shard(shoppers, workers, size):
    assert default_shard_size(shoppers, workers) == size


def test_workers_of_one_machine_share_its_cores():
    model = EngineSettings(kind="vllm")

    def shares(workers, cores, cpus=1.0):
        scale = RaySettings(workers=workers, cpus_per_worker=cpus)
        return [
            core_binding(list(range(cores)), place, scale, model)["VLLM_CPU_OMP_THREADS_BIND"]
            for place in range(min(workers, 4))
        ]

    assert shares(2, 2) == ["0", "1"]
    assert shares(2, 4) == ["0,2", "1,3"]
    assert shares(1, 2) == ["0,1"]
    assert shares(3, 2) == ["0", "1", "0"]
    assert shares(8, 4, cpus=2.0) == ["0,2", "1,3", "0,2", "1,3"]
    assert core_binding([0, 1], 0, RaySettings(), EngineSettings(kind="scripted")) == {}


def test_a_model_gets_a_gpu_where_there_are_any():
    model, scripted = EngineSettings(kind="vllm"), EngineSettings(kind="scripted")

    def gpus(engine, there, **given):
        return worker_resources(RaySettings(**given), engine, {"CPU": 8.0, **there})["num_gpus"]

    assert gpus(model, {}) == 0.0
    assert gpus(model, {"GPU": 2.0}) == 1.0
    assert gpus(model, {"GPU": 2.0}, gpus_per_worker=0.5) == 0.5
    assert gpus(scripted, {"GPU": 2.0}) == 0.0


def test_more_models_than_fit_are_refused_before_they_are_loaded(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"dtype": "bfloat16"}')
    (tmp_path / "model.safetensors").write_bytes(b"0" * 1000)
    engine = EngineSettings(kind="vllm", model=str(tmp_path), kv_cache_gb=1.0)
    monkeypatch.setattr(requirements, "available_memory", lambda: int(5.0 * 2**30))
    requirements.require_room(engine, 2)
    with pytest.raises(EngineMemoryError, match=r"3 workers .* about 6\.6 GiB .* 5\.0 GiB"):
        requirements.require_room(engine, 3)
    requirements.require_room(EngineSettings(kind="scripted"), 3)


def test_rays_long_messages_become_one_line():
    long = (
        "The actor died unexpectedly before finishing this task.\n\tclass_name: X\n"
        "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR "
        "Worker exit detail: Worker unexpectedly exits with a connection error code 2."
    )
    assert reason_of(ValueError(long)) == (
        "its worker process has died. Worker exit type: SYSTEM_ERROR"
    )
    assert reason_of(ValueError()) == "ValueError"
    assert len(reason_of(ValueError("x" * 1000))) < 400
