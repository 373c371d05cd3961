//! Names by which some file systems find other files than the one that was asked for.

use std::fs;
use std::io;

use mio_fcgi::cgi::{ForbiddenReason, Resolution, Script, ScriptMap};

/// Characters that HFS+ or a casefolded ext4 ignores when it compares names.
const IGNORED: [char; 8] = [
    '\u{200c}',
    '\u{200d}',
    '\u{ad}',
    '\u{202a}',
    '\u{206f}',
    '\u{fe0f}',
    '\u{feff}',
    '\u{e0001}',
];

#[test]
fn a_dot_file_stays_hidden_behind_what_a_file_system_ignores() {
    let dot_file = Resolution::Forbidden(ForbiddenReason::DotFile);
    let mut map = ScriptMap::remote("/srv/www");
    for ignored in IGNORED {
        for target in [
            format!("/{ignored}.htaccess"),
            format!("/.ht{ignored}access"),
            format!("/a/{ignored}{ignored}.git/config"),
            format!("/{ignored}.well-known/x"),
            format!("/.well-{ignored}known/x"),
            format!("/{ignored}.hidden.php"),
            format!("/a/{ignored}./.{ignored}./x"),
        ] {
            assert_eq!(map.resolve(target.as_bytes()), dot_file, "{target:?}");
        }
    }
    map.hide_dot_files = false;
    let shown = map.resolve("/\u{200c}.htaccess".as_bytes());
    assert!(matches!(shown, Resolution::RemoteFile { .. }));
}

#[test]
fn the_source_of_a_script_is_not_had_by_another_spelling_of_its_extension() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut here = ScriptMap::local(directory.path())?;
    let mut there = ScriptMap::remote("/srv/www");
    let is_refused = |map: &ScriptMap, name: &str| {
        map.resolve(format!("/{name}").as_bytes()) == Resolution::NotFound
    };
    for ignored in IGNORED {
        for name in [
            format!("x.ph{ignored}p"),
            format!("x.php{ignored}"),
            format!("x{ignored}.{ignored}PHP{ignored}{ignored}"),
        ] {
            fs::write(directory.path().join(&name), "source")?;
            assert!(is_refused(&here, &name), "{name:?}");
            assert!(is_refused(&there, &name), "{name:?}");
            assert!(is_refused(&there, &format!("{name}/x.txt")), "{name:?}");
        }
    }
    // Letters that become ASCII letters in another case or in another normal form.
    for map in [&mut here, &mut there] {
        map.extension = ".ksh".to_owned();
        assert!(is_refused(map, "x.\u{212a}sh") && is_refused(map, "x.k\u{17f}h"));
        assert!(is_refused(map, "x.K\u{17f}\u{200c}H"));
    }
    Ok(())
}

#[test]
fn names_that_hide_nothing_are_found() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let here = ScriptMap::local(directory.path())?;
    for name in [
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}.png",
        "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}.txt",
        "\u{17f}\u{212a}.phpx",
        "a.php.\u{200d}txt",
    ] {
        let path = directory.path().join(name);
        fs::write(&path, "")?;
        let found = here.resolve(format!("/{name}").as_bytes());
        let file = Resolution::StaticFile {
            path,
            directory: directory.path().into(),
            relative: name.into(),
        };
        assert_eq!(found, file, "{name:?}");
    }
    let name = "/\u{645}\u{200c}\u{62e}.php";
    fs::write(directory.path().join(&name[1..]), "")?;
    let script = Script::new(directory.path().as_os_str().as_encoded_bytes(), name, "");
    assert_eq!(here.resolve(name.as_bytes()), Resolution::Script(script));
    // Bytes that are no UTF-8 stay what they are.
    let there = ScriptMap::remote("/srv/www").resolve(b"/\xe2\x80/.\xff");
    assert_eq!(there, Resolution::Forbidden(ForbiddenReason::DotFile));
    Ok(())
}

/// A remote map may be of a machine with Windows.
// case 183
#[test]
fn a_remote_map_finds_nothing_under_a_name_that_windows_reads_otherwise() {
    let remote = |target: &str| ScriptMap::remote("/srv/www").resolve(target.as_bytes());
    for target in [
        "/a\\..\\..\\b.php",
        "/c:/b.php",
        "/c:b.php",
        "/a./b.php",
        "/a%20/b.php",
        "/PROGRA~1/b.php",
        "/con.php",
        "/a/NUL/b.php",
        "/com1.x.php",
        "/lpt\u{b9}.php",
        "/aux%20.php",
        "/a<.php",
        "/%3e%3e.php",
        "/%22.php",
        "/a*.php",
        "/a%3f.php",
        "/a|b.php",
        "/%1f.php",
        "/a.txt::$DATA",
        "/a\\b.txt",
        "/a\\/",
    ] {
        assert_eq!(remote(target), Resolution::NotFound, "{target}");
    }
    let dot_file = Resolution::Forbidden(ForbiddenReason::DotFile);
    assert_eq!(remote("/..%5cb.php"), dot_file);
    // After the script, there is no name of a file.
    for (target, name, path_info) in [
        ("/index.php/User:A", "/index.php", "/User:A"),
        ("/~user/a~b.php/con", "/~user/a~b.php", "/con"),
        ("/console/com/x.php", "/console/com/x.php", ""),
    ] {
        let script = Script::new("/srv/www", name, path_info);
        assert_eq!(remote(target), Resolution::Script(script), "{target}");
    }
}
