//! Which fields of an HTTP request an application gets, and in which form.

use std::net::Ipv6Addr;

use super::bytes::{alphanumeric_or, breaks_lines, is_named, is_token};
use super::env_error::EnvError;
use super::writer::Writer;
use crate::params::{Known, Names, map_byte};
use crate::settings::settings;

/// Which fields of a request are passed to the application.
///
/// Some rules are fixed. `Proxy` is dropped, because `HTTP_PROXY` means something else to many programs. Names with
/// anything but letters, digits and `-` are dropped, so that `X_Forwarded_For` cannot pose as `X-Forwarded-For`; for
/// underscores, [`pass_underscores`](Self::pass_underscores) can change that.
/// `Content-Length` and `Content-Type` do not become `HTTP_*`. Repeated fields are joined by `", "`, `Cookie` by `"; "`
/// (RFC 9110, 5.2; RFC 6265, 5.4). A second `Host` is an error, and so are a second `Content-Type` with another value and
/// credentials that are passed twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldRules {
    /// Passes `Authorization`, from which PHP reads basic credentials (RFC 3875, 4.1.18). Default: false.
    pub pass_authorization: bool,
    /// Passes `Proxy-Authorization`, which holds credentials for a proxy. Default: false.
    pub pass_proxy_authorization: bool,
    /// Passes fields that belong to the client's connection: those of [`is_hop_by_hop`], and those listed in
    /// `Connection`. Default: false.
    pub pass_hop_by_hop: bool,
    /// Passes fields with underscores in their names, such as `api_key`. Default: false.
    ///
    /// The application cannot tell `X_Forwarded_For` from `X-Forwarded-For`: both are `HTTP_X_FORWARDED_FOR`. So the
    /// field with underscores is dropped if the request also has the one with hyphens, or if another rule is about the
    /// one with hyphens (`Content_Length`). It is still up to the server to remove what a client may not claim, with
    /// underscores as well.
    pub pass_underscores: bool,
    /// The most fields of a request. The work grows with the square of the number of fields. Default: 256.
    pub max_fields: usize,
}

impl Default for FieldRules {
    fn default() -> Self {
        Self {
            pass_authorization: false,
            pass_proxy_authorization: false,
            pass_hop_by_hop: false,
            pass_underscores: false,
            max_fields: 256,
        }
    }
}

settings! { FieldRules {
    with_pass_authorization(pass_authorization: bool),
    with_pass_proxy_authorization(pass_proxy_authorization: bool),
    with_pass_hop_by_hop(pass_hop_by_hop: bool),
    with_pass_underscores(pass_underscores: bool),
    with_max_fields(max_fields: usize),
} }

/// Writes the fields and returns the value of `Host`.
pub(super) fn write<'a, F>(
    fields: F,
    rules: FieldRules,
    writer: &mut Writer<'_>,
) -> Result<Option<&'a [u8]>, EnvError>
where
    F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
{
    let (mut names, mut repeated_names) = (Names::EMPTY, Names::EMPTY);
    for (name, _) in fields.clone() {
        if names.may_have(name) {
            repeated_names.insert(name);
        }
        names.insert(name);
    }
    let mut options = Names::EMPTY;
    if !rules.pass_hop_by_hop && names.may_have(CONNECTION) {
        for (index, option) in connection_options(&fields).enumerate() {
            if index == MAX_OPTIONS {
                return Err(EnvError::ConnectionOptions { limit: MAX_OPTIONS });
            }
            options.insert(option);
        }
    }
    let mut host = None;
    for (index, (name, value)) in fields.clone().enumerate() {
        if index == rules.max_fields {
            let limit = rules.max_fields;
            return Err(EnvError::TooManyFields { limit });
        }
        let is_mapped = !name.is_empty() && has_only(name, &IS_MAPPED);
        if !is_mapped && !is_token(name) {
            return Err(EnvError::FieldName { index });
        }
        if let Some(byte) = breaks_lines(value) {
            return Err(EnvError::FieldValue { index, byte });
        }
        let mut earlier = fields.clone().take(index);
        let may_repeat = repeated_names.may_have(name);
        let repeated = may_repeat && earlier.any(|field| field.0.eq_ignore_ascii_case(name));
        let class = match is_mapped {
            true => Class::of(name),
            false => Class::of_other_bytes(name),
        };
        if repeated && let Some(name) = class.singleton(rules) {
            return Err(EnvError::Repeated { name });
        }
        match class {
            Class::ContentType if repeated => {
                // Clients that add what is there already are many, and the value is not in doubt.
                if values(&fields, name).any(|other| other != value.trim_ascii()) {
                    let name = "Content-Type";
                    return Err(EnvError::Repeated { name });
                }
            }
            Class::Host => {
                let value = value.trim_ascii();
                if !is_valid_host(value) {
                    return Err(EnvError::Host);
                }
                host = Some(value);
                writer.put_field(name, std::iter::once(value), b"");
            }
            Class::ContentType => writer.put(CONTENT_TYPE, value.trim_ascii()),
            _ if repeated || !class.is_passed(rules) => {}
            Class::Underscored if is_shadowed(&fields, index, name) => {}
            _ if options.may_have(name)
                && connection_options(&fields).any(|option| option.eq_ignore_ascii_case(name)) => {}
            _ if !may_repeat => writer.put_field(name, std::iter::once(value.trim_ascii()), b""),
            Class::Cookie => writer.put_field(name, values(&fields, name), b"; "),
            _ => writer.put_field(name, values(&fields, name), b", "),
        }
    }
    Ok(host)
}

