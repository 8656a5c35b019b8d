"""One fitted shop for all tests of the fast crowd: nobody changes it."""

from __future__ import annotations

import pytest
from fast_shops import UNTIL, personas_of, write_log

from footfall.simulator.fast import FastShop
from footfall.simulator.log import Log


def _opened(path, **options):
    with Log.open(path) as log:
        return FastShop.open(
            log, personas_of(log), until=UNTIL, page_size=6, pilot_sessions=200, **options
        )


@pytest.fixture(scope="session")
def log_path(tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("fast") / "shop.duckdb")


@pytest.fixture(scope="session")
def shop(log_path):
    return _opened(log_path)


@pytest.fixture(scope="session")
def query_shop(tmp_path_factory):
    return _opened(write_log(tmp_path_factory.mktemp("fast") / "queries.duckdb", queries=True))


@pytest.fixture(scope="session")
def noise_shop(tmp_path_factory):
    return _opened(write_log(tmp_path_factory.mktemp("fast") / "noise.duckdb", taste=False))
