"""The page in a real browser: it renders, moves, warns, fits a phone, obeys the keyboard, loads nothing foreign."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.web.fake import SITES, TOKEN, Site, remember

from cellarer.history import Health, Reader
from cellarer.web import create, listen, server

if importlib.util.find_spec("playwright"):
    from playwright.sync_api import Browser, Page, expect, sync_playwright

    expect.set_options(timeout=20_000)  # shared machines are slow now and then

pytestmark = pytest.mark.needs("chromium", "playwright")

DESK, PHONE, SMALL, WALL = (1280, 900), (390, 844), (360, 640), (2560, 1440)
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class House:
    """A served site whose clock a test can stop."""

    site: Site
    url: str = ""
    age_s: float = 0.02
    recording: bool = True
    requested: list[str] = field(default_factory=list)  # by the browser
    said: list[str] = field(default_factory=list)  # on its console

    def source(self) -> tuple[dict[str, object], float]:
        return self.site.view(time.time() - self.age_s), self.age_s

    def recorder(self) -> Health:
        return Health(self.recording, "recording" if self.recording else "history is not recorded: the disk is full")


@contextlib.contextmanager
def served(site: Site, history: Path | None = None) -> Iterator[House]:
    house = House(site)
    reader = Reader(history) if history else None
    info = {"name": site.name, "note": "a made-up site", "packs": site.names}
    app = create(house.source, reader, site.ask, info, TOKEN, recorder=house.recorder)
    bound = listen()
    house.url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
    made = server(app)
    thread = threading.Thread(target=made.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield house
    finally:
        made.should_exit = True
        thread.join(10)
        bound.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "history.db"
    remember(Site(), path, span_s=4 * 3600, step_s=30)
    return path


@pytest.fixture
def house(history: Path) -> Iterator[House]:
    with served(Site(), history) as house:
        yield house


@contextlib.contextmanager
def opened(browser: Browser, house: House, size: tuple[int, int] = DESK, **options: object) -> Iterator[Page]:
    """Open the page, and see to it that nothing was complained about and nothing came from outside."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    page = context.new_page()
    page.on("request", lambda request: house.requested.append(request.url))
    page.on("console", lambda message: house.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: house.said.append(f"error: {error}"))
    page.goto(house.url)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    expect(page.locator(".huge")).not_to_be_empty()
    yield page
    context.close()
    assert [line for line in house.said if line.startswith(("error", "warning"))] == []
    assert {url.split("/", 3)[2] for url in house.requested} == {house.url.split("/")[2]}


def forget(house: House, status: str) -> None:
    """Do not count the answers that a test provoked among the complaints."""
    house.said = [line for line in house.said if status not in line]


def test_the_page_shows_the_site(browser: Browser, house: House) -> None:
    with opened(browser, house) as page:
        expect(page.locator("#site")).to_have_text("home")
        expect(page.locator("#cells-title")).to_have_text("16 cells")
        expect(page.locator("#cells-aside")).to_contain_text("lowest #7")
        expect(page.locator(".better")).to_have_text("a rest of 40 min narrows SOC from ±1.6 to ±0.9 %")
        expect(page.locator(".phase")).to_have_text("Closed")
        expect(page.locator("#fault-list")).to_contain_text("No active faults")
        expect(page.locator("#blind-list")).to_contain_text("insulation")
        expect(page.locator(".reasons")).to_contain_text("temperature low")
        expect(page.locator("#plot canvas")).to_be_visible()
        expect(page.locator("#event-list li")).to_have_count(8)
        expect(page.locator(".sensors li")).to_have_count(4)
        assert page.title().endswith("home · Cellarer")


def test_values_move(browser: Browser, house: House) -> None:
    with opened(browser, house) as page:
        for _ in range(3):
            expect(page.locator(".facts")).not_to_have_text(page.locator(".facts").text_content() or "")


def test_cells_are_really_drawn(browser: Browser, house: House) -> None:
    colors = """() => { const c = document.querySelector('.stage canvas'); const seen = {};
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        for (let i = 0; i < d.length; i += 4) if (d[i + 3] === 255) {
            const k = [d[i], d[i + 1], d[i + 2]].join(); seen[k] = (seen[k] ?? 0) + 1; }
        return Object.values(seen).filter((n) => n > 300).length >= 3; }"""
    with opened(browser, house) as page:
        page.wait_for_function(colors)  # bars, the lowest, the highest


