//! From an HTTP request to parameters, and from output to the head of a response.

use std::hint::black_box;

use mio_fcgi::cgi::{Env, HeadParser, Reply, ReplyTo, Script, site_params};
use mio_fcgi::{Completion, Outcome, Params, Report};

/// A browser's fields.
const FIELDS: [(&[u8], &[u8]); 9] = [
    (b"Host", b"shop.example.org"),
    (
        b"User-Agent",
        b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    (
        b"Accept",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    (b"Accept-Encoding", b"gzip, deflate, br, zstd"),
    (b"Accept-Language", b"en-GB,en;q=0.8,de;q=0.5,fr;q=0.3"),
    (
        b"Cookie",
        b"session=0123456789abcdef0123456789abcdef; theme=light; cart=9f86d081884c7d65",
    ),
    (b"Connection", b"keep-alive"),
    (b"Upgrade-Insecure-Requests", b"1"),
    (b"Sec-Fetch-Mode", b"navigate"),
];

/// As in a proxy: the site's constants are shared, the rest comes from the request.
pub(crate) fn env() -> Box<dyn FnMut()> {
    let constants = site_params("/srv/www/shop").into_shared();
    let script = Script::new("/srv/www/shop", "/index.php", "");
    let (server, remote) = (
        ([192, 0, 2, 1], 443).into(),
        ([192, 0, 2, 17], 52614).into(),
    );
    let mut params = Params::default();
    Box::new(move || {
        params.clear();
        params.set_shared(&constants);
        let target = black_box(b"/list/shoes?id=4711&sort=up");
        let env = Env::new(b"GET", target, black_box(&FIELDS).iter().copied(), &script)
            .with_server(server)
            .with_remote(remote);
        env.write_to(&mut params).expect("a good request");
        black_box(&params);
    })
}

/// A page of php-fpm's.
const PAGE: &[u8] =
    b"Status: 200 OK\r\nX-Powered-By: PHP/8.2.29\r\nExpires: Thu, 19 Nov 1981 08:52:00 GMT\r\n\
    Cache-Control: no-store, no-cache, must-revalidate\r\nSet-Cookie: session=0123456789abcdef; path=/\r\n\
    Content-Type: text/html; charset=UTF-8\r\nContent-Length: 16\r\n\r\nxxxxxxxxxxxxxxxx";

/// The head that php-fpm sends for a page.
pub(crate) fn head() -> Box<dyn FnMut()> {
    let mut parser = HeadParser::default();
    Box::new(move || {
        let complete = parser.push(black_box(PAGE)).expect("a good head");
        black_box(&complete);
    })
}

/// The same page, from output to the bytes for a client.
pub(crate) fn reply() -> Box<dyn FnMut()> {
    let mut reply = Reply::default();
    let mut out = Vec::new();
    let outcome: Outcome = Ok(Completion::new(0, Report::default()));
    Box::new(move || {
        out.clear();
        reply.begin(ReplyTo::new());
        let mut piece = black_box(PAGE);
        let fields = [
            ("Date", "Thu, 19 Nov 1981 08:52:00 GMT"),
            ("Server", "mio-fcgi"),
        ];
        if let Some(head) = reply.head(&mut piece, &mut out) {
            head.with_defaults(&fields).write(&mut out);
        }
        reply.stdout(piece, &mut out);
        black_box(reply.end(&outcome, &mut out));
        black_box(&out);
    })
}
