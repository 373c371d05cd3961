"""The page of the demo application."""

from session import main

# Keeps what an element has held, each time it changes.
WATCH = """
const [element, read] = [document.querySelector(arguments[0]), new Function("element", "return " + arguments[1])];
window.seen = [];
new MutationObserver(() => window.seen.push(read(element)))
  .observe(element, { attributes: true, childList: true, subtree: true });
"""


def output_of(session, css):
    return session.run("return document.querySelector(arguments[0]).closest('section').querySelector('output').innerText", css)


def request(session):
    """The page shows the parameters of its own request."""
    session.open("/?a=b%20c")
    assert session.driver.title == "It works"
    session.reads("table", "QUERY_STRING a=b%20c", "REQUEST_METHOD GET", "HTTP_USER_AGENT Mozilla/5.0", "SERVER_PROTOCOL HTTP/1.1")


def form(session):
    """A form is sent, its answer is a page, and that leads back."""
    session.open("/")
    session.fill("#form [name=name]", 'Ada & "Zoë"')
    session.fill("#form [name=number]", "42")
    session.click("#form button")
    session.wait(lambda: session.driver.title == "The form", "the answer")
    session.reads("table", 'name Ada & "Zoë"', "number 42")
    session.picture("form-answer")
    session.click("main a")
    session.wait(lambda: session.driver.title == "It works", "back")


def upload(session):
    """An upload shows its progress, and then what arrived."""
    path, size, digest = session.arguments
    session.open("/")
    # So slow that the browser has something to tell, also on a busy machine.
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": int(size) // 3}
    session.driver.execute_cdp_cmd("Network.enable", {})
    session.driver.execute_cdp_cmd("Network.emulateNetworkConditions", limits)
    session.run(WATCH, "#upload progress", "element.value")
    session.find("#upload [type=file]").send_keys(path)
    session.click("#upload button")
    session.wait(lambda: session.run("return window.seen.some(value => value > 0 && value < 1)"), "progress")
    session.picture("upload-progress")
    session.wait(lambda: digest in output_of(session, "#upload"), "the hash")
    assert f"{size} bytes arrived" in output_of(session, "#upload")
    seen = session.run("return window.seen")
    steps = sorted(set(value for value in seen if value > 0))
    assert len(steps) > 2 and seen == sorted(seen) and steps[-1] == 1, seen


def stream(session):
    """A streamed answer is shown piece by piece while it is being made."""
    session.open("/")
    session.run(WATCH, "#stream ~ output", "element.innerText")
    session.click("#stream button")
    session.wait(lambda: "line 3 of 10" in output_of(session, "#stream"), "the third line")
    session.picture("stream-half")
    session.wait(lambda: "line 10 of 10" in output_of(session, "#stream"), "the last line")
    seen = session.run("return window.seen")
    # A busy machine may show several at once, but not all.
    counts = [text.count(" of 10\n") for text in seen]
    assert len(set(counts)) > 2 and counts == sorted(counts), seen
    lines = [f"line {number} of 10" for number in range(1, 11)]
    assert [line.split("  ")[-1] for line in seen[-1].splitlines()] == lines, seen[-1]


def stop(session):
    """A streamed answer that is no longer wanted ends at once, for the page and for the application."""
    session.open("/")
    # By the page itself, and of a stream that outlasts every pause of a busy machine.
    session.run("""
        const fetched = window.fetch;
        window.fetch = (address, options) => fetched(address.replace("n=10", "n=1000"), options);
        const [start, stop] = document.querySelectorAll("#stream button");
        const output = document.querySelector("#stream ~ output");
        new MutationObserver(() => { if (output.innerText.includes("line 1 of 1000")) stop.click(); })
          .observe(output, { childList: true });
        start.click();
    """)
    session.wait(lambda: "stopped" in output_of(session, "#stream"), "the stop")
    session.wait(lambda: status(session)["requests"]["failed"] == 1, "the end of the request")
    assert status(session)["requests"]["in_flight"] == 0
    assert "line 1000 of" not in output_of(session, "#stream")


def slow(session):
    """While a slow answer is awaited, others are served."""
    session.open("/")
    session.run(WATCH, "#slow ~ output", "element.innerText")
    session.click("#slow button")
    session.wait(lambda: "answered after 1500 ms" in output_of(session, "#slow"), "the answer")
    assert any("waiting" in text for text in session.run("return window.seen"))
    tags = session.run_async("""
        const [done, tags] = [arguments[arguments.length - 1], [1, 2, 3, 4]];
        const [slow, tag] = [new AbortController(), each => fetch("/tag?tag=n" + each).then(answer => answer.text())];
        const late = fetch("/slow?ms=25000", { signal: slow.signal }).then(() => ["it was not slow"], () => []);
        Promise.race([late, Promise.all(tags.map(tag))]).then(first => { slow.abort(); done(first); });
    """)
    assert tags == ["n1", "n2", "n3", "n4"], tags


def echo(session):
    """Text goes to the application and back."""
    session.open("/")
    session.fill("#echo input", "¡Hola! 你好")
    session.click("#echo button")
    session.wait(lambda: output_of(session, "#echo") == "¡Hola! 你好", "the echo")


def small(session):
    """On a narrow screen nothing sticks out, and no name of a parameter is cut."""
    screen = {"width": 400, "height": 1400, "deviceScaleFactor": 1, "mobile": True}
    session.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    session.open("/")
    width = session.run("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert width == [400, 400], width
    cut = session.run("""
        return Array.from(document.querySelectorAll("th")).filter(name => {
          const range = document.createRange();
          range.selectNodeContents(name);
          return range.getClientRects().length > 1;
        }).map(name => name.innerText);
    """)
    assert not cut, cut


def figures(session):
    """The status page shows figures that move, and what hangs."""
    session.open("/-/status")
    session.run("""
        window.hang = new AbortController();
        fetch("/slow?ms=600000", { signal: hang.signal }).catch(() => {});
        (async () => { while (!hang.signal.aborted) await fetch("/tag?tag=a"); })();
    """)
    session.reads("#hanging", "GET /slow?ms=600000 HTTP/1.1", "the application has not answered", "127.0.0.1")
    number = lambda css: int(session.find(css).text.replace(",", ""))
    # The first figure is the rate of responses.
    session.wait(lambda: int(session.find("#tiles dd").text.split()[0].replace(",", "")) > 1, "a rate")
    completed = "#upstreams tbody [data-label=Completed]"
    before = number(completed)
    session.wait(lambda: number(completed) > before, "more requests")
    line = "#charts figure path.s0"
    drawn = session.find(line).get_attribute("d")
    session.wait(lambda: len(session.find(line).get_attribute("d")) > len(drawn), "another second in the chart")
    session.picture("figures-load")
    for width in [400, 1100]:
        screen = {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": width < 500}
        session.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        shown = session.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert shown[0] <= width and shown[1] == width, shown
        unnamed = session.run("return document.querySelectorAll('svg:not([aria-label]):not([aria-hidden])').length")
        assert unnamed == 0
    session.run("window.hang.abort()")
    session.wait(lambda: session.find("#hanging-none").is_displayed(), "the end of what hangs")
    assert not session.find("#hanging").is_displayed()


def status(session):
    return session.run_async("""
        const done = arguments[arguments.length - 1];
        fetch("/-/status.json").then(answer => answer.json()).then(done);
    """)


main({each.__name__: each for each in [request, form, upload, stream, stop, slow, echo, small, figures]})
