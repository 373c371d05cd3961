//! Which script a URI names, and the default URI of a script.

use mio_fcgi::cgi::Script;

/// The default URI of a script: the file's own name. An absolute path without an extension is not a file but a page of
/// php-fpm, such as `/fpm/ping`: its URI is the whole path.
pub(crate) fn default_uri(filename: &[u8], is_whole_path: bool) -> String {
    let name = filename.rsplit(|byte| *byte == b'/').next();
    let name = name.unwrap_or_default();
    let is_page = is_whole_path && filename.starts_with(b"/") && !name.contains(&b'.');
    let path = if is_page { &filename[1..] } else { name };
    let mut uri = String::from("/");
    for byte in path {
        // RFC 3986, 3.3: characters that need no encoding in a path.
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

/// Divides a script's path and a URI. The longest start of the URI's path that the file's path ends with is the
/// script's name. The rest of the URI's path is the path info, the rest of the file's path is the document root.
///
/// A script that the URI does not name is a front controller: its name is the file's own name. Without a file, the
/// application is the whole site: the script's name is empty, and the whole path is path info (RFC 3875, 4.1.13).
pub(crate) fn locate(filename: &[u8], uri: &[u8]) -> Script {
    let path = uri.split(|byte| *byte == b'?').next().unwrap_or(uri);
    let path = &decoded(path)[..];
    let mut script = Script::default();
    if filename.is_empty() {
        script.path_info = path.to_vec();
        return script;
    }
    let ends = (1..=path.len()).rev();
    let mut whole_segments = ends.filter(|end| matches!(path.get(*end), None | Some(b'/')));
    let (name, path_info) = match whole_segments.find(|end| filename.ends_with(&path[..*end])) {
        Some(end) if path[end - 1] != b'/' => path.split_at(end),
        _ => {
            let slash = filename.iter().rposition(|byte| *byte == b'/');
            (&filename[slash.unwrap_or(0)..], &b""[..])
        }
    };
    script.root = filename[..filename.len() - name.len()].to_vec();
    script.name = name.to_vec();
    script.path_info = path_info.to_vec();
    script.filename = filename.to_vec();
    script
}

/// Decodes a path. A percent sign without two hexadecimal digits is kept.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        rest = after;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        if let (b'%', [high, low, after @ ..]) = (byte, after)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            decoded.push((high * 16 + low) as u8);
            rest = after;
        } else {
            decoded.push(*byte);
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_asked_for_by_its_name_and_a_page_by_its_path() {
        for (filename, is_whole_path, uri) in [
            ("/srv/www/x.php", true, "/x.php"),
            ("/fpm/ping", true, "/fpm/ping"),
            ("/status", true, "/status"),
            ("/home/me/site/run", false, "/run"),
            ("/srv/a b/50%?.php", true, "/50%25%3F.php"),
            ("/a b/ping", true, "/a%20b/ping"),
            ("C:\\www\\x.php", true, "/C:%5Cwww%5Cx.php"),
            ("", true, "/"),
        ] {
            let found = default_uri(filename.as_bytes(), is_whole_path);
            assert_eq!(found, uri, "{filename}");
        }
    }

    #[test]
    fn by_default_a_script_is_found_under_its_own_name() {
        for (filename, root, name) in [
            ("/srv/www/x.php", "/srv/www", "/x.php"),
            ("/fpm/ping", "", "/fpm/ping"),
            ("/srv/a b/50%.php", "/srv/a b", "/50%.php"),
        ] {
            let uri = default_uri(filename.as_bytes(), true);
            let script = locate(filename.as_bytes(), uri.as_bytes());
            assert_eq!(script, Script::new(root, name, ""), "{filename}");
        }
    }

    #[test]
    fn an_application_without_scripts_has_the_whole_path_as_its_path_info() {
        let script = locate(b"", b"/caf%C3%A9/%zz%4?a=%20");
        assert_eq!(
            (script.name.as_slice(), script.filename.as_slice()),
            (&b""[..], &b""[..])
        );
        assert_eq!(script.path_info, "/caf\u{e9}/%zz%4".as_bytes());
    }
}
