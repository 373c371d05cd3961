"""Headless Chromium for one scenario: `python demo.py SCENARIO BASE-URL FOLDER [ARGUMENT…]`.

A scenario is a function of a module that takes a Session. It fails by raising, also when the page has logged an error.
Its last view is kept as FOLDER/SCENARIO.png, also when it failed.
"""

import os
import sys
import tempfile

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

# Seconds until a scenario fails that waits for something.
TIMEOUT = 30

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage"
    " --disable-background-networking --disable-component-update --disable-sync"
    # The machine's own name servers have nothing to do with a page on loopback.
    " --no-proxy-server --window-size=1100,1400"
)


class Session:
    """A browser and where it is to look."""

    def __init__(self, driver, base, folder, arguments):
        self.driver = driver
        self.base = base
        self.folder = folder
        self.arguments = arguments

    def open(self, path):
        self.driver.get(self.base + path)

    def find(self, css):
        return self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, css), css)[0]

    def fill(self, css, text):
        field = self.find(css)
        field.clear()
        field.send_keys(text)

    def click(self, css):
        self.find(css).click()

    def reads(self, css, *parts):
        """Waits until an element shows each of these texts. A page on its way in shows them later than the element."""
        for part in parts:
            self.wait(lambda: part in self.find(css).text, f"{css} reads {part!r}")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def run_async(self, script):
        """Runs a script that calls its last argument when it is done."""
        return self.driver.execute_async_script(script)

    def wait(self, condition, what):
        """Waits until a condition holds; returns its value. It is asked again when the page is replaced meanwhile."""
        message = f"never came true: {what}"
        again = [StaleElementReferenceException]
        return WebDriverWait(self.driver, TIMEOUT, 0.02, again).until(lambda _: condition(), message)

    def picture(self, name):
        self.driver.save_screenshot(os.path.join(self.folder, name + ".png"))

    def complaints(self, expected):
        """What the browser has logged as errors, without those that name something expected."""
        messages = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        return [message for message in messages if not any(each in message for each in expected)]


def main(scenarios, expected=()):
    name, base, folder, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in FLAGS.split():
            options.add_argument(flag)
        options.add_argument(f"--user-data-dir={profile}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
        session = Session(driver, base, folder, arguments)
        try:
            driver.set_script_timeout(TIMEOUT)
            scenarios[name](session)
            complaints = session.complaints(expected)
            assert not complaints, complaints
        finally:
            session.picture(name)
            driver.quit()
