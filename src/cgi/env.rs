//! From an HTTP request to the parameters of a FastCGI one (RFC 3875, 4.1).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::bytes::{breaks_lines, has_any, is_token};
use super::env_error::EnvError;
use super::fields::{self, FieldRules};
use super::script::{Script, base, without_slash};
use super::writer::Writer;
use crate::params::{Known, Params, SharedParams};

/// An HTTP request, from which the parameters for an application are made.
///
/// [`write_to`](Self::write_to) appends the variables of RFC 3875, 4.1, those that PHP expects in addition, and the
/// request's fields as `HTTP_*`. **A parameter that is already in the [`Params`] wins**: a name that the embedder has
/// pushed, or shares between requests, is not written again, whether the second value would come from here or from the
/// client.
///
/// | variables | from |
/// |-----------|------|
/// | `GATEWAY_INTERFACE`, `SERVER_SOFTWARE`, `REDIRECT_STATUS` | constant |
/// | `REQUEST_METHOD`, `SERVER_PROTOCOL`, `REQUEST_URI`, `QUERY_STRING` | the request line |
/// | `DOCUMENT_ROOT`, `SCRIPT_FILENAME`, `SCRIPT_NAME`, `DOCUMENT_URI`, `PATH_INFO`, `PATH_TRANSLATED` | [`script`](Self::script) |
/// | `REQUEST_SCHEME`, `HTTPS` | [`https`](Self::https) |
/// | `SERVER_NAME`, `SERVER_ADDR`, `SERVER_PORT`, `REMOTE_ADDR`, `REMOTE_PORT` | the addresses and `Host` |
/// | `CONTENT_LENGTH` | [`content_length`](Self::content_length), never the client's field |
/// | `CONTENT_TYPE`, `HTTP_*` | the fields, as far as [`FieldRules`] pass them |
///
/// Set what is known of the connection: without [`remote`](Self::remote), neither `REMOTE_ADDR`, which applications rely
/// on, nor `REMOTE_PORT` is written. Without [`server`](Self::server), `SERVER_PORT` is 80, or 443 with
/// [`https`](Self::https), whatever the listener's port is, and `SERVER_ADDR` is not written.
///
/// Not written: `AUTH_TYPE`, `REMOTE_USER`, `REMOTE_IDENT` and `REMOTE_HOST`; for clients of a Unix socket `REMOTE_ADDR`.
/// Push these where they are needed.
///
/// ```
/// use mio_fcgi::Params;
/// use mio_fcgi::cgi::{Env, Script};
///
/// let script = Script::new("/srv/www", "/index.php", "/news");
/// let fields = [(&b"Host"[..], &b"example.org"[..]), (b"Proxy", b"http://evil.example")];
///
/// let mut params = Params::default();
/// params.push("SERVER_NAME", "www.example.org"); // stays
/// Env::new(b"GET", b"/index.php/news?page=2", fields.into_iter(), &script)
///     .with_remote(([192, 0, 2, 1], 49152).into())
///     .write_to(&mut params)?;
///
/// assert_eq!(params.get("SCRIPT_FILENAME"), Some(&b"/srv/www/index.php"[..]));
/// assert_eq!(params.get("QUERY_STRING"), Some(&b"page=2"[..]));
/// assert_eq!(params.get("REMOTE_ADDR"), Some(&b"192.0.2.1"[..]));
/// assert_eq!(params.get("SERVER_NAME"), Some(&b"www.example.org"[..]));
/// assert_eq!(params.get("HTTP_PROXY"), None);
/// # Ok::<(), mio_fcgi::cgi::EnvError>(())
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Env<'a, F> {
    /// The method.
    pub method: &'a [u8],
    /// The target as received, not decoded: a path, with or without a query, or `*`.
    pub target: &'a [u8],
    /// The protocol version. Default: `HTTP/1.1`.
    pub protocol: &'a [u8],
    /// The fields, in order. They are iterated more than once.
    pub fields: F,
    /// Which fields are passed, and how.
    pub rules: FieldRules,
    /// The script for the target.
    pub script: &'a Script,
    /// The parameters of the script, encoded once for many requests: see [`Script::params`]. They replace those that
    /// [`script`](Self::script) would give. Default: `None`.
    pub script_params: Option<&'a SharedParams>,
    /// Whether the client's connection uses TLS. Default: false, which applications take for an insecure connection.
    pub https: bool,
    /// The address that the client has connected to; `None` for a Unix socket. Default: `None`, and so the scheme's port.
    pub server: Option<SocketAddr>,
    /// The client's address. Default: `None`, and so no `REMOTE_ADDR`.
    pub remote: Option<SocketAddr>,
    /// The name of the server. It replaces the client's `Host` as `SERVER_NAME`.
    pub server_name: Option<&'a [u8]>,
    /// The length of the body, in bytes. `None` leaves it to the submitted body, or to the embedder.
    pub content_length: Option<u64>,
    /// Whether this is for an Authorizer, which gets no `CONTENT_LENGTH`, `PATH_INFO`, `PATH_TRANSLATED` and
    /// `SCRIPT_NAME` (FastCGI 1.0, 6.3).
    pub authorizer: bool,
}

