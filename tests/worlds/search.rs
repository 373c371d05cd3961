//! The search: every order of inputs of a world, breadth first, by `stateright`.
//!
//! An engine cannot be copied, so a state is the list of inputs that leads to it, and is made by giving them to a new
//! engine. States are equal if their canonical forms are. One thread searches a world, so the first breach that is found
//! has the shortest way.

use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::canonical;
use crate::input::Input;
use crate::setup::Setup;
use crate::world::{Check, World};

#[derive(Clone, Debug)]
pub(crate) struct State {
    inputs: Vec<Input>,
    /// How many inputs may follow.
    left: usize,
    key: u64,
    is_broken: bool,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key.hash(hasher);
    }
}

/// A way through a world that breaks a promise.
#[derive(Clone, Debug)]
pub(crate) struct Breach {
    setup: &'static Setup,
    pub(crate) inputs: Vec<Input>,
    pub(crate) what: String,
}

pub(crate) struct Figures {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    /// Every order of this many inputs was tried.
    pub(crate) depth: usize,
    /// There is no further state.
    pub(crate) is_whole: bool,
    pub(crate) time: Duration,
}

struct Search {
    setup: &'static Setup,
    starts: Vec<&'static [Input]>,
    depth: usize,
    /// When the search stops.
    until: Option<Instant>,
    /// The depth of the first state that was not continued.
    stopped_at: OnceLock<usize>,
    first: OnceLock<Breach>,
}

/// Tries every order of up to `depth` inputs after each of these starts, as far as `time` suffices.
pub(crate) fn search(
    setup: &'static Setup,
    starts: &[&'static [Input]],
    depth: usize,
    time: Option<Duration>,
) -> Result<Figures, Breach> {
    let began = Instant::now();
    let search = Search {
        setup,
        starts: starts.to_vec(),
        depth,
        until: time.map(|time| began + time),
        stopped_at: OnceLock::new(),
        first: OnceLock::new(),
    };
    let builder = search.checker().finish_when(HasDiscoveries::AnyFailures);
    let checker = builder.spawn_bfs().join();
    let search = checker.model();
    if let Some(breach) = search.first.get() {
        return Err(breach.clone());
    }
    // The checker counts the states on a way, not the inputs.
    let longest = checker.max_depth() - 1;
    let stopped_at = search.stopped_at.get();
    // When the time was over, not all states of that depth had been looked at.
    let last = stopped_at.map(|at| at - usize::from(*at < depth));
    Ok(Figures {
        states: checker.unique_state_count(),
        transitions: checker.state_count() - 1,
        depth: last.unwrap_or(longest),
        is_whole: stopped_at.is_none(),
        time: began.elapsed(),
    })
}

impl Model for Search {
    type State = State;
    type Action = Input;

    fn init_states(&self) -> Vec<State> {
        let starts = self.starts.iter();
        starts
            .map(|start| self.state(start.to_vec(), self.depth))
            .collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Input>) {
        if state.is_broken {
            return;
        }
        if state.left == 0 || self.is_over() {
            // States come in the order of their depths.
            self.stopped_at.get_or_init(|| self.depth - state.left);
            return;
        }
        let mut world = World::new(self.setup);
        if world.replay(&state.inputs).is_ok() {
            *actions = world.inputs();
        }
    }

    fn next_state(&self, state: &State, input: Input) -> Option<State> {
        let mut inputs = Vec::with_capacity(state.inputs.len() + 1);
        inputs.extend_from_slice(&state.inputs);
        inputs.push(input);
        Some(self.state(inputs, state.left - 1))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("each promise is kept", |search: &Self, state: &State| {
                if state.is_broken {
                    search.note(&state.inputs, try_inputs);
                }
                !state.is_broken
            }),
            Property::always("everything can end", |search: &Self, state: &State| {
                state.is_broken || search.is_over() || search.note(&state.inputs, try_ends)
            }),
        ]
    }
}

impl Search {
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn state(&self, inputs: Vec<Input>, left: usize) -> State {
        let mut world = None;
        let result = caught(|| {
            let world = world.insert(World::new(self.setup));
            world.replay(&inputs)
        });
        let key = match (&result, &world) {
            (Ok(()), Some(world)) => canonical::key(world),
            // Each is worth a look.
            _ => inputs.iter().fold(1, |key, input| {
                let mut hasher = std::hash::DefaultHasher::new();
                (key, input).hash(&mut hasher);
                hasher.finish()
            }),
        };
        State {
            inputs,
            left,
            key,
            is_broken: result.is_err(),
        }
    }

    /// Tries something and keeps the first breach.
    fn note(&self, inputs: &[Input], attempt: fn(&'static Setup, &[Input]) -> Check) -> bool {
        let result = attempt(self.setup, inputs);
        if let Err(what) = &result {
            self.first.get_or_init(|| Breach {
                setup: self.setup,
                inputs: inputs.to_vec(),
                what: what.clone(),
            });
        }
        result.is_ok()
    }
}

/// Gives inputs to a new world. Each promise must be kept.
fn try_inputs(setup: &'static Setup, inputs: &[Input]) -> Check {
    caught(|| World::new(setup).replay(inputs))
}

/// After these inputs, everything must be able to end.
fn try_ends(setup: &'static Setup, inputs: &[Input]) -> Check {
    caught(|| {
        let mut world = World::new(setup);
        world.replay(inputs)?;
        world.finish()
    })?;
    if !setup.has_time_limits() {
        return Ok(());
    }
    caught(|| {
        let mut world = World::new(setup);
        world.replay(inputs)?;
        world.time_out()
    })
}

/// Gives inputs to a new world, and lets it end. This is what a breach is repeated with.
pub(crate) fn keeps_promises(name: &str, inputs: &[Input]) -> Check {
    let setup = crate::setup::named(name);
    try_inputs(setup, inputs)?;
    try_ends(setup, inputs)
}

/// A panic of the engine is a breach.
fn caught(act: impl FnOnce() -> Check) -> Check {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {}", self.setup.name, self.what)?;
        for input in &self.inputs {
            writeln!(f, "    {input}")?;
        }
        writeln!(f, "as a test:")?;
        let inputs = format!("{:?}", self.inputs);
        write!(f, "    keeps_promises({:?}, &{inputs})", self.setup.name)
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = if self.is_whole { ", all there are" } else { "" };
        write!(
            f,
            "{} states{all}, {} transitions, depth {}, {:.1?}",
            self.states, self.transitions, self.depth, self.time
        )
    }
}
