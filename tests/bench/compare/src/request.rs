//! The parameters that `load` sends.

/// 25 of them, about 900 bytes, for a request with a body of so many bytes.
pub(crate) fn params(stdin_len: usize) -> [(&'static str, String); 25] {
    let (method, content_type, content_length) = match stdin_len {
        0 => ("GET", "", String::new()),
        len => ("POST", "application/octet-stream", len.to_string()),
    };
    [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_SOFTWARE", "mio-fcgi-load/0.1"),
        ("QUERY_STRING", ""),
        ("REQUEST_METHOD", method),
        ("CONTENT_TYPE", content_type),
        ("CONTENT_LENGTH", &content_length),
        ("SCRIPT_FILENAME", "/srv/www/bench"),
        ("SCRIPT_NAME", "/bench"),
        ("REQUEST_URI", "/bench"),
        ("DOCUMENT_URI", "/bench"),
        ("DOCUMENT_ROOT", "/srv/www"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REQUEST_SCHEME", "http"),
        ("REMOTE_ADDR", "192.0.2.17"),
        ("REMOTE_PORT", "52614"),
        ("SERVER_ADDR", "192.0.2.1"),
        ("SERVER_PORT", "80"),
        ("SERVER_NAME", "www.example.org"),
        ("REDIRECT_STATUS", "200"),
        ("HTTP_HOST", "www.example.org"),
        (
            "HTTP_USER_AGENT",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        (
            "HTTP_ACCEPT",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("HTTP_ACCEPT_ENCODING", "gzip, deflate, br, zstd"),
        ("HTTP_ACCEPT_LANGUAGE", "en-GB,en;q=0.8,de;q=0.5,fr;q=0.3"),
        (
            "HTTP_COOKIE",
            "session=0123456789abcdef0123456789abcdef; theme=light; consent=all; cart=9f86d081884c7d65",
        ),
    ]
    .map(|(name, value)| (name, value.to_owned()))
}
