//! Several sites and applications below prefixes.

use super::harness::{Proxy, get, run};
use super::site::{application, assert_answers, directory, text};
use super::witness::witness;

/// flup, Django, Rack and Go take each path.
// case 163
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

// case 163
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

// case 163
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

// case 163
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
    waiting.send(get("/silent/"));
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
            upstream(&["--fpm-status", "/a,from=here"]),
            "--fpm-status expects PREFIX[,from=CIDR]",
        ),
        (
            upstream(&["--fpm-status", "/a,192.0.2.0/24"]),
            "--fpm-status expects PREFIX[,from=CIDR]",
        ),
        (
            upstream(&["--fpm-status", "status"]),
            "--fpm-status expects a path",
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
