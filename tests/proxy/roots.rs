//! Where scripts are, for the proxy and for the application: two roots, links that are switched, what is not run, and
//! php-fpm's own pages.

use std::fs;
use std::path::Path;

use super::harness::{Proxy, run};
use super::site::{application, assert_answers, directory, real, text};
use super::witness::witness;

// case 164
// edge: files here, the same scripts at another path in the application's container | both roots are used
#[test]
fn the_application_may_have_its_scripts_at_another_path() {
    let root = directory(&["a.php", "a.txt", "index.php"]);
    let (app, path) = (application("app"), text(root.path()));
    let mount = format!("/m={app},root={path},script-root=/srv/m,fallback=/index.php");
    let proxy = Proxy::start(&[
        "--upstream",
        &app,
        "--root",
        path,
        "--script-root",
        "/var/www/html/",
        "--mount",
        &mount,
    ]);
    assert_answers(
        &proxy,
        &[
            ("/a.php/x", 200, "app|/a.php|/x|/var/www/html/a.php"),
            ("/a.txt", 200, "the file a.txt"),
            ("/none.php", 404, ""),
            ("/m/a.php", 200, "app|/m/a.php||/srv/m/a.php"),
            ("/m/route", 200, "app|/m/index.php||/srv/m/index.php"),
        ],
    );
    let (address, told) = witness(|_| b"Content-Type: a/b\r\n\r\n".to_vec());
    let proxy = Proxy::start(&[
        "--upstream",
        &address,
        "--root",
        path,
        "--script-root",
        "/var/www/html/",
    ]);
    assert_eq!(proxy.get("/a.php/x").status, 200);
    let told = told.iter().next().expect("a request");
    assert_eq!(told.param("DOCUMENT_ROOT"), "/var/www/html");
    assert_eq!(told.param("PATH_TRANSLATED"), "/var/www/html/x");
}

/// Replaces a link at once, as deployments do.
#[cfg(unix)]
fn switch(link: &Path, to: &Path) {
    let new = link.with_extension("new");
    std::os::unix::fs::symlink(to, &new).expect("a link");
    fs::rename(&new, link).expect("the link is replaced");
}

/// PHP believes for minutes what a link leads to.
// case 165
// edge: a release switched by a symbolic link | with `--realpath` the next request is for a script of the new release
#[cfg(unix)]
#[test]
fn the_resolved_root_is_told_and_no_old_release_after_the_switch() {
    let base = directory(&[
        "1/web/index.php",
        "1/web/a.txt",
        "1/web/old.php",
        "2/web/index.php",
        "2/web/new.php",
    ]);
    let (path, real) = (base.path(), real(&base));
    fs::write(path.join("2/web/a.txt"), "the new file").expect("a file");
    let link = path.join("current");
    switch(&link, &path.join("1"));
    let app = application("app");
    let root = text(&link).to_owned() + "/web";
    let mount = format!("/m={app},root={root},realpath,fallback=/index.php");
    let proxy = Proxy::start(&[
        "--upstream",
        &app,
        "--root",
        &root,
        "--realpath",
        "--fallback",
        "/index.php",
        "--cache-lookups",
        "1000",
        "--mount",
        &mount,
    ]);
    let file = |release: u32, name: &str| format!("{}/{release}/web/{name}", text(&real));
    let told = |prefix: &str, release: u32, name: &str| {
        format!("app|{prefix}/{name}||{}", file(release, name))
    };
    for prefix in ["", "/m"] {
        let at = |name: &str| format!("{prefix}/{name}");
        assert_answers(
            &proxy,
            &[
                (&at("old.php"), 200, &told(prefix, 1, "old.php")),
                (&at("route"), 200, &told(prefix, 1, "index.php")),
                (&at("a.txt"), 200, "the file 1/web/a.txt"),
            ],
        );
    }
    switch(&link, &path.join("2"));
    for prefix in ["", "/m"] {
        let at = |name: &str| format!("{prefix}/{name}");
        assert_answers(
            &proxy,
            &[
                (&at("old.php"), 200, &told(prefix, 2, "index.php")),
                (&at("new.php"), 200, &told(prefix, 2, "new.php")),
                (&at("route"), 200, &told(prefix, 2, "index.php")),
                (&at("a.txt"), 200, "the new file"),
            ],
        );
    }
    // No release at all, and one again.
    fs::remove_file(&link).expect("a link");
    assert_answers(&proxy, &[("/new.php", 404, ""), ("/a.txt", 404, "")]);
    switch(&link, &path.join("1"));
    let index = told("", 1, "index.php");
    assert_answers(&proxy, &[("/new.php", 200, &index), ("/", 200, &index)]);
}

