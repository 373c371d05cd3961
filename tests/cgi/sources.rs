//! Files that hold the source of scripts under other names.

use std::fs;
use std::io;

use mio_fcgi::cgi::{ForbiddenReason, Resolution, ScriptMap};

const SOURCE: Resolution = Resolution::Forbidden(ForbiddenReason::Source);

#[test]
fn copies_and_relatives_of_scripts_are_not_sent_as_text() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let map = ScriptMap::local(directory.path())?;
    let put = |name: &str| {
        let path = directory.path().join(name);
        fs::write(&path, "")?;
        Ok::<_, io::Error>(Resolution::StaticFile {
            path,
            directory: directory.path().into(),
            relative: name.into(),
        })
    };
    for name in [
        "a.phtml",
        "a.PHTML",
        "a.pht",
        "a.phps",
        "a.php5",
        "a.inc",
        "a.php.bak",
        "a.php~",
        "a.php.old",
        "a.php-old",
        "a.PHP_Orig",
        "a.php.1",
        "a.php.2024-01-31.bak",
        "#a.php#",
        "a.php.dpkg-dist",
        "a.inc.php.save",
        "a.phtml.swp",
        "config.php.sample",
    ] {
        let file = put(name)?;
        let target = format!("/{}", name.replace('#', "%23"));
        assert_eq!(map.resolve(target.as_bytes()), SOURCE, "{name}");
        let open = map.clone().with_hide_sources(false);
        assert_eq!(open.resolve(target.as_bytes()), file, "{name}");
    }
    for name in [
        "a.php.txt",
        "a.bak",
        "a.css~",
        "a.1",
        "a.phar",
        "x.inc.txt",
        "php.bak",
        "a.php.jpg.bak",
        "bak",
        "~",
    ] {
        let file = put(name)?;
        let target = format!("/{name}");
        assert_eq!(map.resolve(target.as_bytes()), file, "{name}");
    }
    Ok(())
}

#[test]
fn what_holds_source_depends_on_the_extension() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut map = ScriptMap::local(directory.path())?;
    for name in ["a.cgi.bak", "a.inc", "index.php"] {
        fs::write(directory.path().join(name), "")?;
    }
    let resolve = |map: &ScriptMap, name: &str| map.resolve(format!("/{name}").as_bytes());
    map.extension = ".cgi".to_owned();
    assert_eq!(resolve(&map, "a.cgi.bak"), SOURCE);
    assert!(matches!(
        resolve(&map, "a.inc"),
        Resolution::StaticFile { .. }
    ));
    // Whoever runs one of PHP's names shows none of the others.
    map.extension = ".phtml".to_owned();
    assert_eq!(resolve(&map, "index.php"), SOURCE);
    // Every file is a script: none is sent.
    map.extension = String::new();
    assert!(matches!(resolve(&map, "a.inc"), Resolution::Script(_)));
    Ok(())
}
