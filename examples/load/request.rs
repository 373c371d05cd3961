//! The request that is sent repeatedly: 25 parameters of about 900 bytes in total, as a Web server sends them.

use std::sync::Arc;

use mio_fcgi::wire::{self, RecordType, Role};
use mio_fcgi::{Body, Params, Request, SharedParams};

use crate::arguments::{Arguments, Set};

/// The parameters that a site has in common.
const SITE: [&str; 9] = [
    "GATEWAY_INTERFACE",
    "SERVER_SOFTWARE",
    "SERVER_PROTOCOL",
    "REQUEST_SCHEME",
    "DOCUMENT_ROOT",
    "SERVER_ADDR",
    "SERVER_PORT",
    "SERVER_NAME",
    "REDIRECT_STATUS",
];

/// The template that each request is made from.
#[derive(Debug)]
pub(crate) struct Template {
    /// What is the same for all requests of a site, encoded once.
    site: SharedParams,
    /// What comes from the HTTP request and its connection.
    params: Vec<(String, String)>,
    body: Arc<[u8]>,
}

impl Template {
    pub(crate) fn new(arguments: &Arguments, set: &Set) -> Self {
        let path = set.script.as_deref().unwrap_or("/srv/www/bench");
        let (root, name) = path.rsplit_once('/').unwrap_or((".", path));
        let uri = format!("/{name}");
        let (method, content_type, content_length) = match arguments.stdin_len {
            0 => ("GET", "", String::new()),
            len => ("POST", "application/octet-stream", len.to_string()),
        };
        let mut params: Vec<(String, String)> = [
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("SERVER_SOFTWARE", "mio-fcgi-load/0.1"),
            ("QUERY_STRING", ""),
            ("REQUEST_METHOD", method),
            ("CONTENT_TYPE", content_type),
            ("CONTENT_LENGTH", &content_length),
            ("SCRIPT_FILENAME", path),
            ("SCRIPT_NAME", &uri),
            ("REQUEST_URI", &uri),
            ("DOCUMENT_URI", &uri),
            ("DOCUMENT_ROOT", root),
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
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in &set.params {
            match params.iter_mut().find(|param| param.0 == *name) {
                Some(param) => param.1.clone_from(value),
                None => params.push((name.clone(), value.clone())),
            }
        }
        let (site, params): (Vec<_>, Vec<_>) = params
            .into_iter()
            .partition(|(name, _)| SITE.contains(&name.as_str()));
        Self {
            site: Params::from_iter(site).into_shared(),
            params,
            body: vec![b'x'; arguments.stdin_len].into(),
        }
    }

    /// Fills a request, as a Web server does: the site's parameters and the body are shared, the others encoded again.
    pub(crate) fn fill(&self, request: &mut Request) {
        request.params.set_shared(&self.site);
        for (name, value) in &self.params {
            request.params.push(name, value);
        }
        if !self.body.is_empty() {
            request.body = Body::shared(Arc::clone(&self.body));
        }
    }

    /// Appends the whole request as records.
    ///
    /// # Errors
    /// [`wire::EncodeError`] for a parameter longer than 2 GiB.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        request_id: u16,
    ) -> Result<(), wire::EncodeError> {
        let mut pairs = Vec::new();
        for (name, value) in &Params::with_shared(&self.site) {
            wire::write_pair(&mut pairs, name, value)?;
        }
        for (name, value) in &self.params {
            wire::write_pair(&mut pairs, name.as_bytes(), value.as_bytes())?;
        }
        wire::write_begin_request(out, request_id, Role::Responder, true);
        wire::write_params_records(out, request_id, &[&pairs]);
        wire::write_stream_end(out, RecordType::Params, request_id);
        wire::write_stream(out, RecordType::Stdin, request_id, &self.body);
        wire::write_stream_end(out, RecordType::Stdin, request_id);
        Ok(())
    }
}
