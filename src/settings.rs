//! The methods `with_<field>` of the structs that have only public fields.

use std::time::Duration;

use crate::address::Address;
use crate::config::{
    Backoff, Config, Multiplex, OverflowPolicy, PauseBuffer, RequestIds, UnknownLength,
};
use crate::limits::Limits;
use crate::server::{Server, ServerMode};
use crate::timeouts::Timeouts;

/// Generates a method `with_<field>` for each field of a struct, from a list of signatures. If the list lacks a field,
/// the build fails.
///
/// A method for an `Option<T>` takes a `T` or an `Option<T>`. The other methods are `const`, except those for a `Vec`
/// or an [`Address`], which have a destructor.
macro_rules! settings {
    ($name:ident { $($with:ident($field:ident: $head:ident $(<$argument:ty>)?),)+ }) => {
        impl $name {
            $($crate::settings::settings! { @method $with $field $head $(<$argument>)? })+
        }

        const _: fn($name) = |$name { $($field: _),+ }| {};
    };
    (@method $with:ident $field:ident Option<$type:ty>) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ") to a value or to `None`; for chains.")]
        #[must_use]
        pub fn $with(mut self, $field: impl Into<Option<$type>>) -> Self {
            self.$field = $field.into();
            self
        }
    };
    (@method $with:ident $field:ident Vec<$type:ty>) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), "); for chains.")]
        #[must_use]
        pub fn $with(mut self, $field: Vec<$type>) -> Self {
            self.$field = $field;
            self
        }
    };
    (@method $with:ident $field:ident Address) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), "); for chains.")]
        #[must_use]
        pub fn $with(mut self, $field: Address) -> Self {
            self.$field = $field;
            self
        }
    };
    (@method $with:ident $field:ident $type:ident) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), "); for chains.")]
        #[must_use]
        pub const fn $with(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    };
}

pub(crate) use settings;

settings! { Config {
    with_servers(servers: Vec<Server>),
    with_limits(limits: Limits),
    with_timeouts(timeouts: Timeouts),
    with_connect_timeout(connect_timeout: Duration),
    with_connect_retry_timeout(connect_retry_timeout: Duration),
    with_backoff(backoff: Backoff),
    with_keep_connections(keep_connections: bool),
    with_multiplex(multiplex: Multiplex),
    with_request_ids(request_ids: RequestIds),
    with_probe_timeout(probe_timeout: Duration),
    with_abort_grace(abort_grace: Duration),
    with_max_retries(max_retries: u8),
    with_stale_window(stale_window: Duration),
    with_pause_buffer(pause_buffer: PauseBuffer),
    with_stdin_high_water(stdin_high_water: usize),
    with_unknown_length(unknown_length: UnknownLength),
    with_max_params_len(max_params_len: usize),
    with_split_long_pairs(split_long_pairs: bool),
    with_preempt_idle_after(preempt_idle_after: Option<Duration>),
    with_check_interval(check_interval: Option<Duration>),
} }

settings! { Server {
    with_address(address: Address),
    with_weight(weight: u16),
    with_mode(mode: ServerMode),
} }

settings! { Limits {
    with_max_total_connections(max_total_connections: usize),
    with_max_connections_per_server(max_connections_per_server: usize),
    with_reserve_for_get_values(reserve_for_get_values: bool),
    with_max_idle_per_server(max_idle_per_server: usize),
    with_min_idle_per_server(min_idle_per_server: usize),
    with_idle_timeout(idle_timeout: Duration),
    with_max_lifetime(max_lifetime: Option<Duration>),
    with_max_requests_per_connection(max_requests_per_connection: Option<u32>),
    with_max_queued_requests(max_queued_requests: usize),
} }

settings! { Timeouts {
    with_queue(queue: Option<Duration>),
    with_write(write: Option<Duration>),
    with_first_byte(first_byte: Option<Duration>),
    with_between_bytes(between_bytes: Option<Duration>),
    with_paused(paused: Option<Duration>),
    with_total(total: Option<Duration>),
} }

settings! { Backoff {
    with_initial(initial: Duration),
    with_max(max: Duration),
} }

settings! { PauseBuffer {
    with_per_request(per_request: usize),
    with_per_connection(per_connection: usize),
    with_per_client(per_client: usize),
    with_overflow(overflow: OverflowPolicy),
} }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_sets_what_the_fields_do() {
        let address: Address = "127.0.0.1:9000".parse().expect("an address");
        let second = Duration::from_secs(1);
        let chained = Config::new(address.clone())
            .with_keep_connections(false)
            .with_preempt_idle_after(None)
            .with_timeouts(Timeouts::NONE.with_total(second).with_queue(Some(second)))
            .with_limits(Limits::default().with_max_requests_per_connection(7))
            .with_servers(vec![address.clone().into(), address.clone().into()]);
        let mut config = Config::from_servers([address.clone(), address]);
        config.keep_connections = false;
        config.preempt_idle_after = None;
        config.timeouts = Timeouts::NONE;
        config.timeouts.total = Some(second);
        config.timeouts.queue = Some(second);
        config.limits.max_requests_per_connection = Some(7);
        assert_eq!(chained, config);
    }
}
