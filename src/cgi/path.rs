//! The path of a target, as bytes: decodes it, finds its segments, encodes it again. Accesses no file.

use super::bytes::breaks_lines;
use super::refusal::{ForbiddenReason, InvalidTarget, Refusal};

/// Decodes a path once and resolves its dot segments. The result begins with a slash; it ends with one if the path
/// names a directory.
pub(super) fn normalized(raw: &[u8]) -> Result<Vec<u8>, Refusal> {
    let decoded = decoded(raw)?;
    let path = without_dots(&decoded)?;
    // Last: whatever else a path holds, that it leads out of the root counts first.
    match breaks_lines(&decoded) {
        None => Ok(path),
        Some(_) => Err(Refusal::Invalid(InvalidTarget::Control)),
    }
}

/// As [`normalized`], but NUL, CR and LF are left in.
pub(super) fn normalized_raw(raw: &[u8]) -> Result<Vec<u8>, Refusal> {
    without_dots(&decoded(raw)?)
}

/// A decoded path without dot segments and repeated slashes.
fn without_dots(decoded: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut path = Vec::with_capacity(decoded.len());
    let mut is_directory = false;
    for segment in decoded.split(|byte| *byte == b'/') {
        is_directory = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                let parent = path.iter().rposition(|byte| *byte == b'/');
                path.truncate(parent.ok_or(Refusal::Forbidden(ForbiddenReason::OutsideRoot))?);
            }
            segment => {
                path.push(b'/');
                path.extend_from_slice(segment);
            }
        }
    }
    if is_directory {
        path.push(b'/');
    }
    Ok(path)
}

/// The bytes that a path stands for.
fn decoded(raw: &[u8]) -> Result<Vec<u8>, Refusal> {
    if raw.first() != Some(&b'/') {
        return Err(Refusal::Invalid(InvalidTarget::NoSlash));
    }
    percent_decoded(raw).ok_or(Refusal::Invalid(InvalidTarget::Encoding))
}

fn percent_decoded(raw: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let ([high, low], after) = rest.split_first_chunk()?;
        // Two hexadecimal digits are one byte.
        decoded.push((digit(high)? * 16 + digit(low)?) as u8);
        rest = after;
    }
    Some(decoded)
}

/// The ends of the segments of a path.
pub(super) fn segment_ends(path: &[u8]) -> impl Iterator<Item = usize> {
    let slashes = path.iter().enumerate().skip(1);
    slashes
        .filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| at)
        .chain(std::iter::once(path.len()))
}

/// The part of a path after its last slash.
pub(super) fn last_segment(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    &path[slash.map_or(0, |at| at + 1)..]
}

/// The target with a slash after its path, encoded again so that it cannot lead to another host.
pub(super) fn location(path: &[u8], query: &[u8]) -> String {
    // RFC 3986, 3.3.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
    let mut location = String::new();
    for byte in path {
        push_encoded(&mut location, *byte, is_plain(*byte));
    }
    location.push('/');
    for byte in query {
        // The query, with its question mark, arrived encoded. What was not encoded is now (3.4).
        let is_plain = is_plain(*byte) || matches!(byte, b'?' | b'%');
        push_encoded(&mut location, *byte, is_plain);
    }
    location
}

/// A plain byte is one of ASCII.
fn push_encoded(out: &mut String, byte: u8, is_plain: bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if is_plain {
        out.push(byte.into());
    } else {
        let digits = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
        out.push('%');
        out.extend(digits.map(char::from));
    }
}

/// Whether Windows would find another file by this path, or a device. There, `c:x` and `a\b` are paths; `x.php.` and
/// `x.php ` mean `x.php`, whose source would be sent; `ENV~1` means `.env`; some functions take `<`, `>` and `"` for
/// wildcards.
pub(super) fn has_other_names_on_windows(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|segment| {
        matches!(segment.last(), Some(b'.' | b' '))
            || segment
                .iter()
                .any(|byte| b"\\:<>\"|?*".contains(byte) || byte.is_ascii_control())
            || segment
                .windows(2)
                .any(|pair| pair[0] == b'~' && pair[1].is_ascii_digit())
            || is_device_on_windows(segment)
    })
}

