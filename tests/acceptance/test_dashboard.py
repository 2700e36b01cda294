"""The dashboard in a browser: on a desk and on a phone, in the dark and by keyboard, with nothing from elsewhere.

`DASHBOARD_PICTURES=docs/images python -m pytest tests/acceptance/test_dashboard.py` makes the README's pictures.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.acceptance import samples
from tests.acceptance.browser import Browser, chromium
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import ROOT, Product, wait_until
from tests.acceptance.test_web import address_of, get

SCREENS = {"desk": (1280, 900), "phone": (360, 740)}
ACCESSIBLE = {("desk", "light"), ("phone", "dark")}  # each screen and each scheme once: it takes its time
EVIL = "<script>document.title='owned'</script>"
TOKEN = "a-token-of-some-length"

# A day of history behind the files that were loaded: three types every 20 minutes, few at night, one in 120 failed
HISTORY = """
INSERT INTO pipeline_file_log (file_name, file_path, file_hash, file_size, file_type, logical_name, source_table,
    status, total_records, valid_records, quarantined, inserted_records, rejection_stage, duration_ms, spec_hash,
    processed_at, error)
SELECT name, '/srv/fastfeast/data/input/stream/' || name, md5(name || '-' || n), 1000, 'stream',
       split_part(name, '.', 1), target, CASE WHEN bad THEN 'failed' ELSE 'success' END, total, total - refused,
       refused, total - refused, 'schema', 15 + total / 4 + CASE WHEN n % 31 = 0 THEN 400 ELSE n * 7 % 60 END, 'x',
       now() - make_interval(mins => 1460 - n * 20), CASE WHEN bad THEN 'is not UTF-8 text' END
FROM (SELECT *, CASE WHEN bad THEN 0 ELSE total * (2 + n % 4) / 100 END AS refused
      FROM (SELECT n, name, target, (n * 7 + length(name)) % 120 = 0 AS bad,
                   CASE WHEN (n * 7 + length(name)) % 120 = 0 THEN 0
                        ELSE (base * (1.1 + sin(n / 72.0 * 6.28)))::int END AS total
            FROM generate_series(1, 72) n,
                 (VALUES ('orders.json', 'fact_order', 320), ('tickets.csv', 'fact_ticket', 40),
                         ('ticket_events.json', 'fact_ticket_event', 90)) files (name, target, base)) a) b;
UPDATE pipeline_file_log SET processed_at = now() - interval '30 minutes' - file_id * interval '10 seconds'
WHERE file_id <= 40;
UPDATE quarantine SET quarantined_at = now() - (quarantine_id * 7919 % 1400) * interval '1 minute';
UPDATE quarantine SET resolution = CASE WHEN quarantine_id % 4 = 0 THEN 'true_orphan' ELSE 'loaded' END,
    resolved_at = now() WHERE rejection_stage = 'orphan' AND quarantine_id % 2 = 0;
UPDATE fact_ticket SET created_at = (now() AT TIME ZONE 'UTC') - (ticket_sk * 13 % 1200) * interval '1 minute';
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def site(browser: Browser, make_product: MakeProduct) -> Iterator[str]:
    """The address of a dashboard with a day of data, some of it hostile."""
    product = make_product(web={"enabled": True, "port": 0}, quarantine={"retry_minutes": 60})
    simulate(product)
    product.stream("23", "orders.json", [samples.order(1, order_id=EVIL, payment_method=EVIL)])
    product.once()
    connection = product.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute(HISTORY)
    connection.close()
    with product.running() as daemon:
        address = address_of(daemon)
        wait_until(lambda: get(f"{address}/readyz")[0] == 200, "it is ready")
        wait_until(lambda: "fastfeast_open_orphans{" in get(f"{address}/metrics")[1], "it has looked")
        yield address


def simulate(product: Product) -> None:
    today = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    command = [sys.executable, "-m", "scripts.simulate_day", "--date", today, "--hours", "9-11", "--rows", "250"]
    subprocess.run([*command, "--seed", "5"], cwd=ROOT, env=product.environment(), check=True, capture_output=True)


