from __future__ import annotations

import os
import re
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from footfall.errors import DataError
from footfall.eval.arms import compare_arms
from footfall.eval.evaluate import compare, evaluate
from footfall.eval.likeness import likeness
from footfall.eval.report import (
    BehaviourFact,
    CostLine,
    Highlight,
    Repeat,
    ReportContent,
    TrainingCurve,
    collect_rejects,
    render_report,
    verdict_sentence,
    write_report,
)
from footfall.eval.sessions import collect_sessions

FEW = {"resamples": 100, "seed": 0}
ATTACK = "<script>alert(1)</script>"


@pytest.fixture
def arms(make_scores):
    def make(synthetic=4.0):
        return compare_arms(
            {
                "real": [make_scores(0.5, noise=1), make_scores(0.6, noise=5)],
                "real twice": [make_scores(0.5, noise=2), make_scores(0.6, noise=6)],
                f'"{ATTACK}" 随机': [make_scores(0.8, noise=3), make_scores(0.8, noise=7)],
                "synthetic": [make_scores(synthetic, noise=4), make_scores(synthetic, noise=8)],
            },
            **FEW,
        )

    return make


@pytest.fixture
def content(log, arms):
    log.append(
        "rejects",
        pa.table({"run_id": ["r", "r"], "source": ["a.csv"] * 2, "reason": [ATTACK] * 2}),
    )
    sessions = collect_sessions(log, "run-1", count=60)
    attacked = [s for s in sessions if any(slate.query == ATTACK for slate in s.slates)][:2]
    chinese = [s for s in sessions if any(slate.query == "纯牛奶" for slate in s.slates)][:1]
    return ReportContent(
        title=f"Shop {ATTACK} 商店",
        facts={"Real log": "120 sessions", "Origin": "run-1"},
        highlights=[Highlight(label="Questions", value="7", note="asked")],
        currency="¥",
        sessions=[*attacked, *chinese],
        likeness=likeness(log, "run-1", splits=5),
        arms=arms(),
        behaviour=[
            BehaviourFact(name="chance of looking at position 5", value=0.41, low=0.3, high=0.5)
        ],
        rejects=collect_rejects(log),
        cost=[CostLine(stage="simulate", seconds=431.0, prompt_tokens=120000, output_tokens=900)],
        training=[TrainingCurve(name="real", steps=[1, 2, 3], values=[0.7, 0.6, 0.5])],
        cautions=["Two seeds only."],
        repeat=Repeat(commands=["footfall demo --seed 0"], seed=0, model="m", model_hash="abc123"),
    )


