//! One run: a history by chance, and after every step everything that must hold.
//!
//! Owns the order of steps and the checks. A check that fails ends the run with what is wrong; it
//! never panics, so that sabotaged runs can be told from broken ones.

mod answers;

use std::collections::BTreeMap;

use foldlog_core::chain;
use foldlog_core::driver::{Linked, Partition};
use serde_json::Value;

use super::super::engine::kit::{self, Setup, get};
use super::commands::Command;
use super::model::Model;
use super::plan::Plan;
use super::rows::cut;
use super::sabotage::Sabotage;
use super::world::{Clock, Disk, Happened, Shared, Spawner, World0};

pub(super) type Checked<T> = Result<T, String>;
type Bank = Partition<Spawner, Disk, Clock>;

/// Full refolds of one run at most: they cost as much as all else together.
const REFOLDS_MAX: u64 = 20;
/// And of a long one, beyond its start.
const REFOLDS_MAX_LARGE: u64 = 3;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    pub events: u64,
    pub answered_by_key: u64,
    pub unknown: u64,
    pub transfers: u64,
    pub refunds: u64,
    pub happened: Happened,
}

struct Run {
    world: World0,
    bank: Bank,
    model: Model,
    setup: Setup,
    /// Lines of the log that the model has seen.
    seen: u64,
    tag: u64,
    /// Commands whose outcome nobody told: they are sent again.
    open: Vec<Command>,
    /// The first answer to each command that was told to be done.
    told: BTreeMap<u64, (u16, String)>,
    refolds: u64,
    drawn: u64,
    result: Told,
}

/// Plays a plan to its end.
pub fn play(plan: &Plan) -> Checked<Told> {
    let mut run = Run::new(plan);
    for step in 0..plan.steps {
        if run.model.position >= plan.events {
            break;
        }
        run.step().map_err(|what| format!("step {step}: {what}"))?;
    }
    run.end().map_err(|what| format!("at the end: {what}"))
}

