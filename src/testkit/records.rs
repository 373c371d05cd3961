//! Records for what an application sends, legal or not.

use crate::wire::{self, EndRequest, ProtocolStatus, RecordType, Role};

/// FastCGI records, one after another, which need not be legal. Each method appends to them.
///
/// An application sends them with [`Behavior::send`](super::Behavior::send).
///
/// ```
/// use mio_fcgi::testkit::{Behavior, Records, Scripted};
///
/// // Output for another request, and a head that stops in the middle.
/// let application = Scripted::new(|request| {
///     let stray = Records::new().stdout(request.request_id + 1, b"not yours");
///     let half = Records::new().stdout(request.request_id, b"Status: 200 OK").cut(12);
///     Behavior::new().await_stdin().send(stray).send(half).close()
/// });
/// # drop(application);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    bytes: Vec<u8>,
}

impl Records {
    /// No record.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Appends `FCGI_STDOUT`: as many records as the content needs, and none for no content.
    #[must_use]
    pub fn stdout(mut self, request_id: u16, content: &[u8]) -> Self {
        wire::write_stream(&mut self.bytes, RecordType::Stdout, request_id, content);
        self
    }

    /// Appends the empty `FCGI_STDOUT`, which ends the stream.
    #[must_use]
    pub fn stdout_end(mut self, request_id: u16) -> Self {
        wire::write_stream_end(&mut self.bytes, RecordType::Stdout, request_id);
        self
    }

    /// Appends `FCGI_STDERR`: as many records as the content needs, and none for no content.
    #[must_use]
    pub fn stderr(mut self, request_id: u16, content: &[u8]) -> Self {
        wire::write_stream(&mut self.bytes, RecordType::Stderr, request_id, content);
        self
    }

    /// Appends `FCGI_END_REQUEST` with `FCGI_REQUEST_COMPLETE`.
    #[must_use]
    pub fn end(mut self, request_id: u16, app_status: u32) -> Self {
        let protocol_status = ProtocolStatus::RequestComplete;
        let body = EndRequest {
            app_status,
            protocol_status,
        };
        wire::write_end_request(&mut self.bytes, request_id, body);
        self
    }

    /// Appends one record with this type, request ID, content and length of padding. Content after 65,535 bytes is cut
    /// off.
    #[must_use]
    pub fn record(
        mut self,
        record_type: RecordType,
        request_id: u16,
        content: &[u8],
        padding_len: u8,
    ) -> Self {
        let content = &content[..content.len().min(wire::MAX_CONTENT_LEN)];
        let header = wire::Header {
            record_type,
            request_id,
            content_len: content.len() as u16,
            padding_len,
        };
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.extend_from_slice(content);
        let padded = self.bytes.len() + usize::from(padding_len);
        self.bytes.resize(padded, 0);
        self
    }

    /// Appends bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Keeps only the first `len` bytes, as sent by an application that dies in the middle of a record.
    #[must_use]
    pub fn cut(mut self, len: usize) -> Self {
        self.bytes.truncate(len);
        self
    }
}

// Not covered by semantic versioning: see `internals`.
#[doc(hidden)]
impl Records {
    /// `FCGI_END_REQUEST` with any protocol status.
    #[must_use]
    pub fn refuse(mut self, request_id: u16, protocol_status: ProtocolStatus) -> Self {
        let app_status = 0;
        let body = EndRequest {
            app_status,
            protocol_status,
        };
        wire::write_end_request(&mut self.bytes, request_id, body);
        self
    }

    /// `FCGI_GET_VALUES_RESULT`. Pairs that no record can carry are left out.
    #[must_use]
    pub fn values(self, pairs: &[(&str, &str)]) -> Self {
        let mut content = Vec::new();
        for (name, value) in pairs {
            let mut pair = Vec::new();
            let written = wire::write_pair(&mut pair, name.as_bytes(), value.as_bytes());
            if written.is_ok() && content.len() + pair.len() <= wire::MAX_CONTENT_LEN {
                content.append(&mut pair);
            }
        }
        self.record(
            RecordType::GetValuesResult,
            wire::MANAGEMENT_ID,
            &content,
            0,
        )
    }

    /// `FCGI_UNKNOWN_TYPE`.
    #[must_use]
    pub fn unknown_type(mut self, record_type: u8) -> Self {
        wire::write_unknown_type(&mut self.bytes, record_type);
        self
    }

    /// The empty `FCGI_STDERR`.
    #[must_use]
    pub fn stderr_end(mut self, request_id: u16) -> Self {
        wire::write_stream_end(&mut self.bytes, RecordType::Stderr, request_id);
        self
    }

    /// `FCGI_BEGIN_REQUEST`.
    #[must_use]
    pub fn begin(mut self, request_id: u16, role: Role, keep: bool) -> Self {
        wire::write_begin_request(&mut self.bytes, request_id, role, keep);
        self
    }

    /// `FCGI_PARAMS`, in whole pairs, without their end. Pairs that no record can carry are left out.
    #[must_use]
    pub fn params(mut self, request_id: u16, pairs: &[(&str, &str)]) -> Self {
        for (name, value) in pairs {
            let mut pair = Vec::new();
            let written = wire::write_pair(&mut pair, name.as_bytes(), value.as_bytes());
            if written.is_ok() && pair.len() <= wire::MAX_CONTENT_LEN {
                let record_type = RecordType::Params;
                wire::write_stream(&mut self.bytes, record_type, request_id, &pair);
            }
        }
        self
    }

    /// The empty `FCGI_PARAMS`.
    #[must_use]
    pub fn params_end(mut self, request_id: u16) -> Self {
        wire::write_stream_end(&mut self.bytes, RecordType::Params, request_id);
        self
    }

    /// `FCGI_STDIN`, in as many records as the content needs, none for none.
    #[must_use]
    pub fn stdin(mut self, request_id: u16, content: &[u8]) -> Self {
        wire::write_stream(&mut self.bytes, RecordType::Stdin, request_id, content);
        self
    }

    /// The empty `FCGI_STDIN`.
    #[must_use]
    pub fn stdin_end(mut self, request_id: u16) -> Self {
        wire::write_stream_end(&mut self.bytes, RecordType::Stdin, request_id);
        self
    }

    /// `FCGI_ABORT_REQUEST`.
    #[must_use]
    pub fn abort(mut self, request_id: u16) -> Self {
        wire::write_abort_request(&mut self.bytes, request_id);
        self
    }

    /// `FCGI_GET_VALUES`, padded. Names that no record can carry make none of it.
    #[must_use]
    pub fn get_values(mut self, names: &[&str]) -> Self {
        // Nothing is appended then.
        let _ = wire::write_get_values(&mut self.bytes, names);
        self
    }

    /// Appends the records of another.
    #[must_use]
    pub fn then(mut self, other: &Self) -> Self {
        self.bytes.extend_from_slice(&other.bytes);
        self
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, owned.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