class _Shape(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.ids, self.captions = [], [], [], 0

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in {"src", "href", "xlink:href", "action", "srcset"}:
                self.links.append(value)
            if name == "id":
                self.ids.append(value)
            assert not name.startswith("on"), (tag, name)


def shape(page):
    parser = _Shape()
    parser.feed(page)
    return parser


def test_the_page_is_self_contained_and_escaped(content):
    page = render_report(content)
    found = shape(page)
    assert not {"script", "iframe", "object", "embed", "img"} & set(found.tags)
    assert all(link.startswith(("#", "data:")) for link in found.links), found.links
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    assert ATTACK not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert len(found.ids) == len(set(found.ids))
    targets = {link[1:] for link in found.links if link.startswith("#")}
    assert targets <= set(found.ids)


def test_every_table_has_a_caption_and_every_figure_a_label(content):
    page = render_report(content)
    assert page.count("<table>") == page.count("<caption>") > 8
    figures = re.findall(r"<svg[^>]*>", page)
    assert len(figures) == 6
    assert all('role="img"' in figure and "aria-label=" in figure for figure in figures)
    assert 'scope="col"' in page
    assert 'scope="row"' in page


def test_the_same_content_gives_the_same_bytes(content, tmp_path):
    first = write_report(tmp_path / "a.html", content).read_bytes()
    assert write_report(tmp_path / "b.html", content).read_bytes() == first
    assert not list(tmp_path.glob("*.partial"))


def test_the_verdict_comes_first_and_carries_its_interval(content):
    page = render_report(content)
    sentence = verdict_sentence(content)
    assert sentence.startswith("The synthetic sessions helped: synthetic changes AUC by +0.")
    assert page.index('id="verdict"') < page.index("<section")
    assert 'class="verdict helped"' in page


def test_a_report_without_a_lift_says_so_on_top(arms):
    nothing = ReportContent(arms=arms(0.5))
    assert verdict_sentence(nothing).startswith("No evidence that the synthetic sessions helped")
    assert 'class="verdict no-evidence"' in render_report(nothing)
    worse = ReportContent(arms=arms(-1.0))
    assert verdict_sentence(worse).startswith("The synthetic sessions hurt: synthetic changes AUC")
    assert 'class="verdict hurt"' in render_report(worse)


def test_a_control_that_does_as_well_is_named_in_the_verdict(make_scores):
    tables = {
        "real": make_scores(0.2, noise=1),
        "popular": make_scores(3.0, noise=3),
        "synthetic": make_scores(3.0, noise=4),
    }
    sentence = verdict_sentence(ReportContent(arms=compare_arms(tables, **FEW)))
    assert "does not beat popular, a control of equal volume" in sentence


def test_an_empty_report_and_parts_alone_can_be_written(tmp_path, make_scores, log):
    assert "No training was compared" in render_report(ReportContent())
    alone = ReportContent(likeness=likeness(log, "run-1", splits=3))
    assert re.search(r"on \d+ of \d+ measures", verdict_sentence(alone))
    found = evaluate(make_scores(), **FEW)
    page = render_report(ReportContent(evaluations={"m": found}))
    row = found.row("auc", "all")
    assert "<caption>Metrics of m by slice</caption>" in page
    assert re.search(
        rf'<th scope="row">all</th><td>AUC</td>.*<td class="n">{row.value:.4f}<span class="i">'
        rf'{row.low:.4f} to {row.high:.4f}</span></td><td class="n">1,200</td>',
        page,
    )
    pair = compare(make_scores(0.3), make_scores(3.0, noise=2), names=("old", "new"), **FEW)
    assert verdict_sentence(ReportContent(comparisons=[pair])).startswith("new helped: AUC by +0.")
    assert verdict_sentence(ReportContent(verdict="As given.", comparisons=[pair])) == "As given."


def test_a_slice_that_cannot_be_measured_is_shown(make_scores):
    table = make_scores()
    no_cold = pa.array([False] * table.num_rows)
    table = table.set_column(table.column_names.index("item_cold"), "item_cold", no_cold)
    arms = compare_arms({"real": table, "synthetic": table}, **FEW)
    page = render_report(ReportContent(arms=arms))
    assert "not measurable: no rows" in page


def test_content_round_trips_as_json(content):
    assert ReportContent.model_validate_json(content.model_dump_json()) == content


def test_rejects_are_counted_by_reason(log):
    rows = {
        "run_id": ["a", "a", "b"],
        "source": ["x.csv"] * 3,
        "reason": ["no id", "no id", "date"],
    }
    log.append("rejects", pa.table(rows))
    assert [(r.reason, r.count) for r in collect_rejects(log)] == [("no id", 2), ("date", 1)]
    assert [r.reason for r in collect_rejects(log, ["b"])] == ["date"]


def test_a_missing_folder_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        write_report(tmp_path / "no" / "report.html", ReportContent())


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_report_offline(browser, content, tmp_path, scheme, width):
    path = write_report(tmp_path / "report.html", content)
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    problems, requests, dialogs = [], [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(path.as_uri())
    assert (problems, dialogs) == ([], [])
    assert all(url.startswith(("file:", "data:")) for url in requests), requests
    headings = page.locator("h2").all_inner_texts()
    assert [h for h in headings if "help" in h or "true" in h or "Sessions" in h] == [
        "Did it help?",
        "Is it true to life?",
        "Sessions to read",
    ]
    assert page.locator("h1").inner_text() == f"Shop {ATTACK} 商店"
    assert page.locator("script").count() == 0
    assert page.locator("#verdict").inner_text().startswith("The synthetic sessions helped")
    likeness_rows = page.locator("section[aria-labelledby=likeness] > .scroll tbody tr")
    assert likeness_rows.count() == len(content.likeness.rows)
    caption = page.locator("article caption", has_text=ATTACK).first
    assert caption.is_visible()
    assert page.locator("article caption", has_text="纯牛奶").first.is_visible()
    assert page.locator("article .badge", has_text="clicked").count() > 0
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"the page is {wide} px wide"
    assert page.locator("svg.plot").first.bounding_box()["width"] <= width
    ink, paper = (
        page.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("color", "backgroundColor")
    )
    brighter = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
    assert (brighter[0] > brighter[1]) == (scheme == "dark")
    folder = os.environ.get("FOOTFALL_SCREENSHOTS")
    if folder:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
        page.screenshot(path=f"{folder}/{scheme}-{width}.png", full_page=True)
    context.close()