/// A `Host` without its port. An IPv6 address keeps its brackets (RFC 3875, 4.1.14).
pub(super) fn host_name(host: &[u8]) -> &[u8] {
    let from = match host.first() {
        Some(b'[') => host.iter().position(|byte| *byte == b']').unwrap_or(0),
        _ => 0,
    };
    let colon = host[from..].iter().position(|byte| *byte == b':');
    &host[..colon.map_or(host.len(), |at| from + at)]
}

/// How a field is treated.
#[derive(Clone, Copy)]
enum Class {
    Host,
    ContentType,
    Cookie,
    Authorization,
    ProxyAuthorization,
    HopByHop,
    /// No rule passes it.
    Never,
    /// The name has underscores, and would be that of an `Other` with hyphens in their place.
    Underscored,
    Other,
}

impl Class {
    /// The class of a name that has no other bytes than letters, digits and `-`.
    fn of(name: &[u8]) -> Self {
        if !SPECIAL_NAMES.may_have(name) {
            return Self::Other;
        }
        if is_named(name, b"host") {
            return Self::Host;
        }
        let is = |special: &&str| special.as_bytes().eq_ignore_ascii_case(name);
        let found = SPECIAL.iter().find(|special| is(&special.0));
        found.map_or(Self::Other, |special| special.1)
    }

    #[cold]
    fn of_other_bytes(name: &[u8]) -> Self {
        let mut bytes = name.iter();
        let is_special = || SPECIAL.iter().any(|it| is_same(it.0.as_bytes(), name));
        match bytes.all(|byte| IS_MAPPED[usize::from(*byte)] || *byte == b'_') {
            true if !is_special() => Self::Underscored,
            _ => Self::Never,
        }
    }

    /// The name of a field that may be there only once: programs disagree about which one counts.
    fn singleton(self, rules: FieldRules) -> Option<&'static str> {
        match self {
            Self::Host => Some("Host"),
            Self::Authorization if rules.pass_authorization => Some("Authorization"),
            Self::ProxyAuthorization if rules.pass_proxy_authorization => {
                Some("Proxy-Authorization")
            }
            _ => None,
        }
    }

    fn is_passed(self, rules: FieldRules) -> bool {
        match self {
            Self::Never => false,
            Self::Underscored => rules.pass_underscores,
            Self::Authorization => rules.pass_authorization,
            Self::ProxyAuthorization => rules.pass_proxy_authorization,
            Self::HopByHop => rules.pass_hop_by_hop,
            Self::Host | Self::ContentType | Self::Cookie | Self::Other => true,
        }
    }
}

/// Whether another field has the parameter of the field at `index`, whose name has underscores: one that has hyphens in
/// their place, or an earlier one.
#[cold]
fn is_shadowed<'a, F>(fields: &F, index: usize, name: &[u8]) -> bool
where
    F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
{
    fields.clone().enumerate().any(|(at, (other, _))| {
        is_same(other, name)
            && !other.eq_ignore_ascii_case(name)
            && (at < index || !other.contains(&b'_'))
    })
}

/// Whether two names become the same parameter.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mapped = |name| <[u8]>::iter(name).map(|byte| map_byte(*byte));
    mapped(one).eq(mapped(other))
}

