//! Guests of a simulation: releases of one module that follow one another on a live partition, back
//! and forth, and instances of them that trap by chance.
//!
//! Owns what each release is made of, and where sabotage sits between driver and guest. Refuses to
//! know when a release takes the place of another.

use std::panic::{AssertUnwindSafe, catch_unwind};

use foldlog_core::domains::bank::{AccountBalances, DailySummary, TransactionHistory, Transfers};
use foldlog_core::driver::{Guest, Spawn, Trap};
use foldlog_core::guest;
use foldlog_core::process::{
    self, AnyProcessManager, ProcessManager, ProcessSpec, Reaction, Refused, Sight,
};
use foldlog_core::protocol::{Input, Op, StageStep, Status, What};
use foldlog_core::read::Stop;
use foldlog_core::record::Record;
use foldlog_core::registry::Registry;

use super::domain::{Bell, Bells, Book, Fused, Trapped, Types, set_fuse};
use super::sabotage::Sabotage;
use super::world::{Shared, World0};

/// How many releases there are.
pub const RELEASES: u8 = 4;

/// The bank and the bells; release 1 has a read model of another revision, 2 a kind of streams, 3
/// one read model more.
pub fn registry(release: u8, sabotage: Option<Sabotage>) -> Registry {
    let mut registry = Registry::standard();
    let mover: Box<dyn AnyProcessManager> = match sabotage {
        Some(Sabotage::ForgetRefund) => process::erase::<Forgetful>(),
        Some(Sabotage::AskTwice) => process::erase::<Twice>(),
        _ => process::erase::<Transfers>(),
    };
    registry.managers = vec![mover];
    registry.projections.clear();
    let registry = registry
        .manager::<Bells>()
        .projection::<Fused<AccountBalances, 0>>()
        .projection::<Fused<TransactionHistory, 1>>()
        .projection::<Fused<DailySummary, 2>>();
    let registry = match (release, sabotage) {
        (1, Some(Sabotage::StaleGeneration)) => registry.projection::<Fused<Book<2, 1>, 3>>(),
        (1, _) => registry.projection::<Fused<Book<2, 2>, 3>>(),
        _ => registry.projection::<Fused<Book<1, 1>, 3>>(),
    };
    match (release, sabotage) {
        (2, Some(Sabotage::StaleStates)) => registry.aggregate::<Bell<2, 1>>(),
        (2, _) => registry.aggregate::<Bell<2, 2>>(),
        (3, _) => registry.aggregate::<Bell<1, 1>>().projection::<Fused<Types, 4>>(),
        _ => registry.aggregate::<Bell<1, 1>>(),
    }
}

/// The mark of a release's rows in the book, and of its bells.
pub const fn codes(release: u8) -> (u64, u64) {
    (if release == 1 { 2 } else { 1 }, if release == 2 { 2 } else { 1 })
}

/// The names of a release's read models.
pub fn projections(release: u8) -> &'static [&'static str] {
    let all = &["AccountBalances", "TransactionHistory", "DailySummary", "Book", "Types"];
    if release == 3 { all } else { &all[..4] }
}

struct Forgetful;

impl ProcessManager for Forgetful {
    const SPEC: ProcessSpec = Transfers::SPEC;

    fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        Transfers::react(record, sight)
    }
}

struct Twice;

impl ProcessManager for Twice {
    const SPEC: ProcessSpec = Transfers::SPEC;

    fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let once = Transfers::react(record, sight)?;
        Ok([once.clone(), once].concat())
    }

    fn refused(refused: &Refused, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        Transfers::refused(refused, sight)
    }
}

/// Makes plain guests of a release: for folds beside the simulation.
#[derive(Clone, Copy, Debug)]
pub struct Release(pub u8, pub Option<Sabotage>);

impl Spawn for Release {
    type Guest = guest::Guest;

    fn spawn(&mut self) -> Result<guest::Guest, Trap> {
        Ok(guest::Guest::new(registry(self.0, self.1)))
    }

    fn digest(&self) -> [u8; 32] {
        [self.0; 32]
    }
}

/// Makes guests that trap by chance, and that a sabotage may mislead.
#[derive(Clone, Debug)]
pub struct Spawner {
    pub release: Release,
    pub world: World0,
}

/// One of them.
#[derive(Debug)]
pub struct Instance {
    guest: guest::Guest,
    world: World0,
    /// What `Supply` goes on with.
    last: Op,
    /// Whether that is at a command of the system.
    woken: bool,
}

impl Spawn for Spawner {
    type Guest = Instance;

    fn spawn(&mut self) -> Result<Instance, Trap> {
        self.world.borrow_mut().opening = true;
        let (guest, world) = (self.release.spawn()?, self.world.clone());
        Ok(Instance { guest, world, last: Op::Open, woken: false })
    }

