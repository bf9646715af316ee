//! The guest: protocol messages in, protocol messages out. All that a module does.
//!
//! Owns the state between calls: the engine, the input under way, the one held proposal. Refuses
//! to know memory layout (the ABI file does) and what requests mean (`http` does).
//!
//! Invariant: no message, however malformed, makes it panic; a refused call changes nothing.

mod again;
mod answered;
mod dispatch;
mod fold;
mod refold;
mod wake;

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;

use again::Deciding;
use answered::{Answered, decode, done, encode, outcome, refuse, refused};
use dispatch::of_consumers;
use fold::{Folding, Slicing};

use crate::chain::FORMAT_VERSION;
use crate::engine::{Engine, Missing, Proposal, Refold, Supplied, Warming};
use crate::errors::{Code, Problem};
use crate::http::{self, Answer, Handled, Parsed, Route};
use crate::limits::{STAGE_READ_BYTES_MAX, STAGE_ROUNDS_MAX};
use crate::protocol::consumers::Dispatch;
use crate::protocol::{
    ABI_VERSION, Answer as Supply, Description, EffectResult, Input, Kind, Op, Open, Process,
    Query, RefusalReason, StageStep, Stamp, Wake, What,
};
use crate::registry::Registry;

/// A module's state.
#[derive(Debug)]
pub struct Guest {
    registry: Rc<Registry>,
    routes: Vec<Route>,
    open: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    engine: Engine,
    body_bytes_max: u64,
    under_way: UnderWay,
    proposal: Option<Proposal>,
    /// A projection to rebuild: a proposal too.
    rebuild: Option<usize>,
    /// Nothing is staged before the fold has come this far.
    stored_head: u64,
    warming: Warming,
}

/// What the next `supply` goes to.
#[derive(Debug)]
enum UnderWay {
    Nothing,
    Stage(Box<Staging>),
    Fold(Folding),
    Slice(Slicing),
    Decide(Deciding),
}

/// What is being staged.
#[derive(Debug)]
enum Staged {
    Request(Box<Parsed>),
    /// Whether it reads more than a stage may.
    Wake(Wake, bool),
    Result(EffectResult),
    Dispatch(Dispatch),
}

#[derive(Debug)]
struct Staging {
    what: Staged,
    stamp: Stamp,
    process: Process,
    supplied: Supplied,
    asked: Vec<Query>,
    rounds: u32,
    /// A state that is folded first, and what its page reads.
    refold: Option<(Refold, Supplied)>,
}

impl Staging {
    const fn reads_too_much(&self) -> bool {
        self.rounds >= STAGE_ROUNDS_MAX || self.supplied.bytes > STAGE_READ_BYTES_MAX
    }
}

impl Guest {
    /// A guest made of these domains.
    pub fn new(registry: Registry) -> Self {
        let routes = http::table(&registry);
        Self { registry: Rc::new(registry), routes, open: None }
    }

    /// Runs one operation. The result starts with a [`Status`] byte.
    pub fn call(&mut self, op: u32, message: &[u8]) -> Vec<u8> {
        let result = match Op::from_number(op) {
            Some(op) => self.run(op, message),
            None => refuse(RefusalReason::Malformed, format!("there is no operation {op}")),
        };
        result.unwrap_or_else(|refusal| refused(&refusal))
    }

    fn run(&mut self, op: Op, message: &[u8]) -> Answered {
        match op {
            Op::Describe => return encode(&self.describe()),
            Op::Open => return self.open(decode(message)?),
            _ => {}
        }
        let Some(open) = self.open.as_mut() else {
            return refuse(RefusalReason::OutOfOrder, "the guest is not open");
        };
        match op {
            Op::Fold => open.fold(&decode(message)?),
            Op::Stage => open.stage(&self.routes, &decode(message)?),
            Op::Supply => open.supply(&self.routes, decode(message)?),
            Op::Slice => open.slice(decode(message)?),
            Op::Decide => open.decide(&decode(message)?),
            Op::Commit => match (open.proposal.take(), open.rebuild.take()) {
                (Some(proposal), _) => {
                    open.engine.commit(proposal);
                    encode(&())
                }
                (None, Some(index)) => {
                    open.engine.start_rebuild(index);
                    encode(&())
                }
                (None, None) => refuse(RefusalReason::OutOfOrder, "no proposal is held"),
            },
            Op::Rollback => {
                open.proposal = None;
                open.rebuild = None;
                open.under_way = UnderWay::Nothing;
                encode(&())
            }
            Op::TakeBlock => encode(&open.engine.take_block()),
            Op::TakeCheckpoint if open.holds() => {
                refuse(RefusalReason::OutOfOrder, "a proposal is held")
            }
            Op::TakeCheckpoint => encode(&open.engine.take_checkpoint()),
            Op::Describe | Op::Open => refuse(RefusalReason::OutOfOrder, "answered above"),
        }
    }

