"""The page in headless Chromium: it draws, fills while it draws, goes back along the trajectory, and needs no mouse."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from device_loops import Host
from gaussian_model import conditional_card
from PIL import Image
from served import WAIT, GatedEngine, Server
from toy_engine import eps_of_label

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("selenium", reason="selenium is not installed")

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Debian's packages chromium and chromium-driver are missing"),
]


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(WAIT)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser):
    """Opens the page of a server; at the end, its console must be empty."""
    browser.get_log("browser")

    def show(server, width=1000, height=900):
        browser.set_window_size(width, height)
        browser.get(f"http://127.0.0.1:{server.port}/")
        return Page(browser)

    yield show
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


class Page:
    """What the tests do with the page."""

    def __init__(self, browser):
        self.browser = browser

    def __getitem__(self, name):
        return self.browser.find_element("id", name)

    def wait_for(self, text):
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.browser, WAIT).until(lambda _: text in self["status"].text, f"no {text!r}")

    def set(self, name, value):
        script = "const f = arguments[0]; f.value = arguments[1]; f.dispatchEvent(new Event('change'))"
        self.browser.execute_script(script, self[name], str(value))

    def sources(self):
        return [image.get_attribute("src") for image in self["gallery"].find_elements("tag name", "img")]

    def pictures(self):
        content = [base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in self.sources()]
        return [np.asarray(Image.open(io.BytesIO(png))) for png in content]


def png_at(server, url):
    return np.asarray(Image.open(io.BytesIO(server.get(url).body)))


def test_a_gallery_fills_and_every_picture_says_how_to_draw_it_again(page):
    with Server({"toy": Host()}) as server:
        shown = page(server)
        shown.wait_for("Choose, then draw")
        for name, value in (("seed", 2**63 + 1), ("count", 3), ("steps", 12)):
            shown.set(name, value)
        shown["draw"].click()
        shown.wait_for(f"3 pictures of seed {2**63 + 1}")
        known = [png_at(server, f"/v1/models/toy/images/{2**63 + 1}/{n}.png?steps=12") for n in range(3)]
        for found, expected in zip(shown.pictures(), known, strict=True):
            np.testing.assert_array_equal(found, expected)
        shown["gallery"].find_elements("tag name", "button")[2].click()
        url = shown["details-url"].text
        assert url.startswith(f"http://127.0.0.1:{server.port}/v1/models/toy@")
        np.testing.assert_array_equal(png_at(server, re.sub("^http://[^/]*", "", url)), known[2])
        assert shown["details-seed"].text == str(2**63 + 1)
        assert shown["details-command"].text == (
            f"ddpm-rt sample --engine toy.onnx --seed {2**63 + 1} --first 2 --count 1 --sampler ddim --steps 12 "
            "--out 000002.png"
        )


def test_previews_appear_while_the_network_runs_and_the_slider_goes_back_to_them(page):
    engine = GatedEngine()
    with Server({"toy": engine}) as server:
        shown = page(server)
        shown.wait_for("Choose, then draw")
        for name, value in (("count", 1), ("steps", 4)):
            shown.set(name, value)
        shown["draw"].click()
        engine.wait_for_call()
        engine.step()
        server.wait_until(lambda: shown.sources() != [] and shown.sources()[0])
        first = shown.sources()[0]
        assert not shown["trajectory"].is_displayed()
        engine.open()
        shown.wait_for("1 pictures of seed 7")
        last = shown.sources()[0]
        assert first != last
        slider = shown["slider"]
        assert slider.get_attribute("max") == "4"
        for _ in range(4):
            slider.send_keys("\ue012")  # the left arrow
        assert shown.sources() == [first]
        assert shown["step-text"].text == "1 of 4: predicted"
        slider.send_keys("\ue010")  # the end
        assert shown.sources() == [last]


def test_a_phone_number_is_written_by_a_model_of_ten_classes(page):
    means = np.linspace(-1, 1, 11)

    def eps_of_digit(x, t, y):
        from toy_engine import ALPHA_BAR, COEFFICIENT

        mean = means[y].astype(np.float32)[:, None, None, None]
        signal = np.sqrt(ALPHA_BAR).astype(np.float32)[t][:, None, None, None]
        return COEFFICIENT[t][:, None, None, None] * (x - signal * mean)

    with Server({"digits": Host(eps_of_digit, conditional_card(classes=11, null_class=10))}) as server:
        shown = page(server, width=390, height=800)
        shown.wait_for("Choose, then draw")
        shown["number"].send_keys("+30 210-99")
        shown.set("steps", 5)
        shown["draw"].click()
        shown.wait_for("7 pictures of seed 7")
        for place, digit in enumerate([3, 0, 2, 1, 0, 9, 9]):
            known = png_at(server, f"/v1/models/digits/images/7/{place}.png?steps=5&label={digit}")
            np.testing.assert_array_equal(shown.pictures()[place], known)
        script = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert shown.browser.execute_script(script), "the page is wider than a phone"


def test_labels_and_guidance_are_shown_where_the_model_has_them(page):
    with Server({"toy": Host(), "classes": Host(eps_of_label, conditional_card())}) as server:
        shown = page(server)
        shown.wait_for("Choose, then draw")
        assert not shown["label"].is_displayed()
        shown.set("model", "classes")
        assert shown["label"].is_displayed()
        assert shown["guidance"].is_displayed()
        assert not shown["number"].is_displayed()  # for models of ten classes
        for name, value in (("label", 2), ("guidance", 2.5), ("count", 2), ("steps", 4)):
            shown.set(name, value)
        shown["draw"].click()
        shown.wait_for("2 pictures of seed 7")
        known = png_at(server, "/v1/models/classes/images/7/1.png?steps=4&label=2&guidance=2.5")
        np.testing.assert_array_equal(shown.pictures()[1], known)


def test_everything_is_reached_with_the_keyboard(page):
    with Server({"toy": Host()}) as server:
        shown = page(server)
        shown.wait_for("Choose, then draw")
        shown.set("count", 2)
        shown["seed"].send_keys("\ue007")  # enter
        shown.wait_for("2 pictures of seed 7")
        script = """
          const all = [...document.querySelectorAll('button, input, select, a')].filter(e => e.checkVisibility());
          return all.filter(e => e.tabIndex < 0 || (!e.disabled && !(e.labels?.length || e.textContent.trim() ||
            e.getAttribute('aria-label')))).map(e => e.outerHTML)"""
        assert shown.browser.execute_script(script) == []
        first = shown["gallery"].find_elements("tag name", "button")[0]
        first.send_keys("\ue007")
        assert shown["details"].get_attribute("open")
        shown["details"].send_keys("\ue00c")  # escape
        assert shown["details"].get_attribute("open") is None
        assert shown.browser.switch_to.active_element == first


def test_stopping_leaves_the_lanes(page):
    engine = GatedEngine()
    with Server({"toy": engine}) as server:
        shown = page(server)
        shown.wait_for("Choose, then draw")
        shown["draw"].click()
        engine.wait_for_call()
        shown["stop"].click()
        shown.wait_for("Stopped.")
        server.wait_until(lambda: server.scheduler.load() == (0, 0))


def test_a_refusal_is_shown_as_its_sentence(page):
    with Server({"toy": Host()}) as server:
        shown = page(server)
        shown.wait_for("Choose, then draw")
        shown.browser.execute_script("document.getElementById('form').noValidate = true")
        shown.set("count", 99)
        shown["draw"].click()
        shown.wait_for("count must be at most 16 on this server, not 99")
        shown.browser.get_log("browser")  # Chromium itself logs the status 422


def test_a_token_is_asked_for_and_sent(page):
    from ddpm_rt.serve.app import Access

    with Server({"toy": Host()}, access=Access(token=b"0123456789abcdef")) as server:
        shown = page(server)
        shown.wait_for("This server needs a token")
        shown["token"].send_keys("0123456789abcdef\t")
        shown.wait_for("Choose, then draw")
        shown.set("count", 1)
        shown["draw"].click()
        shown.wait_for("1 pictures of seed 7")
        shown.browser.get_log("browser")  # the status 401


def test_nothing_but_the_files_of_the_page_may_run():
    with Server({"toy": Host()}) as server:
        for path in ("/", "/page.js", "/page.css"):
            found = server.get(path)
            policy = found.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert server.get(path, If_None_Match=found.headers["ETag"]).status == 304
            text = found.body.decode()
            assert not re.search(r"https?://(?!127)", text)
            assert not re.search(r"\son\w+=|style=|innerHTML|eval\(", text)
        assert json.loads(server.get("/v1/models").body)
