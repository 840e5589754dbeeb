"""The page: what it holds, and, in a browser, that it sorts, filters, steps and is readable everywhere."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from conftest import Staleline, make

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VOID = {"meta", "input", "br"}
Page = tuple[Path, list[dict[str, Any]]]
STRANGE = "A board </script><b>&\"' [[data]] $x$ \x1b[31m\u202e"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, tiny_trace: Path, kept_here: None) -> Page:
    """The page of two hosts, one with a strange title, and what ``--format json`` says of the same."""
    folder = tmp_path_factory.mktemp("page")
    profile = files("bench.hosts").joinpath("cortex-a9.toml").read_text(encoding="utf-8")
    profile = re.sub(r"(?m)^title = .*$", lambda _: f"title = {json.dumps(STRANGE)}", profile).replace(
        '"cortex-a9"', '"board"', 1
    )
    (folder / "board.toml").write_text(profile, encoding="utf-8")
    words = ["compare", str(tiny_trace), "--host", f"arm926,{folder / 'board.toml'}"]
    words += ["--strategy", "unfixed,idempotent,flush-on-retranslation,stop-the-world-flush", "--sensitivity"]
    for name in ("html", "json"):
        make(*words, "--format", name, "-o", str(folder / f"page.{name}"))
    return folder / "page.html", json.loads((folder / "page.json").read_text("utf-8"))["results"]


class Outline(HTMLParser):
    """Which elements are open, the text of each verdict, and what could lead elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.elsewhere: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name == "href":
                self.links.append(value or "")
            if name in ("src", "href", "action") and not (value or "").startswith("#"):
                self.elsewhere.append(f"{tag} {name}={value}")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in ("g", "line", "path", "rect", "text")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


def test_it_is_one_well_formed_file_that_leads_nowhere(page: Page) -> None:
    text = page[0].read_text("utf-8")
    outline = Outline(text)
    assert text.startswith("<!DOCTYPE html>")
    assert outline.open == []
    assert outline.elsewhere == []
    assert STRANGE not in text
    assert not set("\x1b\u202e") & set(text)
    assert "[[" not in text.replace("[[data]]", "").split('id="data"')[0].split("</style>")[1]
    assert 50_000 < len(text) < 1_000_000
    for name in ("@import", "url(", "fetch(", "XMLHttpRequest"):
        assert name not in text


def test_its_data_is_that_of_the_json(page: Page) -> None:
    outline = Outline(page[0].read_text("utf-8"))
    data = json.loads(outline.scripts[0])
    ids = {cell["id"]: cell for cell in data["cells"]}
    failing = {
        f"{one['strategy']}/{one['host']}/{one['translator']}/{name}": one["rows"][name]
        for one in page[1]
        for name, verdict in one["verdicts"].items()
        if verdict == "fails"
    }
    assert {name: len(ids[name]["steps"]) for name in failing} == failing
    others = {name for name in ids if name not in failing}
    assert all(name.endswith(("/lasting", "/partial")) for name in others)
    linked = {link[1:].rsplit("/", 1)[0].replace("%40", "@") for link in outline.links if "/" in link}
    assert linked == {*ids}


def test_what_decides_is_there_as_the_json_has_it(page: Page) -> None:
    """``--sensitivity``: the rate, and a row with the same figures for each assumption."""
    text = page[0].read_text("utf-8")
    document = json.loads(page[0].with_suffix(".json").read_text("utf-8"))
    section = text[text.index("<h2>What decides") : text.index("<h2>Counterexamples")]
    assert section.count("retranslations per million executions. There the overhead is") == len(document["rates"]) == 2
    swings = [swing for one in document["sensitivity"] for swing in one["swings"]]
    found = re.findall(r'<th scope="row">(\S+?),? [^<]*</th>((?:<td class="number"[^<]*</td>)+)', section)
    ends = {(name, *[float(end) for end in re.findall(r'data-sort="([^"]+)"', cells)[:2]]) for name, cells in found}
    assert swings
    assert {(swing["quantity"].split()[0], swing["at_low"], swing["at_high"]) for swing in swings} == ends


