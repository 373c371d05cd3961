//! The FastCGI 1.0 wire format, for either side of a transport connection.
//!
//! Nothing here does I/O, allocates when it decodes, or depends on the side it runs on: a Web server and an application
//! can both be built on it.
//!
//! - `record` (specification 3.3, 5 and 8): the header, the record types, roles and statuses, the 8-byte bodies, and
//!   functions that append whole records to a `Vec<u8>`.
//! - `params` (3.4): the name-value pairs of `FCGI_PARAMS`, `FCGI_GET_VALUES` and `FCGI_GET_VALUES_RESULT`.
//! - `demux`: [`Demux`] splits received bytes, which may be cut anywhere, into [`Item`]s that borrow them.
//! - `error`: [`EncodeError`] for bytes to be written, [`DecodeError`] for bytes received.
//!
//! One request, as a Web server writes it and as an application reads it:
//!
//! ```
//! use mio_fcgi::wire::{self, BeginRequest, Demux, Item, RecordType, Role};
//!
//! let mut params = Vec::new();
//! wire::write_pair(&mut params, b"REQUEST_METHOD", b"GET")?;
//!
//! let mut bytes = Vec::new();
//! wire::write_begin_request(&mut bytes, 1, Role::Responder, true);
//! wire::write_params_records(&mut bytes, 1, &[&params]);
//! wire::write_stream_end(&mut bytes, RecordType::Params, 1);
//! wire::write_stream_end(&mut bytes, RecordType::Stdin, 1);
//!
//! let mut demux = Demux::default();
//! let mut input = bytes.as_slice();
//! let body = BeginRequest { role: Role::Responder.to_wire(), flags: wire::KEEP_CONN };
//! assert_eq!(demux.next(&mut input)?, Some(Item::Begin { request_id: 1, body }));
//! let Some(Item::Stream { record_type: RecordType::Params, request_id: 1, data }) = demux.next(&mut input)? else {
//!     panic!("the parameters come second");
//! };
//! let pair = wire::Pairs::new(data).next().transpose()?;
//! assert_eq!(pair, Some((&b"REQUEST_METHOD"[..], &b"GET"[..])));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod demux;
mod display;
mod error;
mod params;
mod record;

pub use demux::{Demux, Item};
pub use error::{DecodeError, EncodeError};
pub(crate) use params::LenBytes;
pub use params::{Pairs, pair_len, write_get_values, write_pair, write_params_records};
pub use record::{
    BeginRequest, EndRequest, HEADER_LEN, Header, KEEP_CONN, MANAGEMENT_ID,
    MAX_ALIGNED_CONTENT_LEN, MAX_CONNS, MAX_CONTENT_LEN, MAX_REQS, MPXS_CONNS, ProtocolStatus,
    RecordType, Role, UnknownType, VERSION, write_abort_request, write_begin_request,
    write_end_request, write_record, write_stream, write_stream_end, write_unknown_type,
};
