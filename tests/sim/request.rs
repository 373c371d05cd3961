//! Makes the request that a plan describes.

use std::io::{Cursor, Read};
use std::sync::Arc;

use mio_fcgi::wire::Role;
use mio_fcgi::{Body, Request};

use crate::far::{data_of, pattern, stdin_of};
use crate::plan::{BodyKind, Submit};

pub(crate) fn request_of(submit: &Submit) -> Request {
    let mut request = Request::new(submit.role);
    request.params.push("TAG", submit.tag.to_string());
    if !submit.method.is_empty() {
        request.params.push("REQUEST_METHOD", submit.method);
    }
    let mut left = submit.params_len;
    while left > 0 {
        let len = left.min(40_000);
        request.params.push("FILLING", vec![b'x'; len]);
        left -= len;
    }
    let bytes = pattern(stdin_of(submit.tag), 0..submit.body_len);
    let len = Some(bytes.len() as u64);
    request.body = match submit.body {
        BodyKind::None => Body::empty(),
        BodyKind::Bytes => Body::bytes(bytes),
        BodyKind::Shared => Body::shared(Arc::from(bytes)),
        BodyKind::Reader => Body::reader(Cursor::new(bytes), len),
        BodyKind::Seekable => Body::seekable(Cursor::new(bytes), len),
        BodyKind::Short => Body::reader(Cursor::new(bytes).take(9), len),
        BodyKind::Long => {
            let longer = [&bytes[..], &[0; 9]].concat();
            Body::reader(Cursor::new(longer), len)
        }
        BodyKind::Pushed => Body::pushed(None),
        BodyKind::PushedKnown => Body::pushed(len),
    };
    if submit.role == Role::Filter {
        request.data = Body::bytes(pattern(data_of(submit.tag), 0..500));
    }
    request.retry = submit.retry;
    request.timeouts = Some(submit.timeouts);
    request
}