def test_everything_to_make_it_again_is_there(page: Page) -> None:
    text = page[0].read_text("utf-8")
    chosen = ("compare ", "seed of random replacement", "retranslations", "costs.lock", "rule E6")
    for said in ("To make it again", *chosen):
        assert said in text


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any], str]:
    """The page of a protocol, its file, the JSON of the same, and its plot."""
    folder = tmp_path_factory.mktemp("verdicts")
    text = files("bench.known_bugs").joinpath("qemu-2023-ppc64-preload.toml").read_text(encoding="utf-8")
    file, parts = folder / "mine.toml", [folder / name for name in ("page.html", "page.json", "plot.svg")]
    file.write_text(text.replace('summary = "', f"summary = {json.dumps(STRANGE)[:-1]} "), encoding="utf-8")
    line = f"compare {file} --host ppc-g4,power --format"
    make(*line.split(), "html", "-o", str(parts[0]), "--plot", str(parts[2]))
    make(*line.split(), "json", "-o", str(parts[1]))
    return parts[0], file, json.loads(parts[1].read_text("utf-8")), parts[2].read_text("utf-8")


def test_the_page_of_a_protocol_has_what_the_json_has(verdicts: tuple[Path, Path, dict[str, Any], str]) -> None:
    page, file, document, plot = verdicts
    outline = Outline(page.read_text("utf-8"))
    assert (outline.open, outline.elsewhere) == ([], [])
    assert not set("\x1b\u202e") & set(page.read_text("utf-8"))
    cells = {cell["id"]: cell for cell in json.loads(outline.scripts[0])["cells"]}
    asked = [(one, case) for one in document["protocols"] for case in one["cases"]]
    wrong = {
        f"mine/{one['host']}/{case['name']}": case["counterexample"]
        for one, case in asked
        if case["verdict"] == "fails"
    }
    assert {name: len(cell["steps"]) for name, cell in cells.items()} == {key: len(rows) for key, rows in wrong.items()}
    assert {unquote(link[1:].rsplit("/", 1)[0]) for link in outline.links if link.endswith("/1")} == {*cells}
    lines = file.read_text("utf-8").splitlines()
    for name, rows in wrong.items():
        for row, step in zip(rows, cells[name]["steps"], strict=True):
            assert (f"(line {row['line']})" in step["text"]) is bool(row["line"])
            assert not row["line"] or row["what"].startswith(lines[row["line"] - 1])
    (priced,) = (one for one in document["protocols"] if one["host"] == "ppc-g4")
    shown = {*re.findall(r'data-sort="([^"]+)"', page.read_text("utf-8").split("The price of each line")[1])}
    assert {str(line["cost"]["nominal"]) for line in priced["prices"] if line["cost"]["nominal"]} <= shown
    assert {str(case["cost"]["nominal"]) for case in priced["cases"]} <= shown
    assert [case["cost"] for one, case in asked if one["host"] == "power"] == [None] * 3
    # As written: a store and a load, which is of the other thread.
    nominal = {line["operation"]: line["cost"]["nominal"] for line in priced["prices"]}
    assert priced["cases"][0]["cost"]["nominal"] == nominal["store S new"] + nominal["load S"]
    for said in ("mine on ppc-g4", "line 50", "the target makes its own base register"):
        assert said in plot
    assert "power" not in plot


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if BROWSER is None:
        pytest.skip("no browser is installed (chromium): the page is not looked at")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page is not looked at")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Tab:
    """A tab with the page, in which nothing may go wrong and nothing be asked of a network."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        self.tab = self.context.new_page()
        self.wrong: list[str] = []
        self.tab.on("console", lambda message: self.wrong.append(message.text))
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("request", lambda request: self.wrong.append(request.url) if request.url[:5] != "file:" else None)
        self.url = path.as_uri()
        self.tab.goto(self.url)

    def column(self, number: int) -> list[str]:
        found: list[str] = self.tab.eval_on_selector_all(
            "#results tbody tr:not([hidden])", f"rows => rows.map(row => row.cells[{number}].textContent)"
        )
        return found

    def step_through(self, link: str) -> None:
        """Open a counterexample: keys that come before it is there go nowhere."""
        self.tab.click(link)
        self.tab.wait_for_selector("#stepper", state="visible")

    def shuts_nobody_out(self) -> None:
        """All rules of axe-core."""
        module, missing = "axe_playwright_python.sync_playwright", "axe-playwright-python is not installed"
        found = pytest.importorskip(module, reason=f"{missing}: no accessibility check").Axe().run(self.tab)
        assert found.response["passes"]
        assert found.violations_count == 0, found.generate_report()


@pytest.fixture
def opened(page: Page, chromium: Any, request: pytest.FixtureRequest) -> Iterator[Tab]:
    tab = Tab(chromium, page[0], **getattr(request, "param", {}))
    yield tab
    assert tab.wrong == []
    tab.context.close()


def test_it_sorts_up_and_down(opened: Tab) -> None:
    before = opened.column(1)
    opened.tab.click("#results thead th:nth-child(2) button")
    assert opened.column(1) == sorted(before)
    assert opened.tab.get_attribute("#results thead th:nth-child(2)", "aria-sort") == "ascending"
    opened.tab.keyboard.press("Enter")
    assert opened.column(1) == sorted(before, reverse=True)
    costs = "#results thead th.number:has-text('extra')"
    opened.tab.click(f"{costs} button")
    values = opened.tab.eval_on_selector_all(
        "#results tbody tr", "rows => rows.map(row => Number(row.querySelector('td.number').dataset.sort))"
    )
    assert values == sorted(values)


def test_it_filters_by_host_and_scenario(opened: Tab) -> None:
    everything = len(opened.column(0))
    opened.tab.select_option("#filter-host", "board")
    assert set(opened.column(2)) == {"board"}
    assert opened.tab.inner_text("#count") == f"{everything // 2} of {everything} rows"
    opened.tab.select_option("#filter-scenario", "user")
    shown = opened.tab.eval_on_selector_all("#results thead th[data-scenario]:not([hidden])", "all => all.length")
    assert shown == 1
    opened.tab.select_option("#filter-host", "")
    opened.tab.select_option("#filter-scenario", "")
    assert len(opened.column(0)) == everything


def test_a_verdict_opens_its_counterexample_and_keys_step_through_it(opened: Tab) -> None:
    tab = opened.tab
    assert not tab.is_visible("#stepper")
    opened.step_through('tr[data-host="board"] td.fails a >> nth=0')
    assert tab.is_visible("#stepper")
    assert tab.inner_text("#because").startswith("Step 1 of ")
    assert tab.is_disabled("#back")
    tab.keyboard.press("ArrowRight")
    assert tab.inner_text("#because").startswith("Step 2 of ")
    assert tab.url.endswith("/2")
    tab.keyboard.press("End")
    last = int(tab.url.rsplit("/", 1)[1])
    assert tab.is_disabled("#forward")
    assert tab.inner_text(".lanes th.now") == str(last)
    assert "wrong" in tab.inner_text("#beside") or tab.locator(".lanes td.now.wrong").count()
    assert tab.locator(".lanes td.now.changed").count()
    tab.keyboard.press("Home")
    tab.click("#forward")
    assert tab.url.endswith("/2")
    tab.click("#back")
    assert tab.url.endswith("/1")
    tab.locator("#slider").fill("3")
    assert tab.url.endswith("/3")
    tab.click("#close")
    assert not tab.is_visible("#stepper")
    assert tab.evaluate("document.activeElement.closest('tr').dataset.host") == "board"


def test_the_address_names_the_cell_and_the_step(page: Page, chromium: Any) -> None:
    first = Tab(chromium, page[0])
    first.step_through("td.fails a >> nth=0")
    first.tab.keyboard.press("ArrowRight")
    address, said = first.tab.url, first.tab.inner_text("#because")
    second = Tab(chromium, page[0])
    second.tab.goto(address)
    second.tab.reload()
    assert second.tab.inner_text("#because") == said
    second.tab.evaluate("location.hash = '#nobody/here/1'")
    second.tab.evaluate(f"location.hash = {address.rsplit('#', 1)[1][:-1] + '1'!r}")
    second.tab.wait_for_function("document.getElementById('because').textContent.startsWith('Step 1')")
    assert first.wrong == second.wrong == []
    first.context.close()
    second.context.close()


@pytest.mark.parametrize("opened", [{"viewport": {"width": 390, "height": 844}}], indirect=True)
def test_on_a_phone_the_page_itself_does_not_scroll_sideways(opened: Tab) -> None:
    opened.step_through("td.fails a >> nth=0")
    assert opened.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


CONTRAST = """pairs => {
  const luminance = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (c !== "rgba(0, 0, 0, 0)") return c;
    }
    return "rgb(255, 255, 255)";
  };
  return pairs.map(selector => {
    const element = document.querySelector(selector), style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [one, other] = [luminance(ink), luminance(behind(element))].sort((a, b) => b - a);
    return (one + 0.05) / (other + 0.05);
  });
}"""


@pytest.mark.parametrize("opened", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_texts_of_charts_are_readable_in_light_and_dark(opened: Tab) -> None:
    """Those of the page are axe's to judge; it leaves drawings out."""
    selectors = [".chart text", ".chart .role-axis-title text", ".chart .role-legend text"]
    for selector, ratio in zip(selectors, opened.tab.evaluate(CONTRAST, selectors), strict=True):
        assert ratio >= 4.5, selector