/// Whether Windows takes a name for that of a device, whatever directory and extension it has.
fn is_device_on_windows(name: &[u8]) -> bool {
    let stem = name.split(|byte| *byte == b'.').next().unwrap_or_default();
    let stem = stem.trim_ascii_end();
    let devices = ["con", "prn", "aux", "nul", "conin$", "conout$"];
    let is_numbered = match stem.split_first_chunk::<3>() {
        Some((kind, number)) => {
            let kinds: [&[u8]; 2] = [b"com", b"lpt"];
            // Superscript digits count, too.
            kinds.iter().any(|it| it.eq_ignore_ascii_case(kind))
                && (matches!(number, [b'0'..=b'9'])
                    || ["\u{b9}", "\u{b2}", "\u{b3}"]
                        .map(str::as_bytes)
                        .contains(&number))
        }
        None => false,
    };
    is_numbered
        || devices
            .iter()
            .any(|it| it.as_bytes().eq_ignore_ascii_case(stem))
}

/// Whether a name begins with a dot, also on file systems that ignore invisible code points before it: HFS+, and ext4
/// where a directory folds case.
pub(super) fn begins_with_dot(segment: &[u8]) -> bool {
    match segment.first() {
        None => false,
        Some(b'.') => true,
        Some(byte) if byte.is_ascii() => false,
        Some(_) => String::from_utf8_lossy(segment)
            .trim_start_matches(is_ignorable)
            .starts_with('.'),
    }
}

/// Whether some file systems could take a segment for a name with this extension, which is not empty: those that ignore
/// invisible code points, and those that compare names in another case or form. An example is `x.ph\u{200c}p` for
/// `x.php`, whose source would be sent.
pub(super) fn hides_extension(path: &[u8], extension: &str) -> bool {
    path.split(|byte| *byte == b'/').any(|segment| {
        // A segment that has the extension hides nothing: it is a script's name.
        if segment.is_ascii() || has_extension(segment, extension) {
            return false;
        }
        let text = String::from_utf8_lossy(segment);
        let seen = text.chars().filter(|char| !is_ignorable(*char));
        let seen: String = seen.map(ascii_of).collect();
        has_extension(seen.as_bytes(), extension)
    })
}

/// Whether a segment ends in an extension, compared without case.
pub(super) fn has_extension(segment: &[u8], extension: &str) -> bool {
    let start = segment.len().checked_sub(extension.len());
    start.is_some_and(|at| segment[at..].eq_ignore_ascii_case(extension.as_bytes()))
}

/// The ASCII letter that a code point becomes in lower case or decomposed. These two code points have one.
fn ascii_of(char: char) -> char {
    match char {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        other => other,
    }
}

/// Unicode's `Default_Ignorable_Code_Point`, which includes all code points that HFS+ ignores.
fn is_ignorable(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_which_windows_finds_other_files_are_known() {
        for path in [
            "/x.php.",
            "/x.php ",
            "/a./x.txt",
            "/a /x",
            "/x.php::$DATA",
            "/c:x",
            "/a\\b",
            "/ENV~1",
            "/SECRET~2.TXT",
            "/con",
            "/a/NUL.php",
            "/Com0.x.y",
            "/lpt\u{b2}",
            "/aux .txt",
            "/a<<",
            "/a\"",
            "/a\t",
        ] {
            assert!(has_other_names_on_windows(path.as_bytes()), "{path:?}");
        }
        for path in [
            "/",
            "/a.b/ c/.d/x.txt",
            "/~user/a~b.txt",
            "/caf\u{e9}",
            "/console/com/lpt10.txt",
            "/x.con",
        ] {
            assert!(!has_other_names_on_windows(path.as_bytes()), "{path:?}");
        }
    }
}