impl<'a, F> Env<'a, F>
where
    F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
{
    /// A request over HTTP/1.1 without TLS. Its addresses are unknown.
    pub fn new(method: &'a [u8], target: &'a [u8], fields: F, script: &'a Script) -> Self {
        Self {
            method,
            target,
            protocol: b"HTTP/1.1",
            fields,
            rules: FieldRules::default(),
            script,
            script_params: None,
            https: false,
            server: None,
            remote: None,
            server_name: None,
            content_length: None,
            authorizer: false,
        }
    }

    /// Sets [`protocol`](Self::protocol), such as `HTTP/2.0`.
    #[must_use]
    pub fn with_protocol(mut self, protocol: &'a [u8]) -> Self {
        self.protocol = protocol;
        self
    }

    /// Sets [`rules`](Self::rules), which decide what fields are passed.
    #[must_use]
    pub fn with_rules(mut self, rules: FieldRules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets [`script_params`](Self::script_params), the parameters of the script if they are encoded already.
    #[must_use]
    pub fn with_script_params(mut self, params: &'a SharedParams) -> Self {
        self.script_params = Some(params);
        self
    }

    /// Sets [`https`](Self::https), whether the client came by TLS.
    #[must_use]
    pub fn with_https(mut self, https: bool) -> Self {
        self.https = https;
        self
    }

    /// Sets [`remote`](Self::remote), the client's address.
    #[must_use]
    pub fn with_remote(mut self, address: SocketAddr) -> Self {
        self.remote = Some(address);
        self
    }

    /// Sets [`server`](Self::server), the listener's address.
    #[must_use]
    pub fn with_server(mut self, address: SocketAddr) -> Self {
        self.server = Some(address);
        self
    }

    /// Sets [`server_name`](Self::server_name), instead of what the client's `Host` says.
    #[must_use]
    pub fn with_server_name(mut self, name: &'a [u8]) -> Self {
        self.server_name = Some(name);
        self
    }

    /// Sets [`content_length`](Self::content_length), the length of the body in bytes.
    #[must_use]
    pub fn with_content_length(mut self, bytes: u64) -> Self {
        self.content_length = Some(bytes);
        self
    }

    /// Sets [`authorizer`](Self::authorizer), whether the request goes to an Authorizer.
    #[must_use]
    pub fn with_authorizer(mut self, authorizer: bool) -> Self {
        self.authorizer = authorizer;
        self
    }

    /// Appends the parameters. Allocates only when `params` has to grow.
    ///
    /// # Errors
    /// [`EnvError`], as a rule the client's fault: a server answers 400. `params` then holds a part of the parameters:
    /// clear it.
    pub fn write_to(&self, params: &mut Params) -> Result<(), EnvError> {
        let query = self.check()?;
        let mut writer = Writer::new(params);
        self.write_request(query, &mut writer);
        match self.script_params {
            Some(params) => writer.put_all(params),
            None => write_script(self.script, self.authorizer, &mut writer)?,
        }
        let host = fields::write(self.fields.clone(), self.rules, &mut writer)?;
        self.write_addresses(host, &mut writer);
        Ok(())
    }

    /// Refuses what other programs could read differently, and returns the query.
    fn check(&self) -> Result<&'a [u8], EnvError> {
        if !is_token(self.method) {
            return Err(EnvError::Method);
        }
        if has_any(self.protocol, |byte| !byte.is_ascii_graphic()) {
            return Err(EnvError::Protocol);
        }
        if self.target != b"*" && !self.target.starts_with(b"/") {
            return Err(EnvError::TargetForm);
        }
        // A fragment is not part of a target (RFC 9112, 3.2), and programs may disagree where it begins.
        let is_outside = |byte: u8| byte.is_ascii_control() || matches!(byte, b' ' | b'#');
        if has_any(self.target, is_outside)
            && let Some(byte) = self.target.iter().copied().find(|byte| is_outside(*byte))
        {
            return Err(EnvError::Target { byte });
        }
        if let Some(byte) = self.server_name.and_then(breaks_lines) {
            return Err(EnvError::ServerName { byte });
        }
        let question = self.target.iter().position(|byte| *byte == b'?');
        Ok(question.map_or(&[], |at| &self.target[at + 1..]))
    }

    fn write_request(&self, query: &[u8], writer: &mut Writer<'_>) {
        writer.put(GATEWAY_INTERFACE, b"CGI/1.1");
        writer.put(SERVER_SOFTWARE, SOFTWARE.as_bytes());
        // PHP built with force-cgi-redirect runs no script without it.
        writer.put(REDIRECT_STATUS, b"200");
        writer.put(REQUEST_METHOD, self.method);
        writer.put(SERVER_PROTOCOL, self.protocol);
        writer.put(REQUEST_URI, self.target);
        writer.put(QUERY_STRING, query);
        if self.https {
            writer.put(REQUEST_SCHEME, b"https");
            writer.put(HTTPS, b"on");
        } else {
            writer.put(REQUEST_SCHEME, b"http");
        }
        if let Some(bytes) = self.content_length
            && !self.authorizer
        {
            writer.put_number(CONTENT_LENGTH, bytes);
        }
    }

    fn write_addresses(&self, host: Option<&[u8]>, writer: &mut Writer<'_>) {
        let host = host.map(fields::host_name).filter(|name| !name.is_empty());
        let server = self.server.map(|address| address.ip().to_canonical());
        match (self.server_name.or(host), server) {
            (Some(name), _) => writer.put(SERVER_NAME, name),
            (None, Some(IpAddr::V6(ip))) => {
                writer.put_shown(SERVER_NAME, format_args!("[{ip}]"));
            }
            (None, Some(ip)) => writer.put_address(SERVER_NAME, ip),
            (None, None) => writer.put(SERVER_NAME, b"localhost"),
        }
        let by_scheme = if self.https { 443 } else { 80 };
        let port = self.server.map_or(by_scheme, |address| address.port());
        writer.put_number(SERVER_PORT, port.into());
        if let Some(ip) = server {
            writer.put_address(SERVER_ADDR, ip);
        }
        if let Some(address) = self.remote {
            writer.put_address(REMOTE_ADDR, address.ip().to_canonical());
            writer.put_number(REMOTE_PORT, address.port().into());
        }
    }
}

