//! Steady state allocates nothing: parameters from a request, its body, heads and whole responses from output.

use mio_fcgi::cgi::{
    Env, HeadParser, Reply, ReplyTo, RequestBody, Script, Verdict, site_params, wants_keep_alive,
};
use mio_fcgi::{Completion, Params, Report};

/// Allocations of the second call and all later ones.
fn allocations(mut step: impl FnMut()) -> u64 {
    step();
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| step()));
    counted.count_total
}

#[test]
fn the_counter_counts() {
    let mut sum = 0;
    let counted = allocations(|| sum += std::hint::black_box(vec![1_u8; 10]).len());
    assert_eq!((counted, sum), (100, 1010));
}

#[test]
fn a_request_becomes_parameters_without_allocation() {
    let constants = site_params("/srv/www").into_shared();
    let script = Script::new("/srv/www", "/index.php", "/more");
    let fields: [(&[u8], &[u8]); 8] = [
        (b"Host", b"[2001:db8::1]:8443"),
        (b"Cookie", b"a=1"),
        (b"Cookie", b"b=2"),
        (b"Connection", b"keep-alive, X-Gone"),
        (b"X-Gone", b"1"),
        (b"Content-Type", b"text/plain"),
        (b"Accept", b"text/html"),
        (b"Accept", b"*/*"),
    ];
    let mut params = Params::default();
    let counted = allocations(|| {
        params.clear();
        params
            .set_shared(&constants)
            .push("REMOTE_USER", "somebody");
        Env::new(
            b"POST",
            b"/index.php/more?a=b",
            fields.iter().copied(),
            &script,
        )
        .with_server(([127, 0, 0, 1], 8443).into())
        .with_remote("[2001:db8::2]:50000".parse().expect("an address"))
        .with_content_length(u64::MAX)
        .write_to(&mut params)
        .expect("a valid request");
    });
    assert_eq!(params.get("HTTP_COOKIE"), Some(&b"a=1; b=2"[..]));
    assert_eq!(counted, 0);
}

#[test]
fn no_form_of_a_request_is_an_exception() {
    let script = Script::new("/srv/www", "/index.php", "/more");
    let long = "x".repeat(70_000);
    let fields: [(&[u8], &[u8]); 5] = [
        (b"Connection", b"close, X-Long"),
        (b"X-Long", long.as_bytes()),
        (b"TE", b"trailers"),
        (b"Authorization", b"Basic YTpi"),
        (b"X-Y", long.as_bytes()),
    ];
    let mut params = Params::default();
    for (server, name) in [
        ("[2001:db8::1]:443", "[2001:db8::1]"),
        ("[::ffff:192.0.2.1]:443", "192.0.2.1"),
        ("192.0.2.1:443", "192.0.2.1"),
    ] {
        for (passes, authorizer) in [(false, false), (true, false), (true, true)] {
            let counted = allocations(|| {
                params.clear();
                let mut env = Env::new(b"GET", b"/index.php/more", fields.iter().copied(), &script)
                    .with_server(server.parse().expect("an address"))
                    .with_remote("[fe80::1%7]:1".parse().expect("an address"));
                env.https = true;
                env.authorizer = authorizer;
                env.rules.pass_hop_by_hop = passes;
                env.rules.pass_authorization = passes;
                env.write_to(&mut params).expect("a valid request");
            });
            assert_eq!(params.get("SERVER_NAME"), Some(name.as_bytes()));
            assert_eq!(params.get("REMOTE_ADDR"), Some(&b"fe80::1"[..]));
            assert_eq!(params.get("HTTP_TE").is_some(), passes);
            assert_eq!(counted, 0, "{server}, {passes}, {authorizer}");
        }
    }
}

#[test]
fn bodies_of_requests_are_found_without_allocation() {
    let counted: [(&[u8], &[u8]); 3] = [
        (b"Host", b"a"),
        (b"Content-Length", b"4, 4"),
        (b"Expect", b"100-continue"),
    ];
    let chunked: [(&[u8], &[u8]); 2] = [
        (b"Connection", b"TE, close"),
        (b"Transfer-Encoding", b"chunked"),
    ];
    let in_chunks = b"3;a=b\r\nbod\r\n1\r\ny\r\n0\r\nX: y\r\n\r\n";
    let malformed = b"3\r\nbod\r\n1\r\ny\r\n0\r\nX: y\r\n\n";
    for (fields, sent) in [
        (&counted[..], &b"body"[..]),
        (&chunked, in_chunks),
        (&chunked, malformed),
    ] {
        for piece_len in [sent.len(), 5, 1] {
            let mut received = 0;
            let counted = allocations(|| {
                let fields = || fields.iter().copied();
                std::hint::black_box(wants_keep_alive(true, fields()));
                let mut body = RequestBody::new(true, fields(), 100).expect("valid");
                std::hint::black_box(body.take_continue());
                'pieces: for mut piece in sent.chunks(piece_len) {
                    loop {
                        match body.peek(&mut piece) {
                            Ok(Some(_)) => body.consume(&mut piece, 1),
                            Ok(None) => break,
                            Err(_) => break 'pieces,
                        }
                    }
                }
                assert_eq!(body.is_complete(), body.end().is_ok());
                received += body.received();
            });
            assert_eq!((received, counted), (4 * 101, 0), "pieces of {piece_len}");
        }
    }
}

#[test]
fn heads_are_parsed_without_allocation() {
    let bytes = b"Status: 103\nLink: x\n\nStatus: 404 Not Found\r\nContent-Type: text/html\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 4\r\n\r\nbody";
    for piece_len in [bytes.len(), 50, 7, 1] {
        let mut parser = HeadParser::default();
        let mut responses = 0;
        let counted = allocations(|| {
            'response: for piece in bytes.chunks(piece_len) {
                let mut rest = piece;
                while let Some((head, after)) = parser.push(rest).expect("a valid head") {
                    if !head.is_interim() {
                        assert_eq!((head.status(), head.fields().count()), (404, 4));
                        responses += 1;
                        break 'response;
                    }
                    rest = after;
                }
            }
        });
        assert_eq!((responses, counted), (101, 0), "pieces of {piece_len}");
    }
}

#[test]
fn replies_are_written_without_allocation() {
    let interim = b"Status: 103\nLink: x\n\nStatus: 404 Not Found\r\nConnection: close\r\nSet-Cookie: a=b\r\n";
    let plain = [&interim[..], b"\r\nbody"].concat();
    let counted = [&interim[..], b"Content-Length: 4\r\n\r\nbody and more"].concat();
    let chunked = [
        &interim[..],
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ]
    .concat();
    let completed = Ok(Completion::new(0, Report::default()));
    for output in [&plain, &counted, &chunked] {
        for piece_len in [output.len(), 50, 7, 1] {
            for http11 in [true, false] {
                let to = ReplyTo::new().with_http11(http11);
                let (mut reply, mut out) = (Reply::default(), Vec::new());
                let counted = allocations(|| {
                    out.clear();
                    reply.begin(to);
                    for mut piece in output.chunks(piece_len) {
                        if let Some(head) = reply.head(&mut piece, &mut out) {
                            head.with_defaults(&[("Server", "x")]).write(&mut out);
                        }
                        assert_eq!(reply.stdout(piece, &mut out), None);
                    }
                    let verdict = reply.end(&completed, &mut out);
                    assert!(matches!(verdict, Some(Verdict::Keep | Verdict::Close)));
                });
                assert_eq!((reply.body_len(), counted), (4, 0), "{piece_len}, {http11}");
            }
        }
    }
}
