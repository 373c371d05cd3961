//! DokuWiki on php-fpm behind the proxy, in a headless Chromium.

use std::fs;

use tempfile::TempDir;

use crate::browser::browse;
use crate::harness::{PhpFpm, Tool};
use crate::http::Proxy;

#[test]
#[ignore = "needs DokuWiki, php-fpm and Chromium; run tests/run"]
fn a_wiki_is_installed_written_and_illustrated() {
    let wiki = Wiki::unpack();
    let fpm = PhpFpm::builder()
        .max_children(4)
        .system_ini()
        .ini("session.save_path", wiki.data("tmp"))
        .start();
    let arguments = [
        "--upstream",
        &fpm.listen().to_string(),
        "--root",
        &wiki.root(),
        "--index",
        "doku.php",
        "--max-conns",
        "4",
        "--status",
    ];
    let mut proxy = Proxy::start(&arguments);
    browse("wiki.py", "wiki", &proxy, &[]);
    // The browser is gone, and its last requests have ended.
    proxy.wait_for_figure("server.clients", 1);
    proxy.wait_for_figure("requests.aborting", 0);
    let [failed, in_flight] = ["requests.failed", "requests.in_flight"].map(|it| proxy.figure(it));
    // The log is complete then.
    proxy.terminate();
    assert!(proxy.wait().success());
    let log = proxy.log();
    assert!(!log.contains("proxy: ["), "{log}");
    let broken = log.lines().find(|line| line.contains(" HTTP/1.1\" 5"));
    assert_eq!(broken, None, "{log}");
    let page = fs::read_to_string(wiki.data("pages/start.txt")).expect("it was saved");
    assert!(page.ends_with("{{:noise.png}}"), "{page}");
    // Requests that the browser no longer wanted are aborted; nothing else has failed.
    let unwanted = log.lines().filter(|line| line.contains("\" 499 ")).count();
    assert_eq!((failed, in_flight), (unwanted as u64, 0), "{log}");
}

/// A DokuWiki before its installation: Debian's files, with a configuration and data of their own.
struct Wiki(TempDir);

impl Wiki {
    fn unpack() -> Self {
        let wiki = Self(tempfile::tempdir().expect("a directory"));
        let root = wiki.root();
        // Links are replaced by their targets, since the proxy does not follow links out of the document root.
        Tool::new("cp")
            .args(["-rL", "/usr/share/dokuwiki", &root])
            .run();
        // This file says that the configuration is in the system's directory.
        fs::remove_file(format!("{root}/inc/preload.php")).expect("Debian's own");
        fs::create_dir(format!("{root}/conf")).expect("a directory");
        for entry in fs::read_dir("/etc/dokuwiki").expect("it is installed") {
            let from = entry.expect("an entry").path();
            let name = from.file_name().and_then(|name| name.to_str());
            let name = name.expect("UTF-8");
            if !MADE_BY_THE_INSTALLER.contains(&name) {
                fs::copy(&from, format!("{root}/conf/{name}")).expect("a file for everybody");
            }
        }
        let defaults = format!("{root}/conf/dokuwiki.php");
        let text = fs::read_to_string(&defaults).expect("Debian's own");
        let ours = text.replace("/var/lib/dokuwiki/data", &wiki.data(""));
        assert_ne!(ours, text, "it would write to the system's data");
        fs::write(defaults, ours).expect("a copy of ours");
        for folder in DATA {
            fs::create_dir_all(wiki.data(folder)).expect("a directory");
        }
        wiki
    }

    fn root(&self) -> String {
        self.below("www")
    }

    /// In the document root, where the installer expects it.
    fn data(&self, name: &str) -> String {
        self.below(&format!("www/data/{name}"))
    }

    fn below(&self, name: &str) -> String {
        let path = self.0.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }
}

const MADE_BY_THE_INSTALLER: &[&str] = &[
    "local.php",
    "acl.auth.php",
    "users.auth.php",
    "plugins.local.php",
];

const DATA: &[&str] = &[
    "attic",
    "cache",
    "index",
    "locks",
    "log",
    "media",
    "media_attic",
    "media_meta",
    "meta",
    "pages",
    "tmp",
];