def test_a_stale_snapshot_is_unmistakable(browser: Browser, house: House) -> None:
    with opened(browser, house) as page:
        expect(page.locator("#stale")).to_be_hidden()
        house.age_s = 42.0
        expect(page.locator("#stale")).to_be_visible()
        expect(page.locator("#stale-title")).to_contain_text("No fresh data for 4")
        expect(page.locator("#alarm")).to_contain_text("old")
        assert page.locator("#stale").bounding_box()["height"] > 70  # type: ignore[index]
        assert "grayscale" in page.locator("#hero").evaluate("e => getComputedStyle(e).filter")
        house.age_s = 0.02
        expect(page.locator("#stale")).to_be_hidden()


def test_a_dead_server_is_unmistakable(browser: Browser, history: Path) -> None:
    with served(Site(), history) as house:
        context = browser.new_context()
        page = context.new_page()
        page.goto(house.url)
        expect(page.locator(".huge")).not_to_be_empty()
        house.site.closed[0] = False
        expect(page.locator("#open")).to_have_text("Is open")
    expect(page.locator("#stale")).to_be_visible()
    expect(page.locator("#stale-text")).to_contain_text("server does not answer")
    expect(page.locator("#open")).to_have_text("Open")  # what is old proves nothing
    context.close()


def test_a_recorder_that_fails_is_told(browser: Browser, house: House) -> None:
    house.recording = False
    with opened(browser, house) as page:
        expect(page.locator("#recorder")).to_contain_text("disk is full")


def test_unknown_values_are_not_zeros(browser: Browser, house: House) -> None:
    plain = house.site.view

    def blind(unix_s: float) -> dict[str, object]:
        view = plain(unix_s)
        pack = view["packs"][0]  # type: ignore[index]
        for each in (pack, pack["strings"][0]):
            each.update({key: None for key, value in each.items() if isinstance(value, float)})
        cells = pack["strings"][0]["cells"]
        pack["strings"][0]["cells"] = {
            k: v if k == "bleeding" else [None if i % 3 else x for i, x in enumerate(v)] for k, v in cells.items()
        }
        pack["strings"][0].update(lowest_cell=None, highest_cell=None, temps_degC=[None, 21.0])
        pack["strings"][0]["limits"].update(charge_A=None, discharge_A=0.0)
        pack["strings"][0]["balancing"]["missing"] = ["cell 2 is not known"]
        return view

    house.site.view = blind  # type: ignore[method-assign]
    with opened(browser, house) as page:
        expect(page.locator(".huge")).to_have_text("–")
        expect(page.locator(".way")).to_have_text("unknown")
        expect(page.locator(".legend")).to_contain_text("without a fresh voltage")
        expect(page.locator(".idle")).to_have_text("Not balanced now: cell 2 is not known.")
        expect(page.locator(".sensors")).to_contain_text("unknown")
        assert "NaN" not in page.locator("main").inner_text()


TOO_WIDE = """() => [...document.querySelectorAll('main .card')].filter((card) => !card.hidden &&
    [...card.querySelectorAll('p, b, dd, dt, li, canvas, button, svg')].some((e) => e.getClientRects().length &&
    !e.closest('.scroll, .tip, .hidden, .name') &&
    e.getBoundingClientRect().right > card.getBoundingClientRect().right + 1)).map((card) => card.id)"""


@pytest.mark.parametrize("kind", SITES)
def test_every_site_fits_every_screen(browser: Browser, kind: str) -> None:
    site = SITES[kind]()
    site.fault = True
    with served(site) as house, opened(browser, house, WALL) as page:
        expect(page.locator(".fault").first).to_contain_text("cell 7")
        for size, theme in ((WALL, "light"), (DESK, "dark"), (PHONE, "light"), (SMALL, "dark")):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
            assert page.evaluate(TOO_WIDE) == []
            box = page.locator("#open-bar" if size[0] < 620 else "#open").bounding_box()
            assert box is not None
            assert box["height"] >= 36
            assert box["y"] + box["height"] <= size[1]  # in reach without scrolling
        forget(house, "503")  # this site has no history


def test_opening_needs_no_token_but_a_second_look(browser: Browser, house: House) -> None:
    with opened(browser, house, PHONE, has_touch=True) as page:
        page.locator("#open-bar").tap()
        page.get_by_role("button", name="Cancel").tap()
        assert house.site.asked == []
        page.locator("#open-bar").tap()
        page.get_by_role("button", name="Open now").tap()
        expect(page.locator("#toast")).to_contain_text("request open granted")
        expect(page.locator(".phase")).to_have_text("Open")
        expect(page.locator(".missing")).to_contain_text("obody has asked to close")
    assert [(r["what"], r["pack"]) for r in house.site.asked] == [("open", 0)]


