//! The shortest ways to faults that were planted, as a search has printed them. Each is repeated here in every build.

use crate::input::Input::{self, *};
use crate::search::keeps_promises;

/// A planted fault, the world that notices it, and the shortest way to it.
const WAYS: &[(&str, &str, &[Input])] = &[
    (
        "end-delivered-twice",
        "plain",
        &[Submit, Connected(0), Abort(0)],
    ),
    ("post-sent-again", "plain", &[Submit, Submit]),
    (
        "late-output-delivered",
        "shared",
        &[Submit, Submit, Connected(0), Write(0), Abort(0), Output(0)],
    ),
    (
        "announced-close-handed-out",
        "plain",
        &[
            Submit,
            Abort(0),
            Connected(0),
            Close(0),
            Announce(0),
            Submit,
        ],
    ),
    (
        "id-reused-after-an-abort",
        "shared, a third request",
        &[
            Submit,
            Submit,
            Submit,
            Connected(0),
            Abort(0),
            Write(0),
            End(0),
            End(1),
        ],
    ),
    ("cap-off-by-one", "plain", &[Submit, Submit]),
    (
        "retry-after-output",
        "plain",
        &[Submit, Connected(0), Write(0), Output(0), Close(0)],
    ),
    (
        "deadline-not-armed-again",
        "time limits",
        &[Submit, Connected(0)],
    ),
    (
        "resume-does-not-read-again",
        "plain, paused",
        &[Submit, Pause(0), Connected(0), Close(0)],
    ),
    (
        "queue-off-by-one",
        "plain, a pushed body, overload",
        &[
            Submit,
            Submit,
            Connected(0),
            Write(0),
            Overloaded(0),
            Announce(0),
            Read(0),
        ],
    ),
    (
        "flush-not-asked",
        "plain, a pushed body, overload",
        &[Submit, Connected(0), Write(0), Finish(0)],
    ),
    (
        "cut-response-complete",
        "plain",
        &[Submit, Connected(0), Write(0), Close(0)],
    ),
];

#[test]
fn the_shortest_ways_to_planted_faults_keep_every_promise() {
    for (fault, world, inputs) in WAYS {
        let result = keeps_promises(world, inputs);
        assert_eq!(result, Ok(()), "the way to {fault}");
    }
}
