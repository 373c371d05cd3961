"""An application on flup. Serves the listening socket it inherits as file descriptor 0.

usage: app.py plain|multiplexed
"""

import sys
import time
from urllib.parse import parse_qs

from flup.server.fcgi import WSGIServer


def application(environ, start_response):
    path = environ.get("REQUEST_URI", "").split("?")[0]
    query = parse_qs(environ.get("QUERY_STRING", ""))

    def number(name, default):
        return int(query.get(name, [default])[0])

    status, content_type = "200 OK", "text/plain"
    if path == "/echo":
        body = echo(environ["wsgi.input"])
    elif path == "/tag":
        # A pattern's byte i is (seed + i) mod 251, as in harness/mod.rs.
        time.sleep(number("delay", 0) / 1000)
        seed, content_type = number("tag", 0), "application/octet-stream"
        body = bytes((seed + i) % 251 for i in range(number("size", 0)))
    elif path == "/stderr":
        environ["wsgi.errors"].write("a line for the error log\n")
        environ["wsgi.errors"].flush()
        body = b"answered\n"
    elif path == "/early":
        body = b"early\n"
    elif path == "/slow":
        time.sleep(number("ms", 100) / 1000)
        body = b"awake\n"
    else:
        status, body = "404 Not Found", b"no such path\n"
    start_response(status, [("Content-Type", content_type)])
    return [body]


def echo(stream):
    """Reads the whole body; answers with its length and hash (FNV-1a, 64 bits)."""
    length, digest = 0, 0xCBF29CE484222325
    while piece := stream.read(16384):
        length += len(piece)
        for byte in piece:
            digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return b"length=%d\nfnv1a64=%016x\n" % (length, digest)


if __name__ == "__main__":
    print("ready", file=sys.stderr, flush=True)
    WSGIServer(application, multiplexed=sys.argv[1] == "multiplexed").run()
