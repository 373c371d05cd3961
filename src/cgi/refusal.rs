//! Why a target does not lead to a file.

use std::fmt;

/// Why access to a target is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForbiddenReason {
    /// The path leads out of the document root, or a symbolic link does, and not into a directory that
    /// [`with_links_into`](super::ScriptMap::with_links_into) named.
    OutsideRoot,
    /// A name in the path begins with a dot, or a symbolic link leads to such a name. There is a file or a directory of
    /// that name; in a [remote map](super::ScriptMap::remote), there may be one.
    DotFile,
    /// A name in the path begins with a dot, and there is nothing of that name.
    ///
    /// A site with a front controller passes such a path to it: a wiki has a page on .NET. Any other server answers as for
    /// [`DotFile`](Self::DotFile), so that the answer does not reveal which dot files exist.
    AbsentDotFile,
    /// The file, or the one that a symbolic link leads to, holds the source of a script by its name:
    /// [`hide_sources`](super::ScriptMap::hide_sources).
    Source,
    /// The target is a directory without an index.
    NoIndex,
}

/// What is wrong with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidTarget {
    /// The target does not begin with a slash.
    NoSlash,
    /// A `%` is not followed by two hexadecimal digits.
    Encoding,
    /// The path holds NUL, CR or LF, encoded or not.
    Control,
}

impl fmt::Display for ForbiddenReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutsideRoot => "the path leads out of the document root",
            Self::DotFile | Self::AbsentDotFile => "a name in the path begins with a dot",
            Self::Source => "the file holds the source of a script",
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

/// Why a target is refused: it is invalid, or access is forbidden.
pub(super) enum Refusal {
    Invalid(InvalidTarget),
    Forbidden(ForbiddenReason),
}
