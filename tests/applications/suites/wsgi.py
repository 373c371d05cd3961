"""Applications on flup. Serves the listening socket it inherits as file descriptor 0.

usage: wsgi.py dav|httpbin|validated plain|multiplexed
"""

import os
import sys

from flup.server.fcgi import WSGIServer


def dav():
    """WsgiDAV, with its files in the working directory."""
    from wsgidav.wsgidav_app import WsgiDAVApp

    os.makedirs("files", exist_ok=True)
    return WsgiDAVApp(
        {
            "provider_mapping": {"/": os.path.abspath("files")},
            "simple_dc": {"user_mapping": {"*": True}},
            "property_manager": True,
            "logging": {"enable": False},
        }
    )


def httpbin():
    from httpbin import app

    return app


def validated():
    """Responses of each shape that WSGI permits, to requests that wsgiref's validator has looked at.

    The last part of the path names the shape. The response is the method, a blank and the request's body.
    """
    from wsgiref.validate import validator

    return validator(answer)


def answer(environ, start_response):
    stream, pieces = environ["wsgi.input"], [environ["REQUEST_METHOD"].encode(), b" "]
    while piece := stream.read(16384):
        pieces.append(piece)
    fields = [("Content-Type", "application/octet-stream")]

    def later():
        start_response("200 OK", fields)
        yield from pieces

    shape = environ["PATH_INFO"].rpartition("/")[2]
    if shape == "closed":
        pieces = [b"%d" % Closing.closed]
    elif shape == "late":
        return later()
    elif shape == "length":
        fields.append(("Content-Length", str(sum(map(len, pieces)))))
    elif shape == "twice":
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-First", "yes")])
        try:
            raise ValueError("another response is better")
        except ValueError:
            start_response("203 Other", fields, sys.exc_info())
        return pieces
    write = start_response("200 OK", fields)
    if shape == "write":
        for piece in pieces:
            write(piece)
        return []
    if shape == "generator":
        return (piece for piece in pieces)
    if shape == "closing":
        return Closing(pieces)
    if shape == "empty":
        return [b"", *pieces, b""]
    return pieces


class Closing:
    """An iterable that counts how often its like is closed."""

    closed = 0

    def __init__(self, pieces):
        self.pieces = iter(pieces)

    def __iter__(self):
        return self.pieces

    def close(self):
        Closing.closed += 1


if __name__ == "__main__":
    application = {"dav": dav, "httpbin": httpbin, "validated": validated}[sys.argv[1]]()
    print("ready", file=sys.stderr, flush=True)
    WSGIServer(application, multiplexed=sys.argv[2] == "multiplexed").run()