    fn describe(&self) -> Description {
        let aggregates = self.registry.aggregates.iter().map(|a| a.spec());
        let projections = self.registry.projections.iter().map(|p| p.spec());
        Description {
            abi: ABI_VERSION,
            format: FORMAT_VERSION,
            version: self.registry.version.into(),
            aggregates: aggregates
                .clone()
                .map(|spec| (spec.aggregate_type.into(), spec.revision))
                .collect(),
            projections: projections.map(|spec| (spec.name.into(), spec.revision)).collect(),
            events: aggregates
                .flat_map(|spec| spec.events.iter().map(ToString::to_string))
                .collect(),
            routes: self
                .routes
                .iter()
                .map(|route| format!("{} {}", route.method, route.path))
                .collect(),
        }
    }

    fn open(&mut self, open: Open) -> Answered {
        if self.open.is_some() {
            return refuse(RefusalReason::OutOfOrder, "the guest is open already");
        }
        if let Err(detail) = self.registry.check() {
            return refuse(RefusalReason::OutOfOrder, detail);
        }
        let body_bytes_max = open.settings.body_bytes_max;
        match Engine::open(self.registry.clone(), &open) {
            Ok((engine, opened)) => {
                self.open = Some(Opened {
                    engine,
                    body_bytes_max,
                    under_way: UnderWay::Nothing,
                    proposal: None,
                    rebuild: None,
                    stored_head: open.head,
                    warming: Warming::default(),
                });
                encode(&opened)
            }
            Err(error) => refuse(error.reason, error.detail),
        }
    }
}

impl Opened {
    const fn holds(&self) -> bool {
        self.proposal.is_some() || self.rebuild.is_some()
    }

    fn stage(&mut self, routes: &[Route], input: &Input<'_>) -> Answered {
        if self.holds() || !matches!(self.under_way, UnderWay::Nothing) {
            return refuse(RefusalReason::OutOfOrder, "a proposal or another input is under way");
        }
        if self.engine.head().position < self.stored_head {
            return refuse(RefusalReason::OutOfOrder, "the log is not folded to its head yet");
        }
        let what = match &input.what {
            What::Wake(wake) => Ok(Staged::Wake(wake.clone(), false)),
            What::Result(result) => Ok(Staged::Result(result.clone())),
            What::Dispatch(dispatch) => Ok(Staged::Dispatch(dispatch.clone())),
            What::Request(request) => {
                let (partition, max) = (self.engine.partition(), self.body_bytes_max);
                let kind = if request.method == "POST" { Kind::Rejected } else { Kind::Read };
                let parsed = http::parse(routes, partition, max, request);
                parsed
                    .map(|parsed| Staged::Request(Box::new(parsed)))
                    .map_err(|problem| (problem, kind))
            }
        };
        match what {
            Ok(what) => {
                self.engine.evict();
                self.engine.answers();
                let (supplied, process) = (Supplied::default(), input.process.clone());
                let staging = Box::new(Staging {
                    what,
                    stamp: input.stamp,
                    process,
                    supplied,
                    asked: Vec::new(),
                    rounds: 0,
                    refold: None,
                });
                self.continue_stage(routes, staging)
            }
            Err((problem, kind)) => {
                let answer = Answer::problem(&problem);
                done(outcome(&self.engine, answer, kind, None, false))
            }
        }
    }

