"""docs/targets.md says what the code does: options, faults, and examples that run."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from typing import Any

import pytest
import target_shop as shop
from target_shop import ROOT, ask

from footfall.simulator.targets.adapters import as_target
from footfall.simulator.targets.faults import Faults
from footfall.simulator.targets.in_process import InProcessClient
from footfall.simulator.targets.registry import _BUILT_IN

DOCUMENT = (ROOT / "docs/targets.md").read_text(encoding="utf-8")


def table_after(sentence: str) -> dict[str, list[str]]:
    """Cells of the table that follows a sentence, by the name in the first one."""
    rows = re.search(r"^\|[-|]+\|\n((?:\|.*\n)+)", DOCUMENT.split(sentence, 1)[1], re.MULTILINE)
    assert rows is not None
    cells = [[cell.strip() for cell in row[1:-1].split("|")] for row in rows[1].splitlines()]
    return {name.strip("`"): others for name, *others in cells}


def test_the_document_lists_every_option_of_every_built_in_target() -> None:
    told = {
        name: tomllib.loads("\n".join(re.findall(r"`(\w+=[^`]+)`", cells[-1])))
        for name, cells in table_after("The built-in ones and their options").items()
    }
    assert told == {
        name: {
            option: parameter.default
            for option, parameter in inspect.signature(target).parameters.items()
        }
        for name, target in _BUILT_IN.items()
    }


def test_the_document_lists_every_fault() -> None:
    told = {name: float(cells[-1]) for name, cells in table_after("## Faults").items()}
    assert told == {name: field.default for name, field in Faults.model_fields.items()}


def test_the_python_object_of_the_document_is_a_target() -> None:
    example = re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert example is not None
    made: dict[str, Any] = {}
    exec(example.group(1), made)
    client = InProcessClient(as_target(made["MyTarget"]()), timeout=20.0)
    assert client.fit(shop.items(), shop.events())
    assert client.ask([ask(limit=2, offset=1)])[0].item_ids == ("i001", "i002")


def test_the_request_of_the_document_is_answered(address: str) -> None:
    httpx = pytest.importorskip("httpx")
    from footfall.simulator.targets.http import HttpClient

    client = HttpClient(address)
    client.fit(shop.items(), shop.events())
    client.close()
    body = re.search(r"curl -X POST \S+/pages .*?-d '(.*?)'\n", DOCUMENT, re.DOTALL)
    assert body is not None
    asked = json.loads(body.group(1))
    answer = httpx.post(f"{address}/pages", json=asked, timeout=20.0, trust_env=False).json()
    (page,) = answer["pages"]
    # Green tea is every fifth item from the first one on.
    assert len(page) == asked["requests"][0]["limit"]
    assert all(int(item_id[1:]) % 5 == 0 for item_id in page)
