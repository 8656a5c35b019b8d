"""The shop as a Gymnasium environment: its checker, determinism, harmless actions, sense."""

import numpy as np
import pytest
from plugin_shop import UNTIL

gymnasium = pytest.importorskip("gymnasium")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from footfall.errors import SettingError  # noqa: E402
from footfall.eval.stress.environment import (  # noqa: E402
    ENVIRONMENT_ID,
    ShopEnv,
    open_environment,
    register,
)
from footfall.simulator.targets.protocol import AnsweredPage  # noqa: E402


@pytest.fixture(scope="module")
def fitted(plugin_shop):
    """One fitted environment; tests make their own from its shop."""
    return open_environment(
        plugin_shop / "shop.duckdb", plugin_shop / "people.jsonl", until=UNTIL, page_size=4
    )


@pytest.fixture
def make(fitted):
    def made(**settings):
        return ShopEnv(fitted.shop, fitted._arrivals, **({"candidates": 10} | settings))

    return made


def visit(env, seed, policy):
    """A whole visit: rewards, and what was told with every page."""
    observation, info = env.reset(seed=seed)
    rewards, told, over = [], [info], False
    while not over:
        assert observation in env.observation_space
        observation, reward, terminated, truncated, info = env.step(policy(observation))
        assert not (terminated and truncated)
        rewards.append(reward)
        told.append(info)
        over = terminated or truncated
    assert observation in env.observation_space
    return rewards, told, truncated


def as_proposed(observation):
    return np.zeros(4, dtype=np.int64)


def test_it_passes_the_checker_of_gymnasium(plugin_shop):
    env = gymnasium.make(
        ENVIRONMENT_ID,
        log=plugin_shop / "shop.duckdb",
        personas=plugin_shop / "people.jsonl",
        until=UNTIL,
        page_size=4,
        candidates=10,
    )
    check_env(env.unwrapped)
    env.close()


def test_it_is_registered_once_however_often_it_is_asked_for():
    register()
    register()
    assert gymnasium.spec("footfall/Shop-v0").id == ENVIRONMENT_ID


def test_the_same_seed_is_the_same_visit_whatever_came_before(make):
    first, second = make(), make()
    visit(second, 5, as_proposed)
    for seed in range(8):
        assert visit(first, seed, as_proposed) == visit(second, seed, as_proposed)


def test_different_seeds_are_different_visits(make):
    env = make()
    told = [env.reset(seed=seed)[1] for seed in range(20)]
    assert len({(info["shopper_id"], info["query"]) for info in told}) > 5


def test_what_a_visit_does_with_an_item_does_not_depend_on_the_page(make):
    """Common random numbers: an item that both pages show at one place gets the same response."""
    env = make(reward="clicks")
    differs = 0
    for seed in range(60):
        _, start = env.reset(seed=seed)
        *_, one = env.step(np.array([0, 1, 2, 3]))
        _, start_again = env.reset(seed=seed)
        *_, other = env.step(np.array([0, 7, 8, 9]))
        (item,) = {info["candidates"][0] for info in (start, start_again)}
        for response in ("looked", "clicked", "purchased"):
            assert (item in one[response]) == (item in other[response])
        differs += one["clicked"] != other["clicked"]
    assert differs


def test_repeats_and_missing_candidates_leave_the_page_full(make):
    env = make()
    for action, expected in (
        ([0, 0, 0, 0], [0, 1, 2, 3]),
        ([3, 3, 1, 3], [3, 1, 0, 2]),
        ([9, 8, 7, 6], [9, 8, 7, 6]),
    ):
        _, info = env.reset(seed=1)
        env.step(np.array(action))
        shown = env.shop.items.ids[env._block.shown[-1].item].tolist()
        assert shown == [info["candidates"][number] for number in expected]


@pytest.mark.parametrize("action", [[0, 0, 0], [0, 0, 0, 10], [-1, 0, 0, 0]])
def test_an_action_of_another_space_is_refused(make, action):
    env = make()
    env.reset(seed=0)
    with pytest.raises(SettingError, match="MultiDiscrete"):
        env.step(np.array(action))


def test_no_page_is_shown_after_the_visit(make):
    env = make()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(4, dtype=np.int64))
    visit(env, 0, as_proposed)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(4, dtype=np.int64))


def test_a_visit_is_cut_off_at_most_pages_and_only_there(make):
    env = make(most_pages=2)
    lengths = {}
    for seed in range(80):
        rewards, told, truncated = visit(env, seed, as_proposed)
        assert len(rewards) <= 2
        assert truncated == (told[-1]["ended_by"] == "out of patience")
        lengths.setdefault(truncated, set()).add(len(rewards))
    assert lengths[True] == {2}
    assert 1 in lengths[False]


