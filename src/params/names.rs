//! Sets of names, for a quick answer to whether a name is among pairs.

/// A set of names in one word. For most names, it shows at once that they are not in the set, whatever the case of
/// their letters. Without it, comparing names took nearly half of the time that parameters cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Names(u64);

impl Names {
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) const fn with(self, name: &[u8]) -> Self {
        Self(self.0 | Self::bit(name.len(), name.last()))
    }

    pub(crate) fn insert(&mut self, name: &[u8]) {
        *self = self.with(name);
    }

    /// False: the name is not in the set. True: this name or a similar one may be in the set.
    pub(crate) fn may_have(self, name: &[u8]) -> bool {
        self.may_have_like(name.len(), name.last())
    }

    pub(crate) fn may_have_like(self, len: usize, last: Option<&u8>) -> bool {
        self.0 & Self::bit(len, last) != 0
    }

    /// As a rule, names in use differ in their lengths and last letters.
    const fn bit(len: usize, last: Option<&u8>) -> u64 {
        let last = match last {
            Some(last) => map_byte(*last),
            None => 0,
        };
        1 << (len.wrapping_mul(7).wrapping_add(last as usize) % 64)
    }
}

/// Which names are among pairs, found out once for a block that requests share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GivenNames {
    count: usize,
    all: Names,
    /// A bit for each [`Known`] name.
    known: u32,
}

impl GivenNames {
    pub(crate) const NONE: Self = Self {
        count: 0,
        all: Names::EMPTY,
        known: 0,
    };

    pub(crate) fn insert(&mut self, name: &[u8]) {
        self.count += 1;
        self.all.insert(name);
        if KNOWN_NAMES.may_have(name)
            && let Some(at) = KNOWN.iter().position(|known| known.as_bytes() == name)
        {
            self.known |= 1 << at;
        }
    }

    /// The number of pairs.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// All names, or similar ones.
    pub(crate) fn all(&self) -> Names {
        self.all
    }

    /// Whether there may be a name in common. This is exact if the other names are [`Known`] and differ.
    pub(crate) fn may_share(&self, other: &Self) -> bool {
        let are_known = other.count == other.known.count_ones() as usize;
        !are_known || self.known & other.known != 0
    }

    pub(crate) fn has(&self, known: Known) -> bool {
        self.known & known.bit != 0
    }
}

/// A name that each request has, or may have.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    bit: u32,
}

impl Known {
    /// One of the names of [`KNOWN`]. For constants: any other name does not compile.
    pub(crate) const fn new(name: &'static str) -> Self {
        let mut at = 0;
        while !is_equal(KNOWN[at].as_bytes(), name.as_bytes()) {
            at += 1;
        }
        Self { name, bit: 1 << at }
    }
}

const fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// The names that `cgi` writes, but those of fields.
const KNOWN: [&str; 22] = [
    "GATEWAY_INTERFACE",
    "SERVER_SOFTWARE",
    "REDIRECT_STATUS",
    "REQUEST_METHOD",
    "SERVER_PROTOCOL",
    "REQUEST_URI",
    "QUERY_STRING",
    "REQUEST_SCHEME",
    "HTTPS",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "DOCUMENT_ROOT",
    "SCRIPT_FILENAME",
    "DOCUMENT_URI",
    "SCRIPT_NAME",
    "PATH_INFO",
    "PATH_TRANSLATED",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_ADDR",
    "REMOTE_ADDR",
    "REMOTE_PORT",
];

const KNOWN_NAMES: Names = {
    let mut names = Names::EMPTY;
    let mut at = 0;
    while at < KNOWN.len() {
        names = names.with(KNOWN[at].as_bytes());
        at += 1;
    }
    names
};

/// How a byte of a field's name is written in `HTTP_*` (RFC 3875, 4.1.18).
pub(crate) const fn map_byte(byte: u8) -> u8 {
    match byte {
        b'-' => b'_',
        byte => byte.to_ascii_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_name_is_found_and_no_similar_one() {
        let all = KNOWN.map(Known::new);
        for (at, known) in all.iter().enumerate() {
            let mut given = GivenNames::NONE;
            given.insert(b"X");
            given.insert(known.name.to_lowercase().as_bytes());
            assert!(!all.iter().any(|it| given.has(*it)), "{}", known.name);
            given.insert(known.name.as_bytes());
            let found = all.map(|it| given.has(it));
            assert_eq!(found.iter().position(|it| *it), Some(at));
            assert_eq!(
                (found.iter().filter(|it| **it).count(), given.count()),
                (1, 3)
            );
            assert!(given.all().may_have(known.name.as_bytes()));
        }
    }
}
