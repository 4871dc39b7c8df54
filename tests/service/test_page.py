"""The page of the service in a real browser: a click changes the list, its reasons, and what was begun."""

import fcntl
import json
import os
import shutil
import subprocess
import time

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium"),
    pytest.mark.skipif(os.name != "posix", reason="the browser is told what to do through a pipe"),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
]


class Browser:
    """Headless Chromium, driven by the DevTools protocol: JSON with a zero byte behind, on descriptors 3 and 4."""

    def __init__(self, folder):
        theirs_in, self.to = os.pipe()
        self.come, theirs_out = os.pipe()
        high = [fcntl.fcntl(one, fcntl.F_DUPFD, 20) for one in (theirs_in, theirs_out)]

        def place():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=place,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for one in (theirs_in, theirs_out, *high):
            os.close(one)
        self.number, self.held, self.session = 0, b"", None

    def tell(self, method, **how):
        """Return what a command gives."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": how}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.held:
                some = os.read(self.come, 1 << 16)
                assert some, "Chromium has gone"
                self.held += some
            one, self.held = self.held.split(b"\0", 1)
            answer = json.loads(one)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def open(self, address):
        target = self.tell("Target.createTarget", url=address)["targetId"]
        self.session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def run(self, script):
        """Return the value of a piece of JavaScript."""
        found = self.tell("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script):
        end = time.monotonic() + 60
        while not self.run(script):
            assert time.monotonic() < end, self.run("document.body.innerText")
            time.sleep(0.05)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        os.close(self.come)


@pytest.fixture
def browser(service, tmp_path):
    """A browser with the page of the service open."""
    found = Browser(tmp_path)
    found.open(service.address + "/")
    found.until("document.body?.dataset.looked > 0")
    found.run("globalThis.id = name => document.getElementById(name)")
    yield found
    found.close()


LIST = "[...document.querySelectorAll('#list li')].map(line => line.dataset.item)"
WHY = "document.querySelector('#list small').textContent"


def show(browser, user):
    looked = browser.run("Number(document.body.dataset.looked)")
    browser.run(f"id('user').value = '{user}'; id('user').onchange()")
    browser.until(f"Number(document.body.dataset.looked) > {looked} || id('error').textContent")


def click(browser, where):
    looked = browser.run("Number(document.body.dataset.looked)")
    browser.run(f"document.querySelector({json.dumps(where)}).click()")
    browser.until(f"Number(document.body.dataset.looked) > {looked}")
    assert browser.run("id('error').textContent") == ""


def test_clicks_change_lists_reasons_and_what_was_begun(service, browser):
    show(browser, 888_888)
    stranger = browser.run(LIST)
    assert len(stranger) == 8
    assert browser.run(WHY) == "what most people choose"
    assert browser.run("id('touch').textContent") == "None within the week."

    click(browser, "#any [data-event=view]")
    first = browser.run(LIST)
    assert first != stranger
    assert "i07" not in first
    assert browser.run(WHY).startswith("because of i07 (web)")

    click(browser, "#list li:nth-child(2) [data-event=dislike]")
    assert first[1] not in browser.run(LIST)

    third = browser.run(LIST)[0]
    click(browser, "#list [data-event=add_to_cart]")
    assert third not in browser.run(LIST)
    assert browser.run("id('resume').textContent").startswith(f"{third}, on web")
    assert browser.run("document.querySelectorAll('#log li').length") == 3


def test_a_message_is_shown_for_somebody_who_consented(service, browser, company):
    users = company[0].audience.users.ids[:40].tolist()
    user = next(one for one in users if service.ask("touch", {"user_id": one}) is not None)
    show(browser, user)
    assert "% likely" in browser.run("id('touch').textContent")


def test_consent_is_given_and_withdrawn_and_a_person_forgotten(service, browser, company):
    users = company[0].audience.users.ids[:40].tolist()
    user = next(one for one in users if service.ask("touch", {"user_id": one}) is not None)
    show(browser, user)
    for place in (2, 4):
        click(browser, f"#consents button:nth-child({place})")
    assert browser.run("id('touch').textContent") == "None within the week."
    click(browser, "#forget")
    assert "events removed" in browser.run("id('log').textContent")
    assert "nothing is known" in browser.run("id('cold').textContent")


@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_is_wider_than_the_window(browser, width):
    how = {"width": width, "height": 850, "deviceScaleFactor": 1, "mobile": False}
    browser.tell("Emulation.setDeviceMetricsOverride", **how)
    show(browser, 1004)
    assert browser.run("innerWidth") == width
    assert browser.run("document.documentElement.scrollWidth") <= width
    lowest = "Math.min(...[...document.querySelectorAll('button')].map(one => one.offsetHeight))"
    assert browser.run(lowest) >= (40 if width == 400 else 30)


def test_an_error_is_shown(service, browser):
    show(browser, "")
    assert "user_id: must be an id" in browser.run("id('error').textContent")
