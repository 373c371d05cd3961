//! What a server answers with when a target leads to no script.

use std::{fs, io};

use mio_fcgi::cgi::{Reply, ReplyTo, Resolution, ScriptMap};

#[test]
fn a_target_that_leads_to_no_file_has_a_status() {
    let map = ScriptMap::remote("/srv");
    for (resolution, status) in [
        (map.resolve(b"/x.php"), None),
        (map.resolve(b"/x.css"), None),
        (
            Resolution::StaticFile {
                path: "/srv/x".into(),
                directory: "/srv".into(),
                relative: "x".into(),
            },
            None,
        ),
        (
            Resolution::Redirect {
                location: "/a/".into(),
            },
            Some(301),
        ),
        (Resolution::NotFound, Some(404)),
        (map.resolve(b"/../x"), Some(403)),
        (map.resolve(b"x"), Some(400)),
    ] {
        assert_eq!(resolution.http_status(), status, "{resolution:?}");
    }
}

#[test]
fn a_redirect_is_answered_with_its_location() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    fs::create_dir(dir.path().join("a b"))?;
    let resolution = ScriptMap::local(dir.path())?.resolve(b"/a%20b?c=\xff");
    let Resolution::Redirect { location } = resolution else {
        panic!("{resolution:?}");
    };
    let (mut out, mut reply) = (Vec::new(), Reply::new(ReplyTo::new()));
    reply.answer(301, &[("Location", &location)], b"", &mut out);
    let head =
        b"HTTP/1.1 301 Moved Permanently\r\nLocation: /a%20b/?c=%FF\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(out, head);
    Ok(())
}
