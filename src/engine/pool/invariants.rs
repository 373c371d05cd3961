//! Checks of the pool's counts against the connections and servers they count.

use slab::Slab;

use super::{Connection, Multiplexing, Pool};

impl Pool {
    /// # Panics
    /// When a count is wrong, which is a defect of this library.
    pub(crate) fn check(&self, connections: &Slab<Connection>) {
        let expected = connections.iter().map(|(_, it)| it.expected());
        let slots: usize = expected.clone().map(|it| it.slots as usize).sum();
        assert_eq!(self.expected_slots, slots, "slots that are expected");
        let of_servers: usize = self.servers.iter().map(|it| it.lists().slots()).sum();
        assert_eq!(slots, of_servers, "slots that are expected, by server");
        let late = expected.filter(|it| it.is_late).count();
        assert_eq!(self.late, late, "connects that hang");
        let of_servers: usize = self.servers.iter().map(|it| it.lists().late()).sum();
        assert_eq!(self.late, of_servers, "connects that hang, by server");
        let short = self.servers.iter();
        let short = short.filter(|it| it.health().waits_for_resources()).count();
        assert_eq!(self.short, short, "servers without a socket for them");
        let unprobed = self
            .servers
            .iter()
            .filter(|it| it.capabilities().multiplexing() == Multiplexing::Unknown);
        assert_eq!(self.unprobed, unprobed.count(), "servers to be asked");
        for (index, server) in self.servers.iter().enumerate() {
            let of = |it: &&Connection| usize::from(it.server()) == index;
            let own = || connections.iter().map(|(_, it)| it).filter(of);
            server.lists().check(index, own(), connections);
            let load: usize = own()
                .map(|it| it.live() as usize + usize::from(it.is_connecting()))
                .sum();
            assert_eq!(
                self.servers.load(index) as usize,
                load,
                "server {index}: load"
            );
        }
    }
}