def test_states_are_told_without_colour(opened: Tab) -> None:
    opened.step_through("td.fails a >> nth=0")
    words = set(
        opened.tab.eval_on_selector_all(
            ".lanes td.ok, .lanes td.wrong, .lanes td.absent",
            "all => all.map(one => one.className.split(' ')[0] + one.textContent)",
        )
    )
    assert words <= {"okok", "wrong\u2717 wrong", "absent\u2013"}
    assert len(words) >= 2


CUT = """() => [...document.querySelectorAll(".chart svg")].filter(one => one.checkVisibility()).flatMap(svg => {
  const all = [...svg.querySelectorAll("text")].filter(one => one.textContent && one.getAttribute("opacity") !== "0")
    .map(one => [one.textContent, one.getBoundingClientRect()]);
  const around = svg.getBoundingClientRect();
  const cut = all.filter(([, box]) => box.left < around.left - 1 || box.right > around.right + 1
    || box.top < around.top - 1 || box.bottom > around.bottom + 1);
  const covered = all.filter(([, one], at) => all.slice(0, at).some(([, other]) => one.left < other.right - 1
    && other.left < one.right - 1 && one.top < other.bottom - 3 && other.top < one.bottom - 3));
  return [...cut, ...covered].map(([text]) => text);
})"""


