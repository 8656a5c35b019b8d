"""The fidelity report as a page and as a table."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from fidelity_world import HashedEncoder, make_log
from rich.console import Console

from footfall.errors import DataError
from footfall.eval.fidelity import fidelity
from footfall.eval.fidelity_page import fidelity_table, render_fidelity, write_fidelity
from footfall.eval.fidelity_results import Fidelity
from footfall.eval.plots import fidelity_plot

ATTACK = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Iterator[Fidelity]:
    with make_log(tmp_path_factory.mktemp("page")) as log:
        log.execute(
            "UPDATE items SET category = ? WHERE starts_with(category, 'dairy')",
            [f"{ATTACK} 商店 > all"],
        )
        log.execute("UPDATE impressions SET purchased = NULL WHERE origin = 'real'")
        yield fidelity(log, "copy", splits=10, resamples=30, encoder=HashedEncoder())


def test_the_page_holds_every_measure_and_no_outside_address(found):
    page = render_fidelity(found, title=f"Shop {ATTACK}", command="footfall compare a --run b")
    for row in found.rows:
        assert f'<th scope="row">{row.measure}' in page
    assert "not recorded in the real log" in page
    assert "footfall compare a --run b" in page
    assert ATTACK not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; 商店" in page
    assert not re.search(r"(?:src|href)=[\"']?(?!data:|#)[^\"' >]", page)
    assert "http" not in page.replace("http-equiv", "")
    assert page.count('<svg class="plot"') == 3
    assert page.count("simple simulator") > 2


def test_the_page_says_whether_the_limit_is_kept(found):
    assert 'class="verdict helped"' in render_fidelity(found, largest_ratio=1e9)
    page = render_fidelity(found, require=["purchases per session"])
    assert 'class="verdict hurt"' in page
    assert "1 over 2 times" in page


def test_the_same_comparison_gives_the_same_bytes_and_folders_are_checked(found, tmp_path):
    path = write_fidelity(tmp_path / "compare.html", found)
    again = write_fidelity(tmp_path / "again.html", found)
    assert path.read_bytes() == again.read_bytes()
    with pytest.raises(DataError, match="cannot be written"):
        write_fidelity(tmp_path / "no" / "compare.html", found)


def test_the_figure_shows_measured_rows_only(found):
    svg = fidelity_plot(found.rows)
    measured = [row for row in found.rows if row.synthetic.ratio is not None]
    assert svg.count(" times") == len(measured)
    assert "clicks per session" in svg
    assert "purchases per session" not in svg
    assert fidelity_plot([row for row in found.rows if not row.measured]) == ""


def test_the_table_has_a_row_for_each_measure(found):
    stream = io.StringIO()
    Console(file=stream, width=220).print(fidelity_table(found))
    text = stream.getvalue()
    for row in found.rows:
        assert row.measure in text
    assert "real against real" in text
    assert "simple simulator" in text


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_comparison_offline(browser, found, tmp_path, width):
    path = write_fidelity(tmp_path / "compare.html", found, title="Shop 商店")
    context = browser.new_context(viewport={"width": width, "height": 844}, offline=True)
    page = context.new_page()
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    assert problems == []
    assert all(url.startswith(("file:", "data:")) for url in requests), requests
    assert page.locator("h1").inner_text() == "Shop 商店"
    assert page.locator("#verdict").inner_text() == found.verdict
    rows = page.locator("section[aria-labelledby=measures] tbody tr")
    assert rows.count() == len(found.rows)
    assert page.locator("script").count() == 0
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"the page is {wide} px wide"
    assert page.locator("svg.plot").first.bounding_box()["width"] <= width
    context.close()
