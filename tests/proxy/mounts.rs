//! Where things are: sites and applications below prefixes, two roots, links that are switched, and what is not run.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use tempfile::TempDir;

use super::harness::{Answer, Proxy, run};
use super::witness::witness;

/// An application that answers with its name and with where it was told that the script is.
fn application(name: &'static str) -> String {
    let (address, requests) = witness(move |request| {
        let told = ["SCRIPT_NAME", "PATH_INFO", "SCRIPT_FILENAME"].map(|it| request.param(it));
        let told = told.join("|");
        format!("Content-Type: text/plain\r\n\r\n{name}|{told}").into_bytes()
    });
    // As long as somebody takes them, the application keeps its connections.
    thread::spawn(move || requests.iter().for_each(drop));
    address
}

/// A directory with files. A name that ends in a slash is a directory.
fn directory(names: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), names);
    directory
}

fn write(directory: &Path, names: &[&str]) {
    for name in names {
        let path = directory.join(name);
        let folder = match name.strip_suffix('/') {
            Some(_) => &path,
            None => path.parent().expect("below the root"),
        };
        fs::create_dir_all(folder).expect("a directory");
        if !name.ends_with('/') {
            fs::write(&path, format!("the file {name}")).expect("a file");
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn real(directory: &TempDir) -> PathBuf {
    directory.path().canonicalize().expect("it is there")
}

/// Checks statuses, and texts where they are given.
#[track_caller]
fn assert_answers(proxy: &Proxy, rows: &[(&str, u16, &str)]) {
    for (target, status, expected) in rows {
        let Answer {
            status: got, body, ..
        } = proxy.get(target);
        let body = String::from_utf8_lossy(&body);
        assert_eq!(got, *status, "{target}: {body}");
        if *status == 200 {
            assert_eq!(body, *expected, "{target}");
        }
    }
}

/// flup, Django, Rack and Go take each path.
// edge: an application at the root | `SCRIPT_NAME` is empty, `PATH_INFO` is the path, decoded and without dots
#[test]
fn an_application_at_the_root_gets_every_path() {
    let mount = format!("/={}", application("app"));
    let proxy = Proxy::start(&["--mount", &mount]);
    assert_answers(
        &proxy,
        &[
            ("/", 200, "app||/|"),
            ("/a/b.php/c?d", 200, "app||/a/b.php/c|"),
            ("/x/../%61%20//b/", 200, "app||/a /b/|"),
            ("/.hidden", 200, "app||/.hidden|"),
            ("/..", 403, ""),
            ("/%zz", 400, ""),
            ("/a%00", 400, ""),
            ("/a%0A", 400, ""),
        ],
    );
}

// edge: an application below a prefix | `SCRIPT_NAME` is the prefix, `PATH_INFO` the rest; 404 elsewhere
#[test]
fn an_application_below_a_prefix_gets_the_paths_below_it() {
    let (one, two) = (application("one"), application("two"));
    let mounts = [format!("/app={one}"), format!("/app/%61dmin/={two}")];
    let proxy = Proxy::start(&["--mount", &mounts[0], "--mount", &mounts[1]]);
    assert_answers(
        &proxy,
        &[
            ("/app", 200, "one|/app||"),
            ("/app/", 200, "one|/app|/|"),
            ("/app/x/y?z", 200, "one|/app|/x/y|"),
            ("/application", 404, ""),
            ("/", 404, ""),
            // The longest prefix, in whole segments, of the path as it is once it is decoded.
            ("/app/admin/x", 200, "two|/app/admin|/x|"),
            ("/app/administrator", 200, "one|/app|/administrator|"),
            ("/%61pp/x/..//%61dmin/y", 200, "two|/app/admin|/y|"),
            ("/app/admin/../x", 200, "one|/app|/x|"),
            ("/app%2Fadmin%2F..%2F..%2Fx", 404, ""),
            ("/app/admin/%2e%2e/%2e%2e/..", 403, ""),
            ("/APP/x", 404, ""),
        ],
    );
}

// edge: files beside an application | sent if they exist; hidden files, links out and sources are refused
#[cfg(unix)]
#[test]
fn files_beside_an_application_are_sent() {
    let files = directory(&["css/a.css", ".env", "x.php", "x.php.bak", "docs/index.html"]);
    let outside = directory(&["secret.txt"]);
    std::os::unix::fs::symlink(outside.path(), files.path().join("out")).expect("a link");
    let app = application("app");
    for prefix in ["", "/app"] {
        let mount = format!("{prefix}/={app},files={}", text(files.path()));
        let proxy = Proxy::start(&["--mount", &mount]);
        let at = |path: &str| format!("{prefix}{path}");
        let from = |path: &str| format!("app|{prefix}|{path}|");
        assert_answers(
            &proxy,
            &[
                (&at("/css/a.css"), 200, "the file css/a.css"),
                (&at("/css/b.css"), 200, &from("/css/b.css")),
                (&at("/css"), 200, &from("/css")),
                (&at("/docs/"), 200, &from("/docs/")),
                (&at("/"), 200, &from("/")),
                // The application's routes may look like scripts.
                (&at("/x.php"), 200, &from("/x.php")),
                (&at("/none.php/y"), 200, &from("/none.php/y")),
                (&at("/.none"), 200, &from("/.none")),
                (&at("/.env"), 403, ""),
                (&at("/x.php.bak"), 403, ""),
                (&at("/out/secret.txt"), 403, ""),
            ],
        );
    }
}

// edge: several sites below prefixes | each has its own root, front controller, index and application
#[test]
fn sites_below_prefixes_have_roots_and_applications_of_their_own() {
    let main = directory(&["index.php", "blog/index.php", "a.txt"]);
    let blog = directory(&["index.php", "post.php", "b.txt", "sub/"]);
    let wiki = directory(&["wiki.cgi", "start.cgi"]);
    let (one, two) = (application("one"), application("two"));
    let (root, blog_root, wiki_root) = (text(main.path()), text(blog.path()), text(wiki.path()));
    let mounts = [
        format!("/blog={two},root={blog_root},fallback=/index.php"),
        format!("/wiki={two},root={wiki_root},extension=.cgi,index=start.cgi"),
    ];
    let mut arguments = vec!["--upstream", &one, "--root", root];
    arguments.extend(["--mount", &mounts[0], "--mount", &mounts[1]]);
    let proxy = Proxy::start(&arguments);
    let script = |application: &str, name: &str, path_info: &str, root: &str, file: &str| {
        format!("{application}|{name}|{path_info}|{root}{file}")
    };
    let blog_index = script("two", "/blog/index.php", "", blog_root, "/index.php");
    assert_answers(
        &proxy,
        &[
            (
                "/",
                200,
                &script("one", "/index.php", "", root, "/index.php"),
            ),
            ("/a.txt", 200, "the file a.txt"),
            ("/b.txt", 404, ""),
            ("/none", 404, ""),
            // Not the directory of that name below the main root.
            ("/blog/", 200, &blog_index),
            ("/blog/route/of/it", 200, &blog_index),
            ("/blog/b.txt", 200, "the file b.txt"),
            (
                "/blog/post.php/x",
                200,
                &script("two", "/blog/post.php", "/x", blog_root, "/post.php"),
            ),
            (
                "/wiki/",
                200,
                &script("two", "/wiki/start.cgi", "", wiki_root, "/start.cgi"),
            ),
            (
                "/wiki/wiki.cgi/a",
                200,
                &script("two", "/wiki/wiki.cgi", "/a", wiki_root, "/wiki.cgi"),
            ),
            ("/wiki/index.php", 404, ""),
        ],
    );
    for (target, location) in [("/blog?a", "/blog/?a"), ("/blog/sub", "/blog/sub/")] {
        let answer = proxy.get(target);
        assert_eq!(
            (answer.status, answer.field("location")),
            (301, Some(location))
        );
    }
}

/// An application answers one request at a time here. One that is busy delays no other.
#[test]
fn each_application_has_connections_and_a_queue_of_its_own() {
    let (busy, told) = witness(|_| Vec::new());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = listener.local_addr().expect("an address").to_string();
    let mounts = [
        format!("/silent={silent}"),
        format!("/other={}", application("other")),
        format!("/empty={busy}"),
    ];
    let fixed = ["--max-conns", "1", "--queue", "0"];
    let mounted = mounts.iter().flat_map(|mount| ["--mount", mount]);
    let arguments: Vec<&str> = fixed.into_iter().chain(mounted).collect();
    let proxy = Proxy::start(&arguments);
    let mut waiting = proxy.connect();
    waiting.send(super::harness::get("/silent/"));
    let _connection = listener.accept().expect("a connection");
    assert_answers(
        &proxy,
        &[
            ("/silent/", 503, ""),
            ("/other/", 200, "other|/other|/|"),
            ("/empty/", 502, ""),
            ("/other/", 200, "other|/other|/|"),
        ],
    );
    assert_eq!(
        told.iter().next().expect("a request").param("PATH_INFO"),
        "/"
    );
}

/// Two mounts with the same upstreams are one application: `--max-conns` holds for both together.
#[test]
fn mounts_with_the_same_upstreams_share_their_connections() {
    let app = application("app");
    let mounts = [format!("/one={app}"), format!("/two={app}")];
    let mounted = mounts.iter().flat_map(|mount| ["--mount", mount]);
    let fixed = ["--status", "--idle-timeout", "1000"];
    let arguments: Vec<&str> = fixed.into_iter().chain(mounted).collect();
    let proxy = Proxy::start(&arguments);
    for _ in 0..3 {
        assert_answers(
            &proxy,
            &[("/one/", 200, "app|/one|/|"), ("/two/", 200, "app|/two|/|")],
        );
    }
    proxy.wait_for_figure("requests.completed", 6);
    assert_eq!(proxy.figure("pool.connected"), 1);
}

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

/// The application's file system may not tell letters of different case apart.
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

#[test]
fn what_is_wrong_with_a_mount_is_said_in_one_line() {
    let root = directory(&["a.php"]);
    let root = text(root.path());
    let with_root = format!("/b=127.0.0.1:9,root={root}");
    let mount = |value: &str| vec!["--mount".to_owned(), value.to_owned()];
    let rooted = |rest: &str| mount(&format!("{with_root}{rest}"));
    let twice = |one: &str, other: &str| [mount(one), mount(other)].concat();
    let upstream = |rest: &[&str]| {
        let fixed = ["--upstream", "127.0.0.1:9", "--root", root];
        let all = fixed.iter().chain(rest);
        all.map(ToString::to_string).collect::<Vec<_>>()
    };
    let invalid: Vec<(Vec<String>, &str)> = vec![
        (mount("/a"), "--mount expects PREFIX=ADDR, such as /blog="),
        (
            mount("a=127.0.0.1:9"),
            "--mount expects a path such as /blog",
        ),
        (mount("/a?b=127.0.0.1:9"), "--mount expects a path such as"),
        (mount("/..=127.0.0.1:9"), "--mount expects a path such as"),
        (mount("/%zz=127.0.0.1:9"), "--mount expects a path such as"),
        (mount("/a="), "--mount expects ADDR: ''"),
        (
            mount("/a=files=/"),
            "--mount expects the ADDR of an application",
        ),
        (mount("/a=127.0.0.1:0"), "port 0"),
        (
            mount("/a=127.0.0.1:9,nowhere"),
            "--mount expects ADDR: 'nowhere'",
        ),
        (rooted(",color=red"), "root=, script-root=, files="),
        (rooted(",fallback="), "root=, script-root=, files="),
        (rooted(",root=/"), "--mount expects root once"),
        (rooted(",remote,remote"), "--mount expects remote once"),
        (rooted(",files=/"), "root=DIR or files=DIR"),
        (
            rooted(",fallback=x.php"),
            "expects a path such as /index.php",
        ),
        (rooted(",index=a/b"), "expects a file's name"),
        (rooted(",extension=php"), "expects a dot"),
        (rooted(",realpath,remote"), "--mount /b: realpath needs"),
        (
            rooted(",realpath,script-root=/x"),
            "--mount /b: realpath needs",
        ),
        (
            mount("/a=127.0.0.1:9,fallback=/x.php"),
            "root=DIR beside fallback",
        ),
        (mount("/a=127.0.0.1:9,remote"), "root=DIR beside remote"),
        (
            mount("/a=127.0.0.1:9,root=/nonexistent"),
            "--mount /a: root '/nonexistent' is not a directory here; if it is one on the application's machine, add remote",
        ),
        (
            mount("/a=127.0.0.1:9,files=/nonexistent"),
            "--mount /a: files '/nonexistent' is not",
        ),
        (
            twice("/a=127.0.0.1:9", "/%61/=127.0.0.1:9"),
            "--mount /a and --mount /%61/ are for the same paths",
        ),
        (
            upstream(&["--mount", "/=127.0.0.1:9"]),
            "--upstream and --mount / are for the same paths",
        ),
        (upstream(&["--realpath", "--remote"]), "--realpath needs"),
        (
            upstream(&["--realpath", "--script-root", "/x"]),
            "--realpath needs",
        ),
        (
            upstream(&["--no-exec", "uploads"]),
            "--no-exec expects a path",
        ),
        (
            [
                mount("/a=127.0.0.1:9"),
                vec!["--root".to_owned(), root.to_owned()],
            ]
            .concat(),
            "--root needs --upstream",
        ),
        (vec!["--realpath".to_owned()], "--realpath needs --upstream"),
        (
            vec!["--no-exec".to_owned(), "/a".to_owned()],
            "--no-exec needs --upstream",
        ),
    ];
    for (arguments, expected) in &invalid {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = run(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    }
    let output = run(&["--mount", &format!("{with_root},fallback=/none.php")]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("--mount /b: fallback /none.php is no script"),
        "{said}"
    );
}

/// A container is not there yet: nothing is asked of a name that cannot be looked up.
#[test]
fn a_name_in_a_mount_that_is_not_found_is_named() {
    // A label of more than 63 bytes is no name: no resolver is asked.
    let nowhere = format!("{}:9000", "a".repeat(64));
    let output = run(&["--mount", &format!("/a={nowhere}")]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("--mount {nowhere}: ")), "{said}");
}
