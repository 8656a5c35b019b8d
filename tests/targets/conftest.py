"""The reference server, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from target_shop import reference_server


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    with reference_server() as started:
        yield started
