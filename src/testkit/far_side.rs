//! The network's other half: what arrives at applications, and what they do.

use super::application::{Application, Replies, Reply};
use super::framing::Framing;
use super::later::later;
use super::network::{Appointment, Network};
use super::wire::{End, Towards};

impl Network {
    /// Octets, or the end of them, have come to the application.
    pub(super) fn deliver(&mut self, number: usize) {
        if let Some(link) = &mut self.links[number] {
            link.to_application.arrive(self.now);
            self.feed_application(number);
        }
    }

    /// Lets an application read all there is, as long as it reads.
    fn feed_application(&mut self, number: usize) {
        let Some(link) = &mut self.links[number] else {
            return;
        };
        link.discard_rest = false;
        link.put_back = 0;
        let server = link.server;
        if link.application_closed || link.takes_nothing {
            if link.application_closed && link.to_application.unread_len() > 0 {
                self.send_reset_back(number);
            }
            self.discard(number);
            return;
        }
        let mut octets = Vec::new();
        if link.application_reads {
            let most = link.before_break(Towards::Application);
            let arrival = link.to_application.read(self.now, most, &mut octets);
            self.appoint(arrival, Appointment::AtApplication(number));
        }
        let mut input = &octets[..];
        while let Some(link) = &self.links[number]
            && link.application_reads
            && !link.application_closed
            && !input.is_empty()
        {
            self.read_item(server, number, &mut input);
        }
        if let Some(link) = &mut self.links[number] {
            link.to_application.put_back(input);
            link.put_back = input.len();
            link.count(Towards::Application, octets.len() - input.len());
            self.break_if_due(number);
            self.write_if_waiting(number);
            self.tell_closed(server, number);
        }
    }

    /// What comes is nobody's.
    fn discard(&mut self, number: usize) {
        let Some(link) = &mut self.links[number] else {
            return;
        };
        let server = link.server;
        let arrival = link.to_application.discard(self.now);
        self.appoint(arrival, Appointment::AtApplication(number));
        self.write_if_waiting(number);
        if let Some(link) = &self.links[number]
            && !link.application_closed
        {
            self.tell_closed(server, number);
        }
    }

    /// Something has come for a socket that is closed: its system answers with a reset.
    fn send_reset_back(&mut self, number: usize) {
        if let Some(link) = &mut self.links[number]
            && !link.client_closed
            && !std::mem::replace(&mut link.reset_is_due, true)
        {
            let at = later(self.now, link.wire.latency);
            self.appoint(Some(at), Appointment::ResetAtClient(number));
        }
    }

    fn read_item(&mut self, server: usize, number: usize, input: &mut &[u8]) {
        let Some(mut link) = self.links[number].take() else {
            return;
        };
        let mut replies = Replies::default();
        if let Some(application) = &mut self.servers[server].application {
            let framing = &mut link.framing;
            framing.read_item(number, input, application.as_mut(), &mut replies);
        }
        self.links[number] = Some(link);
        self.apply(server, replies);
        if let Some(link) = &mut self.links[number]
            && std::mem::take(&mut link.discard_rest)
        {
            *input = &[];
        }
    }

    fn write_if_waiting(&mut self, number: usize) {
        if let Some(link) = &self.links[number]
            && link.flushing
            && link.to_application.room() > 0
        {
            self.enqueue(number);
        }
    }

    fn tell_closed(&mut self, server: usize, number: usize) {
        let Some(link) = &mut self.links[number] else {
            return;
        };
        let is_told = link.told_closed || !link.application_reads;
        if link.to_application.ended().is_none() || is_told {
            return;
        }
        link.told_closed = true;
        self.note(format_args!(
            "application {server} sees the end of {number}"
        ));
        self.tell(server, |application, replies| {
            application.closed(number, replies);
        });
        self.forget_if_over(number);
    }

    /// Calls an application and does what it wants done.
    pub(super) fn tell(
        &mut self,
        server: usize,
        what: impl FnOnce(&mut dyn Application, &mut Replies),
    ) {
        let mut replies = Replies::default();
        if let Some(application) = &mut self.servers[server].application {
            what(application.as_mut(), &mut replies);
        }
        self.apply(server, replies);
    }

    fn apply(&mut self, server: usize, replies: Replies) {
        for (number, reply) in replies.list {
            if let Reply::Wake(after, token) = reply {
                let at = later(self.now, after);
                self.appoint(Some(at), Appointment::Wake(server, number, token));
                continue;
            }
            let Some(Some(link)) = self.links.get_mut(number) else {
                continue;
            };
            if link.application_closed {
                continue;
            }
            let (at_client, at_application) = match reply {
                Reply::Send(mut octets) => {
                    octets.truncate(link.before_break(Towards::Client));
                    link.count(Towards::Client, octets.len());
                    (link.to_client.send(self.now, octets), None)
                }
                Reply::HalfClose => (link.to_client.finish(self.now, End::Fin), None),
                Reply::TakeNothing => {
                    link.takes_nothing = true;
                    (None, Some(self.now))
                }
                Reply::Close => {
                    link.application_closed = true;
                    (link.to_client.finish(self.now, End::Fin), Some(self.now))
                }
                Reply::Reset => {
                    link.application_closed = true;
                    (link.to_client.finish(self.now, End::Reset), Some(self.now))
                }
                Reply::Read(reads) => {
                    let resumes = reads && !link.application_reads;
                    link.application_reads = reads;
                    (None, resumes.then_some(self.now))
                }
                Reply::Discard => {
                    link.discard_rest = true;
                    link.framing = Framing::default();
                    let len = std::mem::take(&mut link.put_back);
                    let arrival = link.to_application.read(self.now, len, &mut Vec::new());
                    (None, arrival)
                }
                Reply::Wake(..) => (None, None),
            };
            self.appoint(at_client, Appointment::AtClient(number));
            self.appoint(at_application, Appointment::AtApplication(number));
            self.break_if_due(number);
            self.forget_if_over(number);
        }
    }

    /// Ends a connection whose wire is to break here; the application is told as by the Web server's close.
    pub(super) fn break_if_due(&mut self, number: usize) {
        let Some(link) = &mut self.links[number] else {
            return;
        };
        let Some(end) = link.breaks_now() else {
            return;
        };
        link.application_closed = true;
        link.told_closed = true;
        let server = link.server;
        let at_client = link.to_client.finish(self.now, end);
        self.tally.breaks += 1;
        self.note(format_args!("connection {number} breaks: {end:?}"));
        self.appoint(at_client, Appointment::AtClient(number));
        let now = self.now;
        self.appoint(Some(now), Appointment::AtApplication(number));
        self.tell(server, |application, replies| {
            application.closed(number, replies);
        });
    }
}
