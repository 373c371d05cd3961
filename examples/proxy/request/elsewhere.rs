//! Responses whose body is not the application's: its head names where the body is.

use mio_fcgi::cgi::{self, Head};

use super::site::sent_files::Naming;

/// Where a response is.
#[derive(Debug)]
pub(crate) enum Elsewhere {
    /// At another path of the site (RFC 3875, 6.2.2).
    Path(Vec<u8>),
    /// In a file.
    File(NamedFile),
}

/// A file that an application named, and what it said about it.
#[derive(Debug)]
pub(crate) struct NamedFile {
    pub(crate) naming: Naming,
    pub(crate) value: Vec<u8>,
    pub(crate) given: GivenFields,
}

/// The fields of an application's head that go with a file, in their order.
#[derive(Debug, Default)]
pub(crate) struct GivenFields(Vec<(Vec<u8>, Vec<u8>)>);

impl Elsewhere {
    /// What a head says. `follows`: a local redirect is not passed on. A file is named with whatever status, as in nginx:
    /// that of the response is the file's.
    pub(crate) fn of(head: Head<'_>, follows: bool) -> Option<Self> {
        let file = head.fields().find_map(|(name, value)| {
            let naming = Naming::of_field(name).filter(|_| !value.is_empty())?;
            Some((naming, value))
        });
        match file {
            Some((naming, value)) => Some(Self::File(NamedFile {
                naming,
                value: value.to_vec(),
                given: GivenFields::of(head),
            })),
            None if follows => local_redirect(head).map(|target| Self::Path(target.to_vec())),
            None => None,
        }
    }
}

impl GivenFields {
    /// Leaves out what describes the body that the application did not send, and what is not for the client.
    fn of(head: Head<'_>) -> Self {
        let is_kept = |name: &[u8]| {
            let is = |other: &&str| name.eq_ignore_ascii_case(other.as_bytes());
            !(cgi::is_hop_by_hop(name) || cgi::is_for_server(name) || NOT_GIVEN.iter().any(is))
        };
        let fields = head.fields().filter(|(name, _)| is_kept(name));
        Self(
            fields
                .map(|(name, value)| (name.to_vec(), value.to_vec()))
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        let is = |field: &&(Vec<u8>, Vec<u8>)| field.0.eq_ignore_ascii_case(name.as_bytes());
        self.0.iter().find(is).map(|field| &field.1[..])
    }

    /// All fields but those of these names.
    pub(crate) fn without<'f>(
        &'f self,
        names: &'f [&str],
    ) -> impl Iterator<Item = (&'f [u8], &'f [u8])> {
        let is_named = |name: &[u8]| {
            let is = |other: &&str| name.eq_ignore_ascii_case(other.as_bytes());
            names.iter().any(is)
        };
        let fields = self.0.iter().map(|(name, value)| (&name[..], &value[..]));
        fields.filter(move |(name, _)| !is_named(name))
    }
}

/// The path that an application's head names for the server to respond with: in a `Location` alone, that is without a
/// status and without fields but those of the body. If there is more, the client is redirected, so that nothing is lost.
fn local_redirect(head: Head<'_>) -> Option<&[u8]> {
    let target = head.local_redirect()?;
    let mut locations = 0;
    for (name, _) in head.fields() {
        let start = name.split_at_checked(8).map(|(start, _)| start);
        match start {
            Some(start) if start.eq_ignore_ascii_case(b"content-") => {}
            Some(_) if name.eq_ignore_ascii_case(b"location") => locations += 1,
            _ => return None,
        }
    }
    // Otherwise it is no target of a request.
    let is_target = target.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    (locations == 1 && is_target).then_some(target)
}

/// Fields of the body, of a redirect, and those that the proxy writes itself.
const NOT_GIVEN: &[&str] = &[
    "Status",
    "Content-Length",
    "Content-Encoding",
    "Content-Range",
    "Content-MD5",
    "Digest",
    "Content-Digest",
    "Repr-Digest",
    "Accept-Ranges",
    "Location",
    "Date",
    "Server",
    "X-Request-Id",
];
