//! `/-/status`: one file with its style and its script, which asks for `/-/status.json` each second.

use std::hash::{BuildHasher, RandomState};

/// The page and its `Content-Security-Policy`, which allows this style and this script, requests to this server, an icon
/// within the page, and nothing else.
pub(crate) fn page() -> (String, String) {
    // Two hashers with random keys: nobody can guess the value and have another script run.
    let half = || RandomState::new().hash_one(0);
    let nonce = format!("{:016x}{:016x}", half(), half());
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    (PAGE.replace("{nonce}", &nonce), policy)
}

const PAGE: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>mio-fcgi proxy</title>\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<link rel=\"icon\" href=\"data:,\">\n<style nonce=\"{nonce}\">\n",
    include_str!("page.css"),
    "</style>\n",
    include_str!("page.html"),
    "<script nonce=\"{nonce}\">\n",
    include_str!("page.js"),
    "</script>\n</html>\n"
);