/// As in nginx: `location ~ ^/uploads/.*\.php$ { deny all; }`
// case 166
// edge: a script below a `--no-exec`, also by encoding, path info, index or link | 403; other files are sent
#[cfg(unix)]
#[test]
fn below_a_no_exec_scripts_are_neither_run_nor_sent() {
    let root = directory(&[
        "index.php",
        "a.php",
        "uploads/x.php",
        "uploads/a.jpg",
        "uploads/sub/index.php",
        "uploads/x.PHP",
        "uploads/page/index.html",
        "uploadsx/y.php",
        "data/z.php",
    ]);
    let at = |name: &str| root.path().join(name);
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(at(to), at(name)).expect("a link");
    };
    link("uploads/x.php", "shortcut.php");
    link("uploads", "pictures");
    link("a.php", "uploads/inside.php");
    let app = application("app");
    let path = text(root.path());
    let mount = format!("/m={app},root={path}");
    let fixed = ["--upstream", &app, "--root", path, "--mount", &mount];
    let no_exec = ["--no-exec", "/upl%6Fads/", "--no-exec", "/data"];
    for fallback in [&[][..], &["--fallback", "/index.php"]] {
        let proxy = Proxy::start(&[&fixed[..], &no_exec, fallback].concat());
        assert_answers(
            &proxy,
            &[
                ("/a.php", 200, &format!("app|/a.php||{path}/a.php")),
                (
                    "/a.php/uploads/x.php",
                    200,
                    &format!("app|/a.php|/uploads/x.php|{path}/a.php"),
                ),
                ("/uploads/x.php", 403, ""),
                ("/uploads/x.php/", 403, ""),
                ("/uploads/x.php/b.jpg", 403, ""),
                ("/%75ploads/%78.php", 403, ""),
                ("/a/../uploads//x.ph%70?q", 403, ""),
                ("/uploads/x.PHP", 403, ""),
                ("/uploads/sub/", 403, ""),
                ("/uploads/inside.php", 403, ""),
                ("/shortcut.php", 403, ""),
                ("/pictures/x.php", 403, ""),
                ("/pictures/sub/", 403, ""),
                ("/data/z.php", 403, ""),
                // The same files, by another path of the site.
                ("/m/uploads/x.php", 403, ""),
                ("/m/a.php", 200, &format!("app|/m/a.php||{path}/a.php")),
                ("/uploads/a.jpg", 200, "the file uploads/a.jpg"),
                ("/pictures/a.jpg", 200, "the file uploads/a.jpg"),
                ("/uploads/page/", 200, "the file uploads/page/index.html"),
                (
                    "/uploadsx/y.php",
                    200,
                    &format!("app|/uploadsx/y.php||{path}/uploadsx/y.php"),
                ),
            ],
        );
        // What does not exist is the front controller's.
        let front = format!("app|/index.php||{path}/index.php");
        let status = if fallback.is_empty() { 404 } else { 200 };
        assert_answers(
            &proxy,
            &[
                ("/uploads/none.php", status, &front),
                ("/uploads/none.jpg", status, &front),
            ],
        );
    }
    let output = run(&[&fixed[..], &no_exec, &["--fallback", "/uploads/x.php"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("/uploads/x.php is below a --no-exec"),
        "{said}"
    );
}

/// php-fpm goes by `SCRIPT_NAME`, and wants any `SCRIPT_FILENAME`.
// case 167
// edge: php-fpm's status and ping pages | served for `--fpm-status`, to this machine or the addresses named; else 403
#[test]
fn php_fpms_own_pages_are_for_named_addresses_only() {
    let root = directory(&["index.php"]);
    let path = text(root.path());
    let (one, two) = (application("one"), application("two"));
    let mount = format!("/m={two}");
    let with = |pages: &[&'static str]| {
        let fixed = ["--upstream", &one, "--root", path, "--mount", &mount];
        let pages = pages.iter().flat_map(|page| ["--fpm-status", page]);
        let fallback = ["--fallback", "/index.php"];
        Proxy::start(
            &fixed
                .into_iter()
                .chain(fallback)
                .chain(pages)
                .collect::<Vec<_>>(),
        )
    };
    let front = format!("one|/index.php||{path}/index.php");
    let page = |name: &str| format!("one|{name}||{path}{name}");
    // The last one is for nobody on this machine, by this address.
    let proxy = with(&[
        "/fpm-%73tatus",
        "/ping,from=::1,from=127.0.0.0/8",
        "/m/own",
        "/x,from=192.0.2.1",
    ]);
    assert_answers(
        &proxy,
        &[
            ("/fpm-status", 200, &page("/fpm-status")),
            ("/fpm-status?full&json", 200, &page("/fpm-status")),
            ("/a/..//fpm-status", 200, &page("/fpm-status")),
            ("/ping", 200, &page("/ping")),
            // Nothing of php-fpm's, so php-fpm has no such file.
            ("/fpm-status/x", 200, &page("/fpm-status/x")),
            ("/fpm-statusx", 200, &front),
            ("/m/own", 200, "two|/m/own||/own"),
            ("/x", 403, ""),
            ("/%78/y", 403, ""),
            ("/", 200, &front),
        ],
    );
    for field in [
        "X-Forwarded-For: 127.0.0.1",
        "Forwarded: for=127.0.0.1",
        "Via: 1.1 a",
    ] {
        let request = format!("GET /ping HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
        assert_eq!(proxy.ask(request).status, 403, "{field}");
    }
    // A trusted proxy has passed the request on, but does not say for whom.
    let proxy = Proxy::in_front_of(
        &application("one"),
        &["--fpm-status", "/ping", "--trusted-proxy", "127.0.0.1"],
    );
    for (field, status) in [
        ("X-Forwarded-For: 127.0.0.1", 200),
        ("X-Forwarded-For: 192.0.2.1", 403),
        ("X-Forwarded-For: unknown", 403),
        ("X-Forwarded-Proto: http", 403),
        ("Forwarded: for=_hidden", 403),
        ("Via: 1.1 a", 403),
        ("Accept: a/b", 200),
    ] {
        let request = format!("GET /ping HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
        assert_eq!(proxy.ask(request).status, status, "{field}");
    }
    // The longest prefix counts.
    let proxy = with(&["/everybody,from=0.0.0.0/0", "/everybody/not,from=192.0.2.1"]);
    assert_answers(
        &proxy,
        &[
            ("/everybody", 200, &page("/everybody")),
            ("/everybody/not", 403, ""),
        ],
    );
    let proxy = with(&[]);
    assert_answers(&proxy, &[("/fpm-status", 200, &front)]);
}

/// The application's file system may not tell letters of different case apart.
// case 166
#[test]
fn on_a_remote_root_a_no_exec_holds_for_names() {
    let arguments = ["--no-exec", "/uploads"];
    let proxy = Proxy::in_front_of(&application("app"), &arguments);
    assert_answers(
        &proxy,
        &[
            ("/uploads/x.php", 403, ""),
            ("/UPLOADS/x.php/y", 403, ""),
            ("/uploads/", 403, ""),
            (
                "/upload/x.php",
                200,
                "app|/upload/x.php||/srv/www/upload/x.php",
            ),
        ],
    );
}
