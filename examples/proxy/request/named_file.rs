//! Responds with a file that an application named in place of its body.

use mio_fcgi::cgi::{ForbiddenReason, Resolution};

use super::elsewhere::NamedFile;
use super::exchange::Exchange;
use super::file::{self, FoundFile};
use super::http::head::RequestHead;
use super::net::socket::Socket;
use super::site::context::Context;

/// Responds with the file, or with an error, which is the application's or the operator's.
pub(crate) fn answer(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: RequestHead<'_, '_>,
    named: &NamedFile,
) {
    let head = head.redirected(named.value.clone());
    let found = cx.sent_files().find(named.naming, &named.value);
    if let Some(file) = found.as_ref().and_then(FoundFile::of)
        && file::answer(exchange, cx, socket, &head, file, &named.given)
    {
        return;
    }
    let (status, why) = match found {
        None => (500, "it is below no directory from which files may be sent"),
        Some(Resolution::Invalid(_)) => (500, "that is no path"),
        Some(Resolution::Forbidden(ForbiddenReason::OutsideRoot)) => {
            (403, "a link leads out of the directory")
        }
        Some(_) => (404, "there is no such file"),
    };
    let what = format_args!(
        "answered with {status}: the application names the file {} in {}, but {why}: see {}",
        file::shown(&named.value),
        named.naming,
        named.naming.option(),
    );
    exchange.report(cx, socket, what);
    exchange.fail(
        cx,
        socket,
        status,
        "the file of this response cannot be sent",
    );
}