/// The options of all `Connection` fields.
fn connection_options<'a, F>(fields: &F) -> impl Iterator<Item = &'a [u8]> + use<'a, F>
where
    F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
{
    values(fields, CONNECTION)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// The values of all fields of one name.
fn values<'a, 'n, F>(
    fields: &F,
    name: &'n [u8],
) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n, F>
where
    F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
{
    fields
        .clone()
        .filter(move |field| field.0.eq_ignore_ascii_case(name))
        .map(|field| field.1.trim_ascii())
}

/// Whether a field concerns one connection, and not the message that passes over it: `Connection`, `Keep-Alive`,
/// `Proxy-Connection`, `TE`, `Trailer`, `Transfer-Encoding`, `Upgrade` (RFC 9110, 7.6.1). Names are compared without
/// case.
///
/// Leave such a field of an application out of the response: the application cannot know the server's connection.
pub fn is_hop_by_hop(name: impl AsRef<[u8]>) -> bool {
    let name = name.as_ref();
    HOP_BY_HOP.may_have(name) && matches!(Class::of(name), Class::HopByHop)
}

/// Whether an application means a field for the server, and not for the client: those that begin with `X-Accel-` (nginx),
/// `X-Sendfile` (Apache, lighttpd) or `X-LIGHTTPD-`. Names are compared without case, and with `_` as `-`: in a request, both
/// become the same parameter.
///
/// With such a field, an application names a file to send in place of its body, for instance. Leave it out of the
/// response, whether or not the server does what it says: its value may be a path on this machine.
///
/// ```
/// use mio_fcgi::cgi::is_for_server;
///
/// assert!(is_for_server("X-Accel-Redirect") && is_for_server("x_sendfile"));
/// assert!(!is_for_server("X-Powered-By"));
/// ```
pub fn is_for_server(name: impl AsRef<[u8]>) -> bool {
    let name = name.as_ref();
    // Most names begin with another letter.
    matches!(name.first(), Some(b'x' | b'X'))
        && FOR_SERVER.iter().any(|start| {
            let found = name.split_at_checked(start.len());
            found.is_some_and(|(found, _)| is_like(found, start))
        })
}

/// Whether two names of the same length become the same parameter.
fn is_like(name: &[u8], other: &str) -> bool {
    let like = |byte: &u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    name.iter().map(like).eq(other.bytes().map(|it| like(&it)))
}

/// Whether this is a host with an optional port, or empty. Only such a value is allowed in `Host` and as the authority
/// of a target, after the blanks around it are removed (RFC 9110, 7.2; RFC 3986, 3.2.2 without the comma, at which some
/// programs would split the host).
///
/// Only the last label may be empty: some programs look for a directory with the host's name, and `..` must not be one.
/// [`Env`](super::Env) refuses any other `Host`. A server that answers some requests itself calls this function first.
///
/// ```
/// use mio_fcgi::cgi::is_valid_host;
///
/// assert!(is_valid_host("example.org:8443") && is_valid_host("[2001:db8::1]") && is_valid_host(""));
/// assert!(!is_valid_host("user@example.org") && !is_valid_host("example.org/path") && !is_valid_host("a, b"));
/// ```
pub fn is_valid_host(host: impl AsRef<[u8]>) -> bool {
    let host = host.as_ref();
    let (is_name, port) = match host {
        [b'[', ..] => {
            let (name, port) = host.split_at(host_name(host).len());
            (is_bracketed(name), port)
        }
        _ => {
            // One pass, since each request has a host. The first label counts as one after a dot.
            let (mut end, mut is_after_dot) = (0, true);
            while let Some(byte) = host.get(end)
                && IN_HOST[usize::from(*byte)]
                && !(is_after_dot && *byte == b'.')
            {
                is_after_dot = *byte == b'.';
                end += 1;
            }
            let (name, port) = host.split_at(end);
            (!name.is_empty() || port.is_empty(), port)
        }
    };
    let is_port = match port {
        [] => true,
        [colon, digits @ ..] => *colon == b':' && digits.iter().all(u8::is_ascii_digit),
    };
    is_name && is_port
}

fn has_only(bytes: &[u8], table: &[bool; 256]) -> bool {
    bytes.iter().all(|byte| table[usize::from(*byte)])
}

/// Whether this is an IPv6 address in brackets.
fn is_bracketed(name: &[u8]) -> bool {
    let address = name.strip_prefix(b"[").and_then(|it| it.strip_suffix(b"]"));
    let text = address.and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.is_some_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// How the names of fields for the server begin.
const FOR_SERVER: [&str; 3] = ["x-accel-", "x-sendfile", "x-lighttpd-"];

/// The bytes of field names that are passed.
static IS_MAPPED: [bool; 256] = alphanumeric_or(b"-");
/// The bytes of host names.
static IN_HOST: [bool; 256] = alphanumeric_or(b"-._~%!$&'()*+;=");

const SPECIAL: &[(&str, Class)] = &[
    ("host", Class::Host),
    ("cookie", Class::Cookie),
    ("content-type", Class::ContentType),
    ("content-length", Class::Never),
    ("proxy", Class::Never),
    ("authorization", Class::Authorization),
    ("proxy-authorization", Class::ProxyAuthorization),
    ("connection", Class::HopByHop),
    ("keep-alive", Class::HopByHop),
    ("proxy-connection", Class::HopByHop),
    ("te", Class::HopByHop),
    ("trailer", Class::HopByHop),
    ("transfer-encoding", Class::HopByHop),
    ("upgrade", Class::HopByHop),
];

const SPECIAL_NAMES: Names = special_names(false);

const HOP_BY_HOP: Names = special_names(true);

const fn special_names(is_hop_by_hop: bool) -> Names {
    let mut names = Names::EMPTY;
    let mut index = 0;
    while index < SPECIAL.len() {
        let (name, class) = SPECIAL[index];
        if !is_hop_by_hop || matches!(class, Class::HopByHop) {
            names = names.with(name.as_bytes());
        }
        index += 1;
    }
    names
}

/// The most options of `Connection` that are checked; browsers send two. Each option is compared with each field.
const MAX_OPTIONS: usize = 32;

const CONNECTION: &[u8] = b"connection";
const CONTENT_TYPE: Known = Known::new("CONTENT_TYPE");