    fn digest(&self) -> [u8; 32] {
        self.release.digest()
    }
}

impl Guest for Instance {
    fn call(&mut self, op: Op, message: &[u8]) -> Result<Vec<u8>, Trap> {
        if op != Op::Supply {
            self.last = op;
        }
        let mut world = self.world.borrow_mut();
        if op == Op::Stage && world.plan.trap > 0 {
            self.woken = is_wake(message);
        }
        world.opening &= !matches!(op, Op::Stage | Op::Slice);
        let (rate, names) = (world.plan.trap, world.plan.trap_names);
        let may = matches!(
            op,
            Op::Stage | Op::Supply | Op::Commit | Op::TakeBlock | Op::Fold | Op::Slice
        );
        if may && world.chance(rate) {
            world.fault(if op == Op::Fold { "trap in a fold" } else { "trap" });
            let woken = self.woken && matches!(op, Op::Stage | Op::Supply);
            let progress = progress(&world, woken);
            return Err(Trap { detail: "by chance".into(), progress });
        }
        if op == Op::Commit {
            world.first_due = None;
        }
        let fuse = (may && world.chance(names)).then(|| world.random.below(4));
        let sabotage = world.plan.sabotage;
        drop(world);
        let misled = sabotage.filter(|_| op == Op::Stage).and_then(|bug| mislead(bug, message));
        set_fuse(fuse);
        let message = misled.as_deref().unwrap_or(message);
        let called = catch_unwind(AssertUnwindSafe(|| self.guest.call(op as u32, message)));
        set_fuse(None);
        match called {
            Ok(answer) => {
                if sabotage == Some(Sabotage::EffectBeforeStored) {
                    self.attempt_at_once(&answer);
                }
                Ok(answer)
            }
            Err(thrown) => match thrown.downcast::<Trapped>() {
                Ok(trapped) => Err(self.trapped(&trapped)),
                Err(other) => std::panic::resume_unwind(other),
            },
        }
    }
}

impl Instance {
    /// A trap whose progress word names the projection.
    fn trapped(&self, trapped: &Trapped) -> Trap {
        let building = self.last == Op::Slice;
        let mut world = self.world.borrow_mut();
        world.fault(if building { "trap of what is built" } else { "quarantine" });
        let kind: u64 = if building { 2 } else { 1 };
        let Trapped(index, position) = trapped;
        Trap { detail: "by chance".into(), progress: (kind << 56) | (index << 40) | position }
    }

    fn attempt_at_once(&self, answer: &[u8]) {
        let Some((&status, answer)) = answer.split_first() else { return };
        if !matches!(self.last, Op::Stage) || status != Status::Ok as u8 {
            return;
        }
        if let Ok(StageStep::Done(outcome)) = postcard::from_bytes(answer) {
            let mut world = self.world.borrow_mut();
            outcome.effects.iter().for_each(|effect| world.attempt(effect));
        }
    }
}

/// The progress word of a trap: a wake was at the command that is due first, as far as is known.
fn progress(world: &Shared, woken: bool) -> u64 {
    match world.first_due.filter(|_| woken) {
        Some((position, n)) => (4 << 56) | (n << 40) | position,
        None => 0,
    }
}

fn is_wake(message: &[u8]) -> bool {
    let input = postcard::from_bytes(message);
    matches!(input, Ok(Input { what: What::Wake(_), .. }))
}

/// What a guest is told in the place of an input, when a bug is switched on.
fn mislead(bug: Sabotage, message: &[u8]) -> Option<Vec<u8>> {
    let replaced = |from: &[u8], to: &[u8]| Some(replace(message, from, to));
    match bug {
        Sabotage::IgnoreExpectedVersion => return replaced(b"if-match", b"x-ignore"),
        Sabotage::IgnoreKey => return replaced(b"idempotency-key", b"x-idempotency-k"),
        // Event ids of a simulation end in a digit before their quote: another one is new.
        Sabotage::IgnoreEventIds => {
            return replaced(b"\"eventIds\":[\"id-", b"\"eventIds\":[\"xd-");
        }
        _ => {}
    }
    let mut input: Input<'_> = postcard::from_bytes(message).ok()?;
    match (bug, &mut input.what) {
        (Sabotage::ResultLost, What::Result(result)) => result.position += 1_000_000,
        (Sabotage::AttemptTwice, What::Wake(wake)) => wake.running.clear(),
        _ => return None,
    }
    postcard::to_allocvec(&input).ok()
}

/// The same bytes with one text instead of another of the same length.
fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(i, _)| i).collect();
    for place in places {
        out[place..place + from.len()].copy_from_slice(to);
    }
    out
}