impl Script {
    /// The parameters of this script, to be encoded once and used for many requests: see
    /// [`Env::with_script_params`]. `authorizer`: whether these requests go to an
    /// [Authorizer](Env::authorizer).
    ///
    /// ```
    /// use mio_fcgi::Params;
    /// use mio_fcgi::cgi::{Env, Script};
    ///
    /// let script = Script::new("/srv/www", "/index.php", "/news");
    /// let script_params = script.params(false)?; // once
    ///
    /// let mut params = Params::default(); // per request
    /// Env::new(b"GET", b"/index.php/news", std::iter::empty(), &script)
    ///     .with_script_params(&script_params)
    ///     .write_to(&mut params)?;
    /// assert_eq!(params.get("PATH_INFO"), Some(&b"/news"[..]));
    /// # Ok::<(), mio_fcgi::cgi::EnvError>(())
    /// ```
    ///
    /// # Errors
    /// [`EnvError::Script`].
    pub fn params(&self, authorizer: bool) -> Result<SharedParams, EnvError> {
        let mut params = Params::default();
        write_script(self, authorizer, &mut Writer::new(&mut params))?;
        Ok(params.into_shared())
    }
}

fn write_script(
    script: &Script,
    authorizer: bool,
    writer: &mut Writer<'_>,
) -> Result<(), EnvError> {
    for part in [
        &script.root,
        &script.filename,
        &script.name,
        &script.path_info,
    ] {
        if let Some(byte) = breaks_lines(part) {
            return Err(EnvError::Script { byte });
        }
    }
    if !script.root.is_empty() {
        writer.put(DOCUMENT_ROOT, &script.root);
    }
    if !script.filename.is_empty() {
        writer.put(SCRIPT_FILENAME, &script.filename);
    }
    writer.put_joined(DOCUMENT_URI, [&script.name, &script.path_info]);
    if authorizer {
        return Ok(());
    }
    writer.put(SCRIPT_NAME, &script.name);
    if script.path_info.is_empty() {
        return Ok(());
    }
    writer.put(PATH_INFO, &script.path_info);
    if !script.root.is_empty() {
        writer.put_joined(PATH_TRANSLATED, [base(&script.root), &script.path_info]);
    }
    Ok(())
}

