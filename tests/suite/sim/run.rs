//! One run: a history by chance, and after every step everything that must hold.
//!
//! Owns the order of steps. A check that fails ends the run with what is wrong; it never panics, so
//! that sabotaged runs can be told from broken ones.
//!
//! Reading order: `answers` (what clients are told), `host` (effects, other releases, moves),
//! `look` (what is read), `end` (faults off: everything comes to its end).

mod answers;
mod end;
mod host;
mod look;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use foldlog_core::chain;
use foldlog_core::driver::{OwnedRequest, Partition, Reply};
use foldlog_core::protocol::EffectCall;

use super::super::engine::kit;
use super::commands::Command;
use super::disk::Disk;
use super::guests::{Release, Spawner};
use super::happened::Happened;
use super::model::{Model, Moment};
use super::plan::Plan;
use super::rows::{Checked, cut};
use super::sabotage::Sabotage;
use super::world::{Clock, Shared, World0};

type Bank = Partition<Spawner, Disk, Clock>;

/// Full refolds of one run at most: they cost as much as all else together.
const REFOLDS_MAX: u64 = 20;
/// And of a long one, beyond its start.
const REFOLDS_MAX_LARGE: u64 = 3;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub events: u64,
    /// Of the inputs, the answers, the log and the effects, in their order.
    pub trace: u64,
    pub happened: Happened,
}

struct Run {
    world: World0,
    bank: Bank,
    model: Model,
    /// Lines of the log that the model has seen.
    seen: u64,
    tag: u64,
    /// Commands whose outcome nobody told: they are sent again.
    open: Vec<Command>,
    /// The first answer to each command that was told to be done.
    told: BTreeMap<u64, (u16, String)>,
    /// The incarnation that this process may act for.
    acts_for: [u8; 16],
    /// Effects that are being attempted.
    attempts: Vec<EffectCall>,
    /// Projections that were quarantined.
    faulted: Vec<String>,
    refolds: u64,
    drawn: u64,
    /// Faults before the step, and until which step the system may be late for one.
    faults: u64,
    late_until: u64,
    step: u64,
    trace: DefaultHasher,
}

/// Plays a plan to its end.
pub fn play(plan: &Plan) -> Checked<Told> {
    let mut run = Run::new(plan);
    for step in 0..plan.steps {
        if run.model.position >= plan.events {
            break;
        }
        run.step = step;
        run.step().map_err(|what| format!("step {step}: {what}"))?;
    }
    run.end().map_err(|what| format!("at the end: {what}"))
}