    fn continue_stage(&mut self, routes: &[Route], staging: Box<Staging>) -> Answered {
        let parsed = match &staging.what {
            Staged::Request(parsed) => parsed,
            Staged::Wake(..) | Staged::Result(_) => return self.continue_wake(routes, staging),
            Staged::Dispatch(_) => return self.continue_dispatch(routes, staging),
        };
        let access = self.engine.access(&staging.supplied);
        let (stamp, process) = (&staging.stamp, &staging.process);
        let handled = http::handle(&self.engine, routes, access, parsed, stamp, process);
        let handled = self.mending(handled, &staging);
        let too_much = staging.reads_too_much();
        let Handled { answer, kind, proposal, rebuild } = match handled {
            Ok(handled) => handled,
            Err(missing) if !too_much || missing.refold.is_some() => {
                return self.ask(routes, staging, missing);
            }
            Err(_) => {
                let detail = format!(
                    "the answer needs more than {STAGE_READ_BYTES_MAX} bytes or {STAGE_ROUNDS_MAX} rounds of reading"
                );
                let problem = Problem::new(Code::LimitExceeded, detail)
                    .number("limit", STAGE_READ_BYTES_MAX as u64);
                http::refused(&problem)
            }
        };
        let wake = proposal.as_ref().is_some_and(Proposal::wakes);
        let (consumers, topics) = of_consumers(proposal.as_ref());
        let proposed = proposal.as_ref().map(Proposal::last);
        let rows_alone = proposal.as_ref().is_some_and(Proposal::is_rows_alone);
        self.proposal = proposal;
        // Nothing is rebuilt of a log without records.
        let head = self.engine.head().position;
        self.rebuild = rebuild.filter(|_| head > 0);
        let due = rows_alone || self.engine.checkpoint_due() || self.rebuild.is_some();
        let proposed = proposed.or(self.rebuild.map(|_| head));
        let mut outcome = outcome(&self.engine, answer, kind, proposed, due);
        outcome.behind |= self.rebuild.is_some();
        outcome.wake = wake;
        (outcome.consumers, outcome.topics) = (consumers, topics);
        done(outcome)
    }

    /// Asks for what is missing of an attempt, or folds it first.
    fn ask(&mut self, routes: &[Route], mut staging: Box<Staging>, missing: Missing) -> Answered {
        if let Some(wanted) = missing.refold {
            staging.refold = Some((Refold::new(wanted), Supplied::default()));
            return self.continue_refold(routes, staging);
        }
        staging.asked.clone_from(&missing.queries);
        self.under_way = UnderWay::Stage(staging);
        encode(&StageStep::Need(missing.queries))
    }

    fn supply(&mut self, routes: &[Route], answers: Vec<Supply>) -> Answered {
        let asked = match &self.under_way {
            UnderWay::Nothing => return refuse(RefusalReason::OutOfOrder, "nothing was asked for"),
            UnderWay::Stage(staging) => &staging.asked,
            UnderWay::Fold(folding) => &folding.asked,
            UnderWay::Slice(slicing) => &slicing.asked,
            UnderWay::Decide(deciding) => &deciding.asked,
        };
        if !self.engine.answers_fit(asked, &answers) {
            return refuse(RefusalReason::Malformed, "the answers do not fit the queries");
        }
        match core::mem::replace(&mut self.under_way, UnderWay::Nothing) {
            UnderWay::Nothing => refuse(RefusalReason::OutOfOrder, "nothing was asked for"),
            UnderWay::Stage(mut staging) => {
                let asked = core::mem::take(&mut staging.asked);
                if let Some((_, supplied)) = &mut staging.refold {
                    self.engine.supply(supplied, asked, answers);
                    return self.continue_refold(routes, staging);
                }
                self.engine.supply(&mut staging.supplied, asked, answers);
                staging.rounds = staging.rounds.saturating_add(1);
                self.continue_stage(routes, staging)
            }
            UnderWay::Fold(mut folding) => {
                let asked = core::mem::take(&mut folding.asked);
                self.warming.found(&asked, &answers);
                self.engine.supply(&mut folding.supplied, asked, answers);
                self.engine.warm(&mut self.warming, &mut folding.supplied);
                self.continue_fold(folding)
            }
            UnderWay::Slice(mut slicing) => {
                let asked = core::mem::take(&mut slicing.asked);
                self.engine.supply(&mut slicing.supplied, asked, answers);
                self.continue_slice(slicing)
            }
            UnderWay::Decide(mut deciding) => {
                let asked = core::mem::take(&mut deciding.asked);
                self.engine.supply(&mut deciding.supplied, asked, answers);
                self.continue_decide(deciding)
            }
        }
    }
}