def test_rewards_are_the_clicks_or_purchases_of_the_page(make):
    clicks, purchases = make(reward="clicks"), make(reward="purchases")
    total = 0.0
    for seed in range(40):
        of_clicks, told, _ = visit(clicks, seed, as_proposed)
        assert of_clicks == [len(info["clicked"]) for info in told[1:]]
        of_purchases, told, _ = visit(purchases, seed, as_proposed)
        assert of_purchases == [len(info["purchased"]) for info in told[1:]]
        assert sum(of_purchases) <= sum(of_clicks)
        total += sum(of_purchases)
    assert total > 0


def test_items_that_a_list_has_shown_are_no_candidates_on_its_next_page(make):
    env = make(reward="clicks")
    turned = 0
    for seed in range(60):
        _, info = env.reset(seed=seed)
        over = False
        while not over:
            asked, shown = info["query"], info["candidates"][:4]
            _, _, terminated, truncated, info = env.step(np.zeros(4, dtype=np.int64))
            over = terminated or truncated
            if not over and env._block.page[0] > 1 and info["query"] == asked:
                turned += 1
                assert not set(shown) & set(info["candidates"])
    assert turned


def test_a_small_catalogue_leaves_places_without_candidates(make):
    env = make(candidates=24, most_pages=8)
    assert env.action_space.nvec.tolist() == [24] * 4
    masks = []

    def policy(observation):
        masks.append(observation["mask"].sum())
        missing = observation["mask"] == 0
        assert not observation["candidates"][missing].any()
        assert not observation["features"][missing].any()
        return np.full(4, 23)

    for seed in range(30):
        visit(env, seed, policy)
    assert max(masks) == 24
    assert min(masks) < 24


def test_the_observation_is_what_a_shop_knows(make):
    env = make()
    shop = env.shop
    kinds = set()
    for seed in range(30):
        observation, info = env.reset(seed=seed)
        rows = [shop.place[item] for item in info["candidates"]]
        np.testing.assert_allclose(observation["candidates"], shop.items.vectors[rows], atol=1e-6)
        assert observation["visit"][2] == (info["query"] is not None)
        assert observation["query"].any() == (info["query"] is not None)
        persona = next(p for p in shop.personas if p.persona_id == info["shopper_id"])
        taken = {row for row, text in enumerate(shop.catalog.texts()) if text in persona.history}
        expected = [row in taken for row in rows]
        assert observation["features"][:, 2].tolist() == expected
        kinds.add(info["query"] is None)
    assert kinds == {True, False}


def test_a_policy_that_knows_what_shoppers_like_earns_more_than_its_opposite(make):
    """Closeness to history and query is rewarded: there is something to learn."""
    env = make(reward="clicks", candidates=24)

    def closeness(sign):
        def policy(observation):
            wanted = observation["shopper"] + observation["query"]
            score = observation["candidates"] @ wanted - 9.0 * (observation["mask"] == 0)
            return np.argsort(-sign * score, kind="stable")[:4]

        return policy

    near, far = (
        sum(sum(visit(env, seed, closeness(sign))[0]) for seed in range(150)) for sign in (1, -1)
    )
    assert near > 1.2 * far, (near, far)


def test_a_named_shopper_comes(make):
    env = make()
    for seed in range(5):
        assert env.reset(seed=seed, options={"shopper": "p3"})[1]["shopper_id"] == "p3"
    with pytest.raises(SettingError, match="nobody"):
        env.reset(options={"shopper": "nobody"})


def test_a_page_is_told_in_words(make):
    env = make(render_mode="ansi")
    assert env.render() is None
    env.reset(seed=1)
    env.step(np.zeros(4, dtype=np.int64))
    first, *items = env.render().splitlines()
    assert first.startswith("asked for: ")
    assert len(items) == 4
    assert all("number" in line for line in items)


def test_candidates_may_come_from_any_target(make):
    class Backwards:
        name = "backwards"

        def ask(self, requests):
            return [AnsweredPage(("i23", "i22", "no such item", "i22"), 0.0) for _ in requests]

        def fit(self, items, events):
            return False

        def close(self):
            pass

    env = make(retrieval=Backwards(), candidates=6)
    _, info = env.reset(seed=0)
    assert info["candidates"][:2] == ["i23", "i22"]
    assert len(set(info["candidates"])) == 6


@pytest.mark.parametrize(
    "settings",
    [{"candidates": 1}, {"reward": "money"}, {"most_pages": 1}, {"render_mode": "human"}],
)
def test_settings_out_of_range_are_refused(make, settings):
    with pytest.raises(SettingError, match=next(iter(settings))):
        make(**settings)


def test_a_scenario_s_shop_serves_as_well(fitted):
    available = np.zeros(len(fitted.shop.catalog), dtype=bool)
    env = ShopEnv(fitted.shop.with_world(available=available), fitted._arrivals, candidates=10)
    assert not any(sum(visit(env, seed, as_proposed)[0]) for seed in range(30))


def test_a_shop_in_which_nobody_asks_says_so(make):
    env = make()
    env._crowd.asking = lambda block, active: (active[:0], [])
    with pytest.raises(SettingError, match="asked for a page"):
        env.reset(seed=0)
