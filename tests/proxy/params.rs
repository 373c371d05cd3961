//! The parameters that the application gets, from the command line and from the request.

use std::sync::mpsc::Receiver;

use super::harness::{Proxy, TIME_LIMIT};
use super::witness::{ReceivedRequest, witness};
use crate::program::example;

/// An application that answers every request, and a channel of the requests it received.
fn listener() -> (String, Receiver<ReceivedRequest>) {
    witness(|_| b"Content-Type: text/plain\r\n\r\nyes".to_vec())
}

/// The request that an application below `/srv/www` receives.
fn told(arguments: &[&str], target: &str, fields: &str) -> ReceivedRequest {
    told_after(
        arguments,
        &format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"),
    )
}

/// The request that an application receives after these bytes of a client.
fn told_after(arguments: &[&str], sent: &str) -> ReceivedRequest {
    let (address, told) = listener();
    let fixed = ["--multiplex", "off"];
    let proxy = Proxy::in_front_of(&address, &[&fixed[..], arguments].concat());
    let answer = proxy.ask(sent);
    assert_eq!(answer.text(), "yes");
    told.recv_timeout(TIME_LIMIT).expect("a request")
}

// case 159
#[test]
fn a_declared_length_is_passed_on_even_if_it_is_zero() {
    for (request, expected) in [
        ("POST /a.php HTTP/1.1\r\nContent-Length: 0\r\n", Some("0")),
        ("PUT /a.php HTTP/1.1\r\nContent-Length: 0\r\n", Some("0")),
        ("POST /a.php HTTP/1.0\r\nContent-Length: 00\r\n", Some("0")),
        ("POST /a.php HTTP/1.1\r\n", None),
        ("GET /a.php HTTP/1.1\r\n", None),
    ] {
        let params = told_after(&[], &format!("{request}Host: a\r\n\r\n")).params;
        let length = params.get("CONTENT_LENGTH").map(String::as_str);
        assert_eq!(length, expected, "{request}");
    }
    let fields = "Host: a\r\nContent-Length: 4\r\n";
    let params = told_after(&[], &format!("POST /a.php HTTP/1.1\r\n{fields}\r\nbody")).params;
    assert_eq!(params.get("CONTENT_LENGTH").map(String::as_str), Some("4"));
    let fields = "Host: a\r\nTransfer-Encoding: chunked\r\n";
    let chunks = "4\r\nbody\r\n0\r\n\r\n";
    let params = told_after(
        &[],
        &format!("POST /a.php HTTP/1.1\r\n{fields}\r\n{chunks}"),
    )
    .params;
    assert_eq!(params.get("CONTENT_LENGTH").map(String::as_str), Some("4"));
}

#[test]
fn credentials_are_passed_on_only_if_enabled() {
    let fields = "Authorization: Basic YTpi\r\nProxy-Authorization: Basic Yzpk\r\n";
    let hidden = told(&[], "/a.php", fields).params;
    assert_eq!(hidden.get("HTTP_AUTHORIZATION"), None);
    let passed = told(&["--pass-authorization"], "/a.php", fields).params;
    assert_eq!(passed["HTTP_AUTHORIZATION"], "Basic YTpi");
    assert_eq!(passed.get("HTTP_PROXY_AUTHORIZATION"), None);
}

// edge: a field with underscores in its name | dropped; with `--underscores` passed, unless it poses as another field
#[test]
fn fields_with_underscores_are_passed_on_only_if_enabled() {
    let fields = "api_key: k\r\nX_Site: evil\r\nX-Site: good\r\nContent_Length: 9\r\n";
    let dropped = told(&[], "/a.php", fields).params;
    assert_eq!(dropped.get("HTTP_API_KEY"), None);
    assert_eq!(dropped["HTTP_X_SITE"], "good");
    let passed = told(&["--underscores"], "/a.php", fields).params;
    assert_eq!(passed["HTTP_API_KEY"], "k");
    assert_eq!(passed["HTTP_X_SITE"], "good");
    assert_eq!(passed.get("HTTP_CONTENT_LENGTH"), None);
}

#[test]
fn parameters_of_the_command_line_replace_all_others() {
    let arguments = [
        "--param",
        "HTTPS=on",
        "--param",
        "HTTP_X_REAL=no=1",
        "--param",
        "SERVER_SOFTWARE=mine",
        "--param",
        "EMPTY=",
    ];
    let told = told(&arguments, "/a.php", "X-Real: yes\r\nHTTPS: off\r\n").params;
    for (name, value) in [
        ("HTTPS", "on"),
        ("HTTP_X_REAL", "no=1"),
        ("SERVER_SOFTWARE", "mine"),
        ("EMPTY", ""),
        ("DOCUMENT_ROOT", "/srv/www"),
    ] {
        assert_eq!(told[name], value, "{name}");
    }
}

#[test]
fn a_script_has_the_configured_extension() {
    for (extension, target, name, path_info) in [
        (".cgi", "/a.php/b.cgi/c/d", "/a.php/b.cgi", Some("/c/d")),
        ("", "/a/b.git/refs", "/a", Some("/b.git/refs")),
        ("", "/a", "/a", None),
        ("", "/", "/index.php", None),
    ] {
        let told = told(&["--extension", extension], target, "").params;
        assert_eq!(told["SCRIPT_FILENAME"], format!("/srv/www{name}"));
        assert_eq!(told["SCRIPT_NAME"], name);
        assert_eq!(told.get("PATH_INFO").map(String::as_str), path_info);
    }
}

#[test]
fn the_document_root_is_sent_as_an_absolute_path() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path().canonicalize().expect("it is there");
    std::fs::create_dir(directory.join("www")).expect("a directory");
    std::fs::write(directory.join("www/a.php"), "<?php").expect("a file");
    let (address, told) = listener();
    let mut command = example("proxy");
    command.current_dir(&directory);
    command.args(["--upstream", &address, "--root", "www"]);
    let proxy = Proxy::launch(command);
    assert_eq!(proxy.get("/a.php").text(), "yes");
    let told = told.recv_timeout(TIME_LIMIT).expect("a request").params;
    let root = directory.join("www");
    let root = root.to_str().expect("UTF-8");
    assert_eq!(told["DOCUMENT_ROOT"], root);
    assert_eq!(told["SCRIPT_FILENAME"], format!("{root}/a.php"));
}

#[test]
fn with_max_idle_0_each_request_has_a_connection_of_its_own() {
    for (idle, keeps) in [("0", false), ("1", true)] {
        assert_eq!(told(&["--max-idle", idle], "/a.php", "").keeps, keeps);
    }
}
