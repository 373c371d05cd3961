//! Sets up the network, and the application, the links and the connects of a server, as planned for its address.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use mio_fcgi::ServerId;
use mio_fcgi::testkit::{Network, Scripted};

use crate::far::{Far, answer};
use crate::plan::Plan;
use crate::watch::Tap;

/// A network without servers, as planned.
pub(crate) fn network_of(plan: &Plan, origin: Instant, keep_trace: bool) -> Network {
    let mut network = Network::new(plan.list.len(), origin, 0).with_rng(plan.rng.clone());
    if plan.is_client {
        network = network.as_client();
    }
    if keep_trace {
        network.keep_trace();
    }
    if plan.is_shuffled {
        network.shuffle();
    }
    network.limit_sockets(plan.max_sockets);
    network
}

/// Sets up the server with a number.
pub(crate) fn set_up(network: &mut Network, far: &Rc<RefCell<Far>>, plan: &Plan, number: usize) {
    let setup = &plan.servers[far.borrow().servers.place(number)];
    let (asks, own) = (Rc::clone(far), setup.clone());
    let shares = setup.shares(&plan.config);
    let inner = Scripted::new(move |request| answer(&asks, request, &own, !shares))
        .with_quirks(setup.quirks.clone());
    far.borrow_mut().refuses_to_share |= shares && !setup.quirks.details().multiplexes;
    let connects = setup.connects.clone();
    let mut tap = Tap::new(Rc::clone(far), setup, shares, number);
    let (notes, reads) = (Rc::clone(far), Rc::clone(far));
    let (link, other) = (setup.link.clone(), setup.other_link.clone());
    network
        .server(ServerId::new(number as u32))
        .links(move |attempt| match &other {
            Some(other) if attempt % 2 == 1 => other.clone(),
            _ => link.clone(),
        })
        .serve(inner)
        .tap(move |number, bytes| tap.hear(number, bytes))
        .read_tap(move |number, bytes| reads.borrow_mut().connection(number).ids.hear(bytes))
        .on_notice(move |number, notice| notes.borrow_mut().note(number, notice))
        .on_connect(move |attempt| connects[attempt % connects.len()]);
}
