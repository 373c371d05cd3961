//! The demo application in a headless Chromium, driven by the scripts in `tests/applications/browser`.

use std::path::{Path, PathBuf};

use crate::harness::{Tool, echo_of, pattern};
use crate::http::Proxy;

/// One test for each scenario of `demo.py`.
macro_rules! scenarios {
    ($($name:ident: $scenario:literal),+ $(,)?) => {
        $(
            #[test]
            #[ignore = "needs Chromium; run tests/run"]
            fn $name() {
                show($scenario, &[]);
            }
        )+
    };
}

scenarios! {
    the_page_shows_its_own_request: "request",
    a_form_is_answered_with_a_page: "form",
    a_streamed_answer_is_shown_in_pieces: "stream",
    a_stream_that_is_stopped_ends_for_the_application_too: "stop",
    others_are_served_while_a_slow_answer_is_awaited: "slow",
    text_goes_to_the_application_and_back: "echo",
    nothing_sticks_out_of_a_narrow_page: "small",
    the_status_page_shows_figures_that_move_and_what_hangs: "figures",
}

#[test]
#[ignore = "needs Chromium; run tests/run"]
fn an_upload_shows_its_progress_and_what_arrived() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let body = pattern(7, 3_000_001);
    std::fs::write(file.path(), &body).expect("a file");
    let echo = echo_of(&body);
    let hash = echo.trim_end().rsplit('=').next().expect("a hash");
    let path = file.path().to_str().expect("UTF-8");
    show("upload", &[path, &body.len().to_string(), hash]);
}

/// Shows the demo application to a browser; neither the browser nor the proxy may report an error.
fn show(scenario: &str, arguments: &[&str]) {
    let mut proxy = Proxy::start(&["--status"]);
    browse("demo.py", scenario, &proxy, arguments);
    // The log is complete then.
    proxy.terminate();
    assert!(proxy.wait().success());
    let log = proxy.log();
    assert!(!log.contains("proxy: ["), "{log}");
}

/// Runs a scenario to its end.
pub(crate) fn browse(script: &str, scenario: &str, proxy: &Proxy, arguments: &[&str]) {
    let base = format!("http://{}", proxy.address());
    let pictures = pictures();
    let pictures = pictures.to_str().expect("UTF-8");
    let fixed = [scenario, &base, pictures];
    Tool::python(&format!("browser/{script}"))
        .args(fixed)
        .args(arguments.iter().copied())
        .run();
}

/// The directory in which a browser's pictures are kept.
fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    std::fs::create_dir_all(&folder).expect("target is ours");
    folder
}