/// Shows neither the query nor the values of fields.
impl<'a, F> fmt::Debug for Env<'a, F>
where
    F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let path = self.target.split(|byte| *byte == b'?').next();
        let fields = self.fields.clone();
        let names: Vec<String> = fields.map(|(name, _)| shown(name)).collect();
        f.debug_struct("Env")
            .field("method", &shown(self.method))
            .field("path", &shown(path.unwrap_or_default()))
            .field("fields", &names)
            .field("script", &self.script)
            .finish_non_exhaustive()
    }
}

/// The constants of a site, to be shared between its requests: `GATEWAY_INTERFACE`, `SERVER_SOFTWARE`,
/// `REDIRECT_STATUS` and `DOCUMENT_ROOT`.
///
/// With a [`ScriptMap`](super::ScriptMap), pass its [root](super::ScriptMap::root): applications expect scripts below
/// their document root. Push any further constants, then make the parameters [shared](Params::into_shared).
///
/// ```
/// use mio_fcgi::{Params, cgi};
///
/// let mut constants = cgi::site_params("/srv/www");
/// constants.push("SERVER_NAME", "www.example.org").push("APP_ENV", "production");
/// let constants = constants.into_shared(); // once
/// let params = Params::with_shared(&constants); // per request
/// assert_eq!(params.get("DOCUMENT_ROOT"), Some(&b"/srv/www"[..]));
/// ```
pub fn site_params(document_root: impl AsRef<[u8]>) -> Params {
    let mut params = Params::default();
    params
        .push("GATEWAY_INTERFACE", "CGI/1.1")
        .push("SERVER_SOFTWARE", SOFTWARE)
        .push("REDIRECT_STATUS", "200")
        .push("DOCUMENT_ROOT", without_slash(document_root.as_ref()));
    params
}

const SOFTWARE: &str = concat!("mio-fcgi/", env!("CARGO_PKG_VERSION"));

const GATEWAY_INTERFACE: Known = Known::new("GATEWAY_INTERFACE");
const SERVER_SOFTWARE: Known = Known::new("SERVER_SOFTWARE");
const REDIRECT_STATUS: Known = Known::new("REDIRECT_STATUS");
const REQUEST_METHOD: Known = Known::new("REQUEST_METHOD");
const SERVER_PROTOCOL: Known = Known::new("SERVER_PROTOCOL");
const REQUEST_URI: Known = Known::new("REQUEST_URI");
const QUERY_STRING: Known = Known::new("QUERY_STRING");
const REQUEST_SCHEME: Known = Known::new("REQUEST_SCHEME");
const HTTPS: Known = Known::new("HTTPS");
const CONTENT_LENGTH: Known = Known::new("CONTENT_LENGTH");
const DOCUMENT_ROOT: Known = Known::new("DOCUMENT_ROOT");
const SCRIPT_FILENAME: Known = Known::new("SCRIPT_FILENAME");
const DOCUMENT_URI: Known = Known::new("DOCUMENT_URI");
const SCRIPT_NAME: Known = Known::new("SCRIPT_NAME");
const PATH_INFO: Known = Known::new("PATH_INFO");
const PATH_TRANSLATED: Known = Known::new("PATH_TRANSLATED");
const SERVER_NAME: Known = Known::new("SERVER_NAME");
const SERVER_PORT: Known = Known::new("SERVER_PORT");
const SERVER_ADDR: Known = Known::new("SERVER_ADDR");
const REMOTE_ADDR: Known = Known::new("REMOTE_ADDR");
const REMOTE_PORT: Known = Known::new("REMOTE_PORT");
