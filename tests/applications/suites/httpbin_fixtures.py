"""A plugin for pytest: the fixtures of `requests`' tests, for an httpbin that is there already.

HTTPBIN_URL is its address. Tests that do not ask it are left out.
"""

import os
import socket
import ssl
import threading
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import trustme

ADDRESS = os.environ["HTTPBIN_URL"]

# Some tests set these, and none may ask a proxy of the machine.
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]


def pytest_collection_modifyitems(config, items):
    asking = [item for item in items if {"httpbin", "httpbin_secure"} & set(item.fixturenames)]
    config.hook.pytest_deselected(items=[item for item in items if item not in asking])
    items[:] = asking


@pytest.fixture(scope="session")
def httpbin():
    return SimpleNamespace(url=ADDRESS)


@pytest.fixture(scope="session")
def httpbin_secure(authority):
    """A terminator of TLS in front, which passes bytes on in both directions."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=terminate, args=(listener, context), daemon=True).start()
    return SimpleNamespace(url="https://127.0.0.1:%d" % listener.getsockname()[1])


@pytest.fixture(scope="session")
def httpbin_ca_bundle(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


def terminate(listener, context):
    target = urlsplit(ADDRESS)
    while True:
        client, _ = listener.accept()
        try:
            client = context.wrap_socket(client, server_side=True)
            server = socket.create_connection((target.hostname, target.port))
        except OSError:
            # A client that does not trust the certificate.
            client.close()
            continue
        for pair in [(client, server), (server, client)]:
            threading.Thread(target=pump, args=pair, daemon=True).start()


def pump(source, sink):
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