impl Run {
    fn new(plan: &Plan) -> Self {
        let world = Shared::new(plan.clone());
        let acts_for = world.borrow().owner;
        Self {
            bank: process(&world, 0, acts_for),
            world,
            acts_for,
            model: Model::default(),
            seen: 0,
            tag: 0,
            open: Vec::new(),
            told: BTreeMap::new(),
            attempts: Vec::new(),
            faulted: Vec::new(),
            refolds: 0,
            drawn: 0,
            faults: 0,
            late_until: 0,
            step: 0,
            trace: DefaultHasher::new(),
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.world.borrow_mut().random.below(bound)
    }

    fn chance(&self, rate: u64) -> bool {
        self.world.borrow_mut().chance(rate)
    }

    fn plan<T>(&self, of: impl FnOnce(&Plan) -> T) -> T {
        of(&self.world.borrow().plan)
    }

    /// Whether something happened in this step that clients may be told of.
    fn is_disturbed(&self) -> bool {
        self.world.borrow().faults > self.faults
    }

    /// The log is another host's.
    fn is_held(&self) -> bool {
        self.seen > 0 && self.model.incarnation != chain::hex(&self.acts_for)
    }

    fn moment(&self) -> Moment {
        let held = self.is_held();
        let world = self.world.borrow();
        let (now, listed) = (world.now, world.plan.partition != "main");
        Moment { now, held, traps: world.plan.trap > 0, listed }
    }

    fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// Part of the history.
    fn tell(&mut self, kind: &str, what: &str) {
        what.hash(&mut self.trace);
        if self.plan(|plan| plan.is_told) {
            let now = self.world.borrow().now;
            println!("{} {now} {kind} {what}", self.step);
        }
    }

    /// Runs requests. Nothing comes back from a process that ended.
    fn ask(&mut self, requests: Vec<OwnedRequest>) -> Option<Vec<Reply>> {
        for request in &requests {
            self.tell("asked", &request.target);
        }
        self.note_first_due();
        let replies = self.bank.run(requests);
        for failure in self.bank.take_failures() {
            self.tell("failure", &failure);
        }
        if self.world.borrow().crashed {
            return None;
        }
        for reply in &replies {
            let (status, body) = kit::shown(reply);
            status.hash(&mut self.trace);
            self.tell("answer", &body);
        }
        Some(replies)
    }

    /// What a wake finds, for traps that tell at what they were.
    fn note_first_due(&mut self) {
        let mut world = self.world.borrow_mut();
        world.first_due = self.model.waiting.first_due(world.now);
    }

    fn step(&mut self) -> Checked<()> {
        let before = self.model.position;
        self.faults = self.world.borrow().faults;
        self.move_clock();
        if self.chance(self.plan(|plan| plan.restart)) {
            self.start_again()?;
        }
        let due = self.bank.work_due() == Some(0);
        match self.below(20) {
            0 => self.checkpoint()?,
            1 => self.look()?,
            2..=4 => self.work()?,
            5..=7 if due => self.work()?,
            8 if self.is_held() => self.resume()?,
            9 if !self.faulted.is_empty() => self.rebuild()?,
            _ => self.batch()?,
        }
        self.read_log()?;
        self.take_effects()?;
        if !self.world.borrow().crashed {
            self.end_effects()?;
        }
        if !self.world.borrow().crashed {
            self.compare(before)?;
        }
        if self.is_disturbed() {
            // Waits double up to 25 seconds, a second a step.
            self.late_until = self.step + 60;
        }
        if self.world.borrow().crashed {
            self.start_again()?;
        }
        self.read_log()?;
        match self.world.borrow_mut().violation.take() {
            Some(what) => Err(what),
            None => Ok(()),
        }
    }

    fn move_clock(&mut self) {
        let jump = self.chance(self.plan(|plan| plan.jump));
        let by = [500, 60_000, 86_400_000, 8 * 86_400_000][self.below(4) as usize];
        let back = self.below(2) == 0;
        let mut world = self.world.borrow_mut();
        world.now += 1_000;
        world.micros += 1_000_000;
        if !jump {
            return;
        }
        if !back {
            world.now += by;
            world.happened.note("clock ahead");
            return;
        }
        let then = world.now.saturating_sub(by);
        if self.model.waiting.is_due_between(then, world.now) {
            world.happened.note("clock back over a timer");
        }
        if self.model.outbox.last_due().is_some_and(|due| due > then) {
            world.happened.note("clock back over an effect");
        }
        world.now = then;
    }

    fn checkpoint(&mut self) -> Checked<()> {
        let stored = self.bank.checkpoint().is_ok();
        let some = self.below(3) == 0;
        self.rows_are_the_fold(stored && some && !self.world.borrow().crashed)
    }

    fn commands(&mut self) -> Vec<Command> {
        let plan = self.world.borrow().plan.clone();
        let count = 1 + self.below(plan.batch_max);
        (0..count)
            .map(|_| {
                // Whoever does not know what became of a command sends it again.
                if !self.open.is_empty() && self.below(2) == 0 {
                    let at = self.below(self.open.len() as u64) as usize;
                    return self.open.swap_remove(at);
                }
                self.tag += 1;
                Command::random(&mut self.world.borrow_mut().random, &plan, self.tag)
            })
            .collect()
    }

    fn batch(&mut self) -> Checked<()> {
        let commands = self.commands();
        // One read among them sees what comes before it.
        let read = (self.below(3) == 0).then(|| {
            let id = commands.first().map(|command| command.id.clone()).unwrap_or_default();
            (self.below(commands.len() as u64 + 1) as usize, id)
        });
        let mut requests: Vec<OwnedRequest> = commands.iter().map(Command::request).collect();
        if let Some((at, id)) = &read {
            requests.insert(*at, self.query(id));
        }
        let Some(mut replies) = self.ask(requests) else {
            // Nobody got the replies of a process that ended.
            let again = commands.into_iter().filter(|c| c.key.is_some() || c.event_id.is_some());
            self.open.extend(again);
            return Ok(());
        };
        let seen = read.map(|(at, id)| (at, id, replies.remove(at)));
        // The log as it was when each command was staged, as far as answers tell.
        let lines = self.new_lines()?;
        let mut lines = lines.iter().peekable();
        for (index, (command, reply)) in commands.iter().zip(&replies).enumerate() {
            if let Some((at, id, reply)) = &seen
                && *at == index
            {
                self.seen_between(id, reply, &mut lines)?;
            }
            self.answer(command, reply, &mut lines)
                .map_err(|what| format!("{command:?}: {what}"))?;
        }
        if let Some((at, id, reply)) = &seen
            && *at == commands.len()
        {
            self.seen_between(id, reply, &mut lines)?;
        }
        // What the system did after the last of them.
        lines.try_for_each(|line| self.take(line))
    }

    fn take(&mut self, line: &str) -> Checked<()> {
        let at = self.moment();
        self.seen += 1;
        // Law 4: what is due comes before the next client's command, as long as the batch has room
        // for it and nothing was disturbed.
        let calm = !self.is_disturbed() && self.step >= self.late_until;
        let roomy = self.plan(|plan| plan.batch_max) < 10;
        let clients = line.contains("\"meta\":{\"tag\"");
        if roomy && calm && clients && self.model.waiting.is_due(at.now) {
            let first = self.model.waiting.first();
            return Err(format!("a client came before {first:?}: {line}"));
        }
        self.tell("stored", line);
        self.model.take_line(line, &at)
    }

    /// Lines that the model has not seen.
    fn new_lines(&self) -> Checked<Vec<String>> {
        let world = self.world.borrow();
        let mut lines = Vec::new();
        for block in world.durable.log.range(self.model.position..).map(|(_, block)| block) {
            lines.extend(chain::lines(&block.body).map(String::from));
        }
        let after = self.model.position;
        // A block may begin with what is known; genesis is known once anything is.
        let known = |line: &String| {
            chain::position(line).is_some_and(|p| p <= after && (p > 0 || self.seen > 0))
        };
        Ok(lines.into_iter().skip_while(known).collect())
    }

    /// What else is in the log: commits whose answers were lost.
    fn read_log(&mut self) -> Checked<()> {
        for line in self.new_lines()? {
            self.take(&line)?;
        }
        Ok(())
    }

    /// Law 2, and that a checkpoint is a cut: the stored rows are the fold of the log up to it.
    fn rows_are_the_fold(&mut self, wanted: bool) -> Checked<()> {
        let bound = if self.model.position > 10_000 { REFOLDS_MAX_LARGE } else { REFOLDS_MAX };
        if !wanted || self.refolds >= bound {
            return Ok(());
        }
        self.refolds += 1;
        let world = self.world.borrow();
        let release = Release(world.checkpoint_of, world.plan.sabotage);
        cut(&world.durable, release)
    }
}

/// A process of a release, over what is stored.
fn process(world: &World0, drawn: u64, acts_for: [u8; 16]) -> Bank {
    let shared = world.borrow();
    let setup = kit::Setup {
        row_cache_max: shared.plan.row_cache_max,
        tail_events_max: shared.plan.tail_events_max,
        test_stamps: false,
        ..kit::Setup::default()
    };
    let mut config = setup.config();
    config.partition = shared.plan.partition.into();
    config.incarnation = acts_for;
    config.effects_in_flight_max = shared.plan.effects_in_flight_max;
    if shared.broken(Sabotage::LateWake) {
        config.batch_commands_max = 0;
    }
    let release = Release(shared.release, shared.plan.sabotage);
    drop(shared);
    let spawner = Spawner { release, world: world.clone() };
    let clock = Clock { world: world.clone(), drawn };
    Partition::new(spawner, Disk(world.clone()), clock, config)
}