def test_closing_needs_the_token_and_works_by_keyboard(browser: Browser, house: House) -> None:
    house.site.closed[0] = False
    with opened(browser, house) as page:
        page.locator("#token").focus()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Close"
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        expect(page.locator("#toast")).to_contain_text("token")
        assert house.site.asked == []
        page.locator("#token").fill(TOKEN)
        page.get_by_role("button", name="Close", exact=True).click()
        page.locator("#confirm-yes").click()
        expect(page.locator(".phase")).to_have_text("Closed")
        page.locator("#value-set_soc").fill("80.5")
        page.get_by_role("button", name="Set charge %").click()
        page.locator("#confirm-yes").click()
        expect(page.locator("#toast")).to_contain_text("set_soc granted")
        forget(house, "401")
    assert [(r["what"], r["value"]) for r in house.site.asked] == [("close", None), ("set_soc", 80.5)]


def test_a_refused_request_says_why(browser: Browser, house: House) -> None:
    house.site.fault, house.site.closed[0] = True, False
    with opened(browser, house) as page:
        page.locator("#token").fill(TOKEN)
        page.get_by_role("button", name="Close", exact=True).click()
        page.locator("#confirm-yes").click()
        expect(page.locator("#toast")).to_contain_text("must clear and be reset")
        forget(house, "409")


def test_packs_can_be_chosen_and_all_opened(browser: Browser) -> None:
    with served(SITES["bank"]()) as house, opened(browser, house) as page:
        expect(page.locator(".tile")).to_have_count(20)
        page.locator(".tile").nth(4).click()
        expect(page.locator("#cells-title")).to_have_text("rack 05 · 16 cells")
        page.locator("#open").click()
        page.get_by_role("button", name="Open all packs").click()
        expect(page.locator("#bank-aside")).to_contain_text("0 of 20 packs closed")
        forget(house, "503")  # this site has no history
    assert sorted(int(str(r["pack"])) for r in house.site.asked) == list(range(20))


def test_cells_can_be_asked_one_by_one(browser: Browser, house: House) -> None:
    with opened(browser, house) as page:
        canvas = page.locator(".stage canvas")
        canvas.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        expect(page.locator(".tip")).to_contain_text("Cell 2")
        page.keyboard.press("End")
        expect(page.locator(".tip")).to_contain_text("Cell 16")
        box = canvas.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 60, box["y"] + 60)
        expect(page.locator(".tip")).to_contain_text("Cell 1")
        page.locator("summary").click()
        expect(page.locator("#cells tbody tr")).to_have_count(16)


def test_history_ranges_and_lines(browser: Browser, house: House) -> None:
    with opened(browser, house) as page:
        for name in ("Power", "Cells", "Heat", "Charge"):
            page.locator("#history-what").get_by_role("button", name=name, exact=True).click()
            expect(page.locator("#history-what [aria-pressed=true]")).to_have_text(name)
        with page.expect_response(lambda response: "from=-900" in response.url) as answer:
            page.locator("#history-range").get_by_role("button", name="15 min").click()
        assert answer.value.ok
        expect(page.locator("#plot canvas")).to_be_visible()
        expect(page.locator("#plot .u-legend")).to_contain_text("state of charge")
        expect(page.locator("#plot .u-legend")).to_contain_text(" %")  # the newest value


def test_everything_has_a_name_for_screen_readers(browser: Browser, house: House) -> None:
    nameless = """() => [...document.querySelectorAll('button, input, canvas, [role=img], section, dialog')]
        .filter((e) => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') ||
        e.textContent.trim() || e.labels?.length ||
        e.closest('dialog:not([open]), .plot[aria-label]')))
        .map((e) => e.outerHTML.slice(0, 90))"""
    with opened(browser, house) as page:
        expect(page.locator("#plot")).to_have_attribute(
            "aria-label", re.compile("Charge, last 6 h: state of charge .* %")
        )
        assert page.evaluate(nameless) == []
        assert page.locator("h1").count() == 1
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"


def test_the_colour_scheme_can_be_chosen_and_stays(browser: Browser, house: House) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, house, color_scheme="light") as page:
        light = page.evaluate(background)
        page.locator("#theme").click()  # dark
        assert page.evaluate(background) != light
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
