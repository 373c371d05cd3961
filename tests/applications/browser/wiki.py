"""DokuWiki, from its installer to a page with a picture."""

import os
import struct
import tempfile
import zlib

from session import main

WIDTH, HEIGHT = 320, 200


def wiki(session):
    install(session)
    log_in(session)
    edit(session, "====== Written here ======\nFirst //version// of this page.")
    session.reads("#dokuwiki__content h1", "Written here")
    session.reads("#dokuwiki__content em", "version")
    upload(session)
    edit(session, "====== Written here ======\nNow with a picture: {{:noise.png}}")
    look(session)
    revisions(session)


def install(session):
    session.open("/install.php")
    session.fill("[name='d[title]']", "Behind the proxy")
    session.fill("[name='d[superuser]']", "ada")
    session.fill("[name='d[fullname]']", "Ada")
    session.fill("[name='d[email]']", "ada@example.org")
    session.fill("[name='d[password]']", "seventeen")
    session.fill("[name='d[confirm]']", "seventeen")
    session.picture("wiki-install")
    session.click("[name=submit]")
    session.reads("body", "The configuration was finished successfully")


def log_in(session):
    session.open("/doku.php?id=start&do=login")
    session.fill("#dw__login [name=u]", "ada")
    session.fill("#dw__login [name=p]", "seventeen")
    session.click("#dw__login [type=submit]")
    session.reads("#dokuwiki__usertools .user", "Ada")


def edit(session, text):
    session.open("/doku.php?id=start&do=edit")
    session.fill("#wiki__text", text)
    session.click("#edbtn__save")
    session.wait(lambda: not session.run("return document.querySelector('#wiki__text')"), "the saved page")


def upload(session):
    session.open("/doku.php?id=start&do=media&tab_files=upload")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "noise.png")
        with open(path, "wb") as file:
            file.write(noise())
        session.find("#mediamanager__uploader input[type=file]").send_keys(path)
        session.click("#mediamanager__upload_button")
        session.find("#mediamanager__uploader .qq-upload-success")
    session.picture("wiki-upload")


def look(session):
    """The picture is there, and whole."""
    size = session.wait(lambda: session.run("""
        const image = document.querySelector("#dokuwiki__content img.media");
        return image && image.complete && [image.naturalWidth, image.naturalHeight];
    """), "the picture")
    assert size == [WIDTH, HEIGHT], size
    session.picture("wiki-page")
    served = session.run_async("""
        const done = arguments[arguments.length - 1];
        fetch("/lib/exe/fetch.php?media=noise.png").then(answer => answer.arrayBuffer())
          .then(bytes => done(Array.from(new Uint8Array(bytes))));
    """)
    assert bytes(served) == noise()


def revisions(session):
    """Both versions are there."""
    session.open("/doku.php?id=start&do=revisions")
    count = session.run("return document.querySelectorAll('#page__revisions li').length")
    assert count == 2, count


def noise():
    """A PNG of bytes that a compressor cannot make small."""
    state, rows = 1, bytearray()
    for _ in range(HEIGHT):
        rows.append(0)
        for _ in range(3 * WIDTH):
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            rows.append(state >> 16 & 255)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(rows))) + chunk(b"IEND", b"")


# The installer wants to see that its data is out of reach; the pages that come with it are not installed here.
main({"wiki": wiki}, expected=["/data/dont-panic", "/favicon.ico", "media=wiki:dokuwiki-128.png"])