@pytest.mark.parametrize("opened", [{"viewport": {"width": 390, "height": 844}}, {}], indirect=True)
def test_no_text_of_a_chart_is_cut_or_covers_another(opened: Tab) -> None:
    assert opened.tab.locator(".chart svg:visible").count() == 6
    assert opened.tab.evaluate(CUT) == []


def test_marks_of_charts_say_what_they_show(opened: Tab) -> None:
    titles = opened.tab.eval_on_selector_all(".chart title", "all => all.map(one => one.textContent)")
    for said in ("unfixed: fails every scenario", "unfixed, translate: "):
        assert any(title.startswith(said) for title in titles), said
    assert not any(title.startswith("lock ") for title in titles)  # its price changes nothing
    assert opened.tab.locator("svg[aria-label^='What the overhead is made of: arm926 with']:visible").count() == 1


@pytest.mark.parametrize(
    "opened",
    [{"viewport": {"width": 1280, "height": 900}}, {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}],
    indirect=True,
    ids=["wide, light", "narrow, dark"],
)
def test_axe_finds_nothing_that_shuts_anybody_out(opened: Tab) -> None:
    """Names, contrast, landmarks, headings, tables: all rules of axe-core, with a counterexample and tables open."""
    opened.step_through("td.fails a >> nth=0")
    opened.tab.evaluate("document.querySelectorAll('details').forEach((one, at) => { one.open = at % 9 === 0; })")
    opened.shuts_nobody_out()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_of_a_protocol_can_be_stepped_through_and_read(
    verdicts: tuple[Path, Path, dict[str, Any], str], chromium: Any, width: int
) -> None:
    tab = Tab(chromium, verdicts[0], viewport={"width": width, "height": 900})
    tab.tab.select_option("#filter-host", "power")
    assert tab.tab.locator("#results td[data-label='ppc-g4']:visible").count() == 0
    tab.step_through("td.fails a:visible >> nth=0")
    tab.tab.keyboard.press("End")
    assert tab.tab.locator(".lanes td.now.wrong").count() == 1
    assert tab.tab.inner_text("#because").endswith("(line 38): execute W: anything, which is wrong.")
    assert tab.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.tab.evaluate(CUT) == []
    tab.shuts_nobody_out()
    assert tab.wrong == []
    tab.context.close()


