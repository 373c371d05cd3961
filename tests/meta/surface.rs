//! What the public types promise without a call: threads, sizes, common traits.

use std::fmt::Debug;
use std::hash::Hash;

use mio_fcgi::cgi::{
    self, BodyPart, ChunkedDecoder, ChunkedError, Collector, Completeness, Decoded, EnvError,
    FieldRules, Head, HeadError, HeadParser, HeadRules, Incomplete, Interim, PassOnError, PassedOn,
    Reply, ReplyHead, ReplyTo, RequestBody, RequestBodyError, Resolution, Response, ResponseError,
    ResponseLimits, Script, ScriptMap, Verdict,
};
use mio_fcgi::wire::{self, DecodeError, Demux, EncodeError, Header, Item, RecordType, Role};
use mio_fcgi::{
    Action, Address, AddressError, Backoff, Body, BodyError, Client, ClientId, Clients,
    CloseReason, Commands, Completion, Config, ConfigError, ConnectError, ConnectionGauges,
    ConnectionHandle, ConnectionInfo, ConnectionLostReason, ConnectionState, Counters, Delivery,
    Disconnected, Engine, Event, Failure, GetValuesError, Limits, Multiplex, OverflowPolicy,
    OwnedEvent, Params, ParamsIter, PauseBuffer, Phase, ProtocolError, ReadBuf, Report, Request,
    RequestError, RequestGauges, RequestHandle, RequestInfo, RequestState, Retry, ServerId,
    ServerValues, SharedParams, Stats, StdinError, Stream, SubmitError, Tag, TimeoutKind, Timeouts,
    Timings, Transmit, UnknownLength, blocking,
};

/// Calls a function for each type of a list.
macro_rules! each {
    ($check:ident: $($type:ty),+ $(,)?) => { $($check::<$type>();)+ };
}

#[test]
fn everything_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    each!(is_send: Client, Clients, Engine, ReadBuf, Stream, Request, Body, Params, Event<&'static [u8]>, OwnedEvent);
    each!(is_send: Config, Stats, Transmit<'static>, Collector, HeadParser, Reply, ReplyHead<'static>, RequestBody, ScriptMap, Demux);
}

#[test]
fn values_and_errors_can_be_shared_among_threads() {
    fn is_shared<T: Send + Sync>() {}
    each!(is_shared: Address, Config, Limits, Timeouts, PauseBuffer, Stats, Report);
    each!(is_shared: Params, ParamsIter<'static>, SharedParams);
    each!(is_shared: Event<&'static [u8]>, OwnedEvent, Response, Incomplete, Script, ScriptMap);
    each!(is_shared: blocking::Call<'static>);
    each!(is_shared: RequestInfo, ConnectionInfo);
    each!(is_shared: RequestHandle, ConnectionHandle, ClientId, Tag, ServerId, Action, Disconnected);
}

#[test]
fn errors_are_errors_that_can_be_cloned_and_compared() {
    fn is_error<T: std::error::Error + Clone + Eq + Send + Sync + 'static>() {}
    each!(is_error: AddressError, ConfigError, GetValuesError, SubmitError, StdinError, Failure, RequestError);
    each!(is_error: ConnectError, ConnectionLostReason, ProtocolError, BodyError, DecodeError, EncodeError);
    each!(is_error: ChunkedError, EnvError, HeadError, PassOnError, RequestBodyError, ResponseError, Incomplete);
    // Holds an `io::Error`, which can be neither.
    fn is_plain_error<T: std::error::Error + Send + Sync + 'static>() {}
    each!(is_plain_error: blocking::CallError);
}

#[test]
fn names_and_kinds_are_copied_compared_and_hashed() {
    fn is_key<T: Copy + Eq + Hash + Debug>() {}
    each!(is_key: Tag, ServerId, ClientId, RequestHandle, ConnectionHandle, TimeoutKind, Delivery, Phase, CloseReason);
    each!(is_key: Retry, Role, RecordType, Completeness, PassedOn, cgi::ForbiddenReason, cgi::InvalidTarget);
    each!(is_key: RequestState, ConnectionState);
    fn is_ordered<T: Ord>() {}
    each!(is_ordered: Tag, ServerId, ClientId, RequestHandle, ConnectionHandle, Retry, Delivery, Phase);
    fn hashes<T: Eq + Hash>() {}
    each!(hashes: Address, Header, wire::EndRequest);
}

#[test]
fn settings_and_figures_are_cloned_compared_and_shown() {
    fn is_value<T: Clone + Eq + Debug>() {}
    each!(is_value: Limits, Timeouts, PauseBuffer, OverflowPolicy, Backoff, Multiplex, UnknownLength, Config);
    each!(is_value: Report, Timings, Completion, ServerValues, Stats, Counters);
    each!(is_value: ConnectionGauges, RequestGauges, Action, Disconnected, Event<&'static [u8]>);
    each!(is_value: OwnedEvent, Params, SharedParams, Script, Resolution, Response, Interim);
    each!(is_value: RequestInfo, ConnectionInfo);
    each!(is_value: HeadRules, FieldRules, ResponseLimits, Item<'static>);
    each!(is_value: ReplyTo, Verdict, BodyPart<'static>, Decoded<'static>);
    fn is_shown<T: Debug>() {}
    each!(is_shown: Client, Clients, Engine, ReadBuf, Stream, Request, Body, Collector, HeadParser, Head<'static>);
    each!(is_shown: ChunkedDecoder, Reply, ReplyHead<'static>, RequestBody);
}

/// The values returned for each piece of output are small, since they are moved several times.
#[test]
#[cfg(target_pointer_width = "64")]
fn what_passes_by_often_is_small() {
    let at_most = |what: &str, len: usize, most: usize| assert!(len <= most, "{what}: {len}");
    at_most("RequestHandle", size_of::<RequestHandle>(), 8);
    at_most("ConnectionHandle", size_of::<ConnectionHandle>(), 8);
    at_most("Item", size_of::<Item<'_>>(), 24);
    at_most("Action", size_of::<Action>(), 24);
    at_most("RequestError", size_of::<RequestError>(), 32);
    at_most("Failure", size_of::<Failure>(), 160);
    at_most("Event", size_of::<Event<&[u8]>>(), 176);
}

#[test]
fn an_engine_takes_no_name_that_is_still_to_be_resolved() {
    let config = Config::new(Address::Host {
        name: "php.local".into(),
        port: 9000,
    });
    assert_eq!(config.validate(), Ok(()), "a client resolves it");
    let name = "php.local".into();
    assert_eq!(
        Engine::new(config).err(),
        Some(ConfigError::UnresolvedHost { name })
    );
}

#[test]
fn an_address_that_no_system_call_would_take_is_refused_before_it_is_connected_to() {
    let too_long = Address::Unix("a".repeat(200).into());
    let addresses = [
        Address::Unix("".into()),
        Address::Unix("a\0b".into()),
        Address::Abstract(String::new()),
        Address::Abstract("a".repeat(200)),
        too_long.clone(),
    ];
    for address in addresses {
        let mut config = Config::new(Address::Abstract("fine".into()));
        config.servers.push(address.clone().into());
        let Err(ConfigError::Address { index: 1, error }) = config.validate() else {
            panic!("{address:?} counts as an address");
        };
        if address == too_long {
            assert!(matches!(error, AddressError::PathTooLong { len: 200, .. }));
        }
        assert!(Engine::new(config).is_err());
    }
}

#[test]
fn clients_and_engines_take_the_same_commands() {
    fn takes_commands<T: Commands>() {}
    each!(takes_commands: Client, Engine);
}
