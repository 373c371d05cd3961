//! Recognises a state: a number that is equal for worlds that behave the same from now on.
//!
//! It is the hash of all that can make a difference later: the whole state of the engine, sockets, applications, what is
//! known of each request. In the engine's text, instants count from now, and serial numbers and generations from the
//! next one, so that it does not matter when something happened and how many connections there were before.

use std::cell::RefCell;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

use mio_fcgi::testkit::internals;

use crate::world::World;

thread_local! {
    static TEXTS: RefCell<(String, String)> = const { RefCell::new((String::new(), String::new())) };
}

/// Fields that change nothing that the engine does later: they are only shown. Some have the name of another field that
/// holds an instant, which is not left out.
const SHOWN: [&str; 7] = [
    "next_serial",
    "next_generation",
    "now",
    "received",
    "assigned",
    "completed",
    "took_us",
];

pub(crate) fn key(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    TEXTS.with_borrow_mut(|(text, relative)| {
        text.clear();
        relative.clear();
        write!(text, "{:?}", internals::inside(&world.engine)).expect("a text takes all");
        Reader::new(text).rewrite(relative);
        relative.hash(&mut hasher);
    });
    hasher.finish()
}

struct Reader<'t> {
    text: &'t str,
    now: i128,
    next_serial: i128,
    next_generation: i128,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        let number = |before: &str| {
            let at = text.find(before).expect("the engine shows it") + before.len();
            let rest = &text[at..];
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            rest[..end].parse().expect("a number")
        };
        Self {
            text,
            now: number("now: Time("),
            next_serial: number("next_serial: "),
            next_generation: number("next_generation: "),
        }
    }

    fn rewrite(&self, relative: &mut String) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let bytes = self.text.as_bytes();
        let (mut at, mut field, mut name) = (0, "", "");
        while at < bytes.len() {
            let from = at;
            at += bytes[at..]
                .iter()
                .take_while(|byte| !is_word(**byte))
                .count();
            relative.push_str(&self.text[from..at]);
            let len = bytes[at..]
                .iter()
                .take_while(|byte| is_word(**byte))
                .count();
            let word = &self.text[at..at + len];
            at += len;
            match bytes.get(at) {
                Some(b':') => field = word,
                Some(b'(' | b' ') => name = word,
                _ => {}
            }
            let number = word.starts_with(|first: char| first.is_ascii_digit());
            match number.then(|| word.parse()) {
                Some(Ok(number)) => {
                    write!(relative, "{}", self.number(field, name, number))
                        .expect("a text takes all");
                }
                _ => relative.push_str(word),
            }
        }
    }

    /// A number as it counts. `name` is the type that it is in.
    fn number(&self, field: &str, name: &str, number: i128) -> i128 {
        match (field, name) {
            (_, "Time") => number - self.now,
            ("serial" | "first_serial" | "failure_epoch", _) if number > 0 => {
                number - self.next_serial
            }
            ("generation", "ConnectionHandle") => number - self.next_serial,
            ("generation", _) => number - self.next_generation,
            (field, _) if SHOWN.contains(&field) => 0,
            _ => number,
        }
    }
}