impl Run {
    fn new(plan: &Plan) -> Self {
        let setup = Setup {
            row_cache_max: plan.row_cache_max,
            tail_events_max: plan.tail_events_max,
            test_stamps: false,
            ..Setup::default()
        };
        let world = Shared::new(plan.clone());
        let bank = process(&world, &setup, 0);
        Self {
            world,
            bank,
            model: Model::default(),
            setup,
            seen: 0,
            tag: 0,
            open: Vec::new(),
            told: BTreeMap::new(),
            refolds: 0,
            drawn: 0,
            result: Told::default(),
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.world.borrow_mut().random.below(bound)
    }

    fn chance(&self, rate: u64) -> bool {
        self.world.borrow_mut().chance(rate)
    }

    fn step(&mut self) -> Checked<()> {
        let (jump, restart) = {
            let world = self.world.borrow();
            (world.plan.jump, world.plan.restart)
        };
        self.world.borrow_mut().now += 1_000;
        if self.chance(jump) {
            let by = [500, 60_000, 86_400_000, 8 * 86_400_000][self.below(4) as usize];
            let back = self.below(2) == 0;
            let mut world = self.world.borrow_mut();
            world.now = if back { world.now.saturating_sub(by) } else { world.now + by };
        }
        if self.chance(restart) {
            self.start_again()?;
        }
        match self.below(20) {
            0 => drop(self.bank.checkpoint()),
            1 => self.look()?,
            2 => self.bank.work(),
            _ => self.batch()?,
        }
        if self.world.borrow().crashed {
            self.start_again()?;
        }
        self.read_log()
    }

    /// The process is gone; another one opens what is stored.
    fn start_again(&mut self) -> Checked<()> {
        self.world.borrow_mut().crashed = false;
        self.drawn += 1_000_000;
        self.bank = process(&self.world, &self.setup, self.drawn);
        self.rows_are_the_fold(self.seen.is_multiple_of(3))
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
        let clock = self.world.borrow().now;
        let replies = self.bank.run(commands.iter().map(Command::request).collect());
        if self.world.borrow().crashed {
            // Nobody got the replies of a process that ended.
            self.result.unknown += commands.len() as u64;
            let again = commands.into_iter().filter(|c| c.key.is_some() || c.event_id.is_some());
            self.open.extend(again);
            return Ok(());
        }
        // The log as it was when each command was staged, as far as answers tell.
        let lines = self.new_lines()?;
        let mut lines = lines.iter().peekable();
        for (command, reply) in commands.iter().zip(&replies) {
            self.answer(command, reply, clock, &mut lines)
                .map_err(|what| format!("{command:?}: {what}"))?;
        }
        // What the system did after the last of them.
        lines.try_for_each(|line| self.take(line))
    }

    fn take(&mut self, line: &str) -> Checked<()> {
        self.seen += 1;
        // Law 4: what is due comes before the next client's command, as long as the batch has room
        // for it and nothing failed: what fails waits a little, and clients are served meanwhile.
        let world = self.world.borrow();
        let (well, roomy) = (!world.happened.failed(), world.plan.batch_max < 10);
        drop(world);
        if roomy && well && self.model.transfers.waits() && !line.contains(",\"cause\":{") {
            return Err(format!("a client came before what is due: {line}"));
        }
        self.model.take_line(line)
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
        self.result.events = self.model.position;
        Ok(())
    }

    /// What is read is what is stored.
    fn look(&mut self) -> Checked<()> {
        self.read_log()?;
        if self.model.transfers.waits() {
            // What is due would be done before it is read.
            return Ok(());
        }
        let accounts = self.world.borrow().plan.accounts;
        let id = format!("acc-{}", self.tag / 50 + self.below(accounts));
        if self.below(3) == 0 {
            let snapshot = kit::request("POST", &format!("/snapshots/account/{id}"), "", &[]);
            let (status, body) = kit::run(&mut self.bank, snapshot);
            let there = self.model.accounts.contains_key(&id);
            if !matches!((status, there), (500.., _) | (404, false) | (200 | 201, true)) {
                return Err(format!("a snapshot of {id}: {status} {body}"));
            }
        }
        let now = self.model.accounts.get(&id).map_or(0, |account| account.version);
        if now > 1 && self.below(2) == 0 {
            return self.look_back(&id, 1 + self.below(now));
        }
        let (status, body) = kit::run(&mut self.bank, get(&format!("/queries/account/{id}")));
        let account = self.model.accounts.get(&id);
        let value: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        match (status, account) {
            (500 | 503, _) | (404, None) => Ok(()),
            (200, Some(account))
                if value["balance"] == account.balance
                    && value["version"] == account.version
                    && value["isActive"] == !account.closed =>
            {
                Ok(())
            }
            _ => Err(format!("{id} is {account:?}, shown {status} {body}")),
        }
    }

    /// A state as of then is what it was then.
    fn look_back(&mut self, id: &str, version: u64) -> Checked<()> {
        let target = format!("/queries/account/{id}?atVersion={version}");
        let (status, body) = kit::run(&mut self.bank, get(&target));
        let value: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        let history = self.model.accounts.get(id).map(|account| &account.history);
        let then = history.and_then(|history| history.get(version as usize - 1));
        let fits = then.is_some_and(|balance| value["balance"] == *balance);
        if status >= 500 || fits {
            Ok(())
        } else {
            Err(format!("{target}: {then:?}, shown {body}"))
        }
    }

    /// Law 2, and that a checkpoint is a cut: the stored rows are the fold of the log up to it.
    fn rows_are_the_fold(&mut self, wanted: bool) -> Checked<()> {
        let bound = if self.model.position > 10_000 { REFOLDS_MAX_LARGE } else { REFOLDS_MAX };
        if !wanted || self.refolds >= bound {
            return Ok(());
        }
        self.refolds += 1;
        let stored = self.world.borrow().durable.clone();
        cut(&stored, &self.setup)
    }

    fn end(&mut self) -> Checked<Told> {
        self.world.borrow_mut().calm = true;
        self.start_again()?;
        self.read_log()?;
        let open = std::mem::take(&mut self.open);
        for command in open {
            let clock = self.world.borrow().now;
            let replies = self.bank.run(vec![command.request()]);
            let lines = self.new_lines()?;
            let reply = replies.first().ok_or("no reply")?;
            let mut lines = lines.iter().peekable();
            self.answer(&command, reply, clock, &mut lines)
                .map_err(|what| format!("{command:?}: {what}"))?;
            lines.try_for_each(|line| self.take(line))?;
        }
        if !self.open.is_empty() {
            return Err(format!("without faults these stay open: {:?}", self.open));
        }
        self.bank.open().map_err(|failure| failure.to_string())?;
        for _ in 0..1_000 {
            self.world.borrow_mut().now += 60_000;
            if self.bank.work_due() == Some(0) {
                self.bank.work();
            }
        }
        self.read_log()?;
        self.model.transfers.settled()?;
        self.result.transfers = self.model.transfers.ended();
        self.result.refunds = self.model.transfers.refunded();
        self.bank.checkpoint().map_err(|failure| failure.to_string())?;
        let stored = self.world.borrow().durable.clone();
        cut(&stored, &self.setup)?;
        let sum = balances(&mut self.bank)?;
        if sum != self.model.money() {
            return Err(format!("balances sum up to {sum}, not {}", self.model.money()));
        }
        self.result.happened = self.world.borrow().happened;
        Ok(self.result)
    }
}

fn process(world: &World0, setup: &Setup, drawn: u64) -> Bank {
    let registry = Sabotage::registry(world.borrow().plan.sabotage);
    let spawner = Spawner { linked: Linked(registry), world: world.clone(), digest: 1 };
    let clock = Clock { world: world.clone(), drawn };
    let mut config = setup.config();
    if world.borrow().broken(Sabotage::LateWake) {
        config.batch_commands_max = 0;
    }
    Partition::new(spawner, Disk(world.clone()), clock, config)
}

/// The sum that the projection shows, over all its pages.
fn balances(bank: &mut Bank) -> Checked<u128> {
    let (mut sum, mut after) = (0, String::new());
    loop {
        let target = format!("/projections/AccountBalances?limit=1000{after}");
        let (status, body) = kit::run(bank, get(&target));
        let value: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        let shown = value["data"]["balances"].as_object();
        let shown = shown.ok_or_else(|| format!("{status} {body}"))?;
        sum += shown.values().filter_map(|b| b["balance"].as_u64()).map(u128::from).sum::<u128>();
        match shown.keys().next_back() {
            Some(last) if shown.len() == 1_000 => after = format!("&after={last}"),
            _ => return Ok(sum),
        }
    }
}