def pages(browser: Browser, site: str) -> list[str]:
    """Every kind of page, with something on each."""
    browser.driver.get(f"{site}/files?status=success&logical_name=orders")
    first = browser.driver.find_element(By.CSS_SELECTOR, "tbody a").get_attribute("href")
    assert first
    return ["/", "/?period=30d", "/files", "/quarantine", first.removeprefix(site), "/nowhere"]


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_speaks_to_everybody_and_asks_nobody_else(
    browser: Browser, site: str, screen: str, scheme: str
) -> None:
    every = pages(browser, site)
    browser.look(*SCREENS[screen], scheme)
    browser.complaints()
    browser.requested()
    for page in every:
        browser.driver.get(site + page)
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth"), f"{page} scrolls sideways"
        if (screen, scheme) in ACCESSIBLE:
            assert browser.faults() == [], page
        background = browser.run("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) < 200) == (scheme == "dark")
    assert [text for text in browser.complaints() if "/nowhere" not in text] == []
    assert browser.requested() == {site}


def test_the_pictures_for_the_documentation(browser: Browser, site: str) -> None:
    folder = os.environ.get("DASHBOARD_PICTURES")
    if not folder:
        pytest.skip("made when DASHBOARD_PICTURES names a folder")
    for name, page, screen, scheme, height in (
        ("overview", "/", "desk", "light", 1290),
        ("dark", "/", "desk", "dark", 800),
        ("quarantine", "/quarantine", "desk", "light", 560),
        ("phone", "/", "phone", "light", 1100),
    ):
        browser.look(*SCREENS[screen], scheme)
        browser.driver.get(site + page)
        if name == "quarantine":
            browser.driver.find_elements(By.CSS_SELECTOR, "tbody summary")[1].click()
        browser.picture(Path(folder) / f"dashboard-{name}.png", height)


def test_the_tab_key_reaches_everything_in_order_and_shows_where_it_is(browser: Browser, site: str) -> None:
    for page in ("/", "/files", "/quarantine"):
        browser.look(*SCREENS["desk"], "light")
        browser.driver.get(site + page)
        wanted = browser.run(
            "return [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')]"
            ".filter(e => e.checkVisibility({contentVisibilityAuto: true}) && e.type !== 'hidden')"
            ".map((e, i) => { e.dataset.n = i; return String(i); })"
        )
        reached = []
        for _ in wanted:
            browser.driver.switch_to.active_element.send_keys(Keys.TAB)
            reached.append(browser.run("return document.activeElement.dataset.n"))
            outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
            assert outline not in {"none", ""}, browser.run(
                "return document.activeElement.outerHTML.slice(0, 200)"
            )
        assert reached == wanted


def test_the_skip_link_leads_to_the_content(browser: Browser, site: str) -> None:
    browser.driver.get(site)
    browser.driver.switch_to.active_element.send_keys(Keys.TAB)
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "main"


def test_files_are_searched_and_paged(browser: Browser, site: str) -> None:
    driver = browser.driver
    browser.look(*SCREENS["phone"], "light")
    driver.get(f"{site}/files")
    assert len(driver.find_elements(By.CSS_SELECTOR, "tbody tr")) == 50
    newest = driver.find_element(By.CSS_SELECTOR, "tbody a").get_attribute("href")
    driver.find_element(By.LINK_TEXT, "Older →").click()
    assert driver.find_element(By.CSS_SELECTOR, "tbody a").get_attribute("href") != newest
    driver.find_element(By.LINK_TEXT, "← Newest").click()
    assert driver.find_element(By.CSS_SELECTOR, "tbody a").get_attribute("href") == newest
    driver.find_element(By.NAME, "text").send_keys("TICKETS.csv", Keys.ENTER)
    wait_until(lambda: "text=TICKETS.csv" in driver.current_url, "the search is sent")
    names = {row.text for row in driver.find_elements(By.CSS_SELECTOR, "tbody th bdi")}
    assert {name.rpartition("/")[2] for name in names} == {"tickets.csv"}
    assert driver.find_element(By.NAME, "text").get_attribute("value") == "TICKETS.csv"


def test_what_a_chart_shows_is_in_its_table_too(browser: Browser, site: str) -> None:
    browser.look(*SCREENS["desk"], "light")
    browser.driver.get(site)
    figures = browser.driver.find_elements(By.CSS_SELECTOR, "figure.chart")
    assert len(figures) == 5
    for figure in figures:
        figure.find_element(By.TAG_NAME, "summary").click()
        rows = figure.find_elements(By.CSS_SELECTOR, "tbody tr")
        assert len(rows) == 24
        assert any(character in "123456789" for row in rows for character in row.text[5:])
        assert figure.find_element(By.TAG_NAME, "svg").get_attribute("aria-label")
    hit = figures[0].find_elements(By.CSS_SELECTOR, ".hit")[5]
    browser.run("arguments[0].dispatchEvent(new PointerEvent('pointermove', {bubbles: true}))", hit)
    assert "loaded" in figures[0].find_element(By.CSS_SELECTOR, ".says").text


def test_the_theme_can_be_chosen_and_stays(browser: Browser, site: str) -> None:
    browser.look(*SCREENS["desk"], "light")
    browser.driver.get(site)
    shade = "return getComputedStyle(document.body).backgroundColor"
    light = browser.run(shade)
    browser.driver.find_element(By.ID, "theme").click()
    dark = browser.run(shade)
    browser.driver.get(f"{site}/files")
    assert browser.run(shade) == dark != light
    browser.driver.delete_all_cookies()


def test_nothing_moves_for_those_who_want_it_so(browser: Browser, site: str) -> None:
    browser.look(*SCREENS["desk"], "light", motion="reduce")
    browser.driver.get(site)
    moving = (
        "return [...document.querySelectorAll('*')].some(e => getComputedStyle(e).transitionDuration !== '0s')"
    )
    assert browser.run(moving) is False


def test_hostile_values_are_text(browser: Browser, site: str) -> None:
    browser.driver.get(f"{site}/quarantine?text=owned")
    browser.driver.find_element(By.CSS_SELECTOR, "tbody summary").click()
    assert EVIL in browser.driver.find_element(By.CSS_SELECTOR, "dl.record").text
    assert browser.driver.title.startswith("Quarantine")


def test_a_token_is_asked_for_and_then_known(browser: Browser, make_product: MakeProduct) -> None:
    product = make_product(web={"enabled": True, "port": 0, "token": TOKEN})
    driver = browser.driver
    with product.running() as daemon:
        driver.get(address_of(daemon))
        assert driver.current_url.endswith("/login")
        assert browser.faults() == []
        field = driver.find_element(By.NAME, "token")
        field.send_keys("not-the-token", Keys.ENTER)
        wait_until(lambda: "That is not the token" in driver.page_source, "it says so")
        driver.find_element(By.NAME, "token").send_keys(TOKEN, Keys.ENTER)
        wait_until(lambda: "Overview" in driver.title, "it lets in")
        assert browser.run("return document.cookie") == ""
        driver.find_element(By.XPATH, "//button[text()='Sign out']").click()
        wait_until(lambda: driver.current_url.endswith("/login"), "it forgets")
    driver.delete_all_cookies()
