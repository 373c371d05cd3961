//! Names of files that hold the source of scripts, although they are not run.

use super::path::has_extension;

/// Whether a file of this name holds source: a copy of a script, such as `x.php.bak`, or what another setup would run or
/// include, such as `x.inc`. The name of a script itself is source, too. `extension` is not empty.
pub(super) fn is_source(name: &[u8], extension: &str) -> bool {
    let is_php = PHP.iter().any(|it| it.eq_ignore_ascii_case(extension));
    let mut name = name;
    loop {
        if has_extension(name, extension)
            || (is_php && PHP.iter().any(|it| has_extension(name, it)))
        {
            return true;
        }
        match without_copy_mark(name) {
            Some(original) => name = original,
            None => return false,
        }
    }
}

/// The name without what an editor, a package manager or a person appended to it for a copy.
fn without_copy_mark(name: &[u8]) -> Option<&[u8]> {
    if let [original @ .., b'~' | b'#'] = name {
        return Some(original);
    }
    let at = name.iter().rposition(|byte| b".-_".contains(byte))?;
    let mark = &name[at + 1..];
    let is_mark = match mark {
        [] => false,
        mark if mark.iter().all(u8::is_ascii_digit) => true,
        mark => MARKS
            .iter()
            .any(|it| it.as_bytes().eq_ignore_ascii_case(mark)),
    };
    is_mark.then(|| &name[..at])
}

/// The extensions that PHP setups run, show in color, or include. Not `.phar`: that is a program to be downloaded.
const PHP: &[&str] = &[
    ".php", ".phtml", ".pht", ".phps", ".php3", ".php4", ".php5", ".php7", ".php8", ".inc",
];

/// What names of copies end in.
const MARKS: &[&str] = &[
    "bak", "backup", "copy", "dist", "dpkg", "new", "old", "orig", "rej", "rpmnew", "rpmorig",
    "rpmsave", "sample", "save", "saved", "swn", "swo", "swp", "temp", "tmp", "ucf",
];
