//! Why a target leads to no file.

use std::fmt;

/// Why something is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForbiddenReason {
    /// The path leads out of the document root, or a symbolic link does, and not into a directory that
    /// [`allow_links_into`](super::ScriptMap::allow_links_into) named.
    OutsideRoot,
    /// A name begins with a dot.
    DotFile,
    /// A directory without an index.
    NoIndex,
}

/// What is wrong with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidTarget {
    /// It does not begin with a slash.
    NoSlash,
    /// A `%` without two hexadecimal digits.
    Encoding,
    /// NUL, CR or LF, encoded or not.
    Control,
}

impl fmt::Display for ForbiddenReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutsideRoot => "the path leads out of the document root",
            Self::DotFile => "a name in the path begins with a dot",
            Self::NoIndex => "the directory has no index",
        })
    }
}

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSlash => "the target does not begin with a slash",
            Self::Encoding => "the target has a % without two hexadecimal digits",
            Self::Control => "the target holds NUL, CR or LF",
        })
    }
}

/// Either.
pub(super) enum Refusal {
    Invalid(InvalidTarget),
    Forbidden(ForbiddenReason),
}