def test_the_pages_of_sweeps_are_readable_everywhere(
    tiny_trace: Path, tmp_path: Path, chromium: Any, staleline: Staleline
) -> None:
    """The curves of strategies and the map of sites: one file, nothing cut or covered, and nothing that axe finds."""
    pytest.importorskip("vl_convert", reason="vl-convert-python is not installed: nothing is drawn")
    few = "--strategy unfixed,idempotent,side-table --scenario system --vary retranslations=1..100000x3log"
    sites = "slot patch-flush --scenario link --host sifive-u74,ppc-g4 --vary executions=1..1e6x3log"
    for name, asked, narrow in (("curves", few, True), ("map", f"{sites} --vary costs.line=1..500x2log", False)):
        page = tmp_path / f"{name}.html"
        assert staleline(f"sweep {tiny_trace} {asked} --format html --output {page}").status == 0
        outline = Outline(page.read_text("utf-8"))
        assert (outline.open, outline.elsewhere) == ([], [])
        size = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"} if narrow else {}
        opened = Tab(chromium, page, **size)
        assert opened.tab.evaluate(CUT) == []
        assert opened.tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        said = opened.tab.eval_on_selector_all(
            ".chart [role=graphics-symbol] title", "all => all.map(one => one.textContent)"
        )
        assert any("is cheapest from" in text if narrow else "executions 1, costs.line 1" in text for text in said)
        opened.tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        opened.shuts_nobody_out()
        assert opened.wrong == []
        opened.context.close()


def test_what_the_stepper_marks_is_not_the_final_value(opened: Tab) -> None:
    """Core 0 still has the right word, which is not what a debugger reads; core 1 runs the temporary one."""
    tab = opened.tab
    tab.evaluate("location.hash = '#flush-on-retranslation/board/arm@2010/user/6'")
    tab.wait_for_selector("#beside .word")
    marked = tab.eval_on_selector_all("#beside > div", "all => all.map(one => one.innerText.replace(/\\n+/g, ' '))")
    assert [text.split(" 0a")[0] for text in marked] == ["Core 0 would fetch", "Core 1 would fetch", "A debugger reads"]
    assert marked[0].endswith("the final value, not what a debugger reads")
    assert all(text.endswith("\u2717 not the final value") for text in marked[1:])
    assert tab.locator("#beside .ok").count() == 1


def test_lanes_slide_under_their_names(opened: Tab) -> None:
    tab = opened.tab
    tab.set_viewport_size({"width": 390, "height": 844})
    opened.step_through("td.fails a >> nth=0")
    tab.keyboard.press("End")
    tab.evaluate("document.getElementById('lanes').scrollIntoView()")
    assert tab.evaluate("document.getElementById('lanes').scrollLeft") > 50
    at = "[...document.querySelectorAll('.lanes tr')].map(row => row.cells[0].getBoundingClientRect())"
    assert tab.evaluate(f"{at}.every(box => document.elementFromPoint(box.right - 4, box.top + 4)?.cellIndex === 0)")


def test_the_table_fits_a_laptop_and_a_phone_shows_a_verdict_at_once(opened: Tab) -> None:
    tab = opened.tab
    tab.set_viewport_size({"width": 1280, "height": 900})
    assert tab.evaluate("(box => box.scrollWidth <= box.clientWidth)(document.getElementById('results').parentElement)")
    tab.set_viewport_size({"width": 390, "height": 844})
    first = tab.locator("#results td[data-label='system']").first.bounding_box()
    assert first["y"] + first["height"] <= 844
    assert first["x"] + first["width"] <= 390


def test_on_paper_everything_is_unfolded_and_nothing_is_to_be_clicked(opened: Tab) -> None:
    tab = opened.tab
    opened.step_through("td.fails a >> nth=0")
    tab.emulate_media(media="print")
    tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert not tab.is_visible("#stepper")
    assert not tab.is_visible("#filters")
    assert tab.evaluate("[...document.querySelectorAll('details')].every(one => one.open)")
    assert tab.pdf()[:4] == b"%PDF"
    tab.evaluate("window.dispatchEvent(new Event('afterprint'))")
