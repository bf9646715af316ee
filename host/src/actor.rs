//! One open partition: a thread that runs the driver for whoever sends it work.
//!
//! Owns batching (all that waits, up to a bound), deadlines of what waits, the system's own work,
//! idle checkpoints, and the restart after a panic. Refuses to know sockets. Which partitions are
//! open is `partitions`.
//!
//! Invariant: a job is claimed before it is staged, so whoever waits for it can tell what is
//! certainly not done from what may have been. Whatever is tried, clients' requests or not, passes
//! through the supervisor.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use foldlog_core::driver::{Export, Feed, Ran, Reply, Step, World};
use foldlog_core::errors::Code;
use foldlog_core::protocol::Standing;
use foldlog_core::settings::Settings;
use foldlog_core::time::Time;
use tokio::sync::oneshot;

use crate::attempts::Sender;
use crate::beside::{Beside, Reading};
use crate::closed::{Closed, Kept};
use crate::job::{Job, Shared};
use crate::live;
use crate::log;
use crate::metrics::{Metrics, add, get};
use crate::open::{Open, UNREADABLE};
use crate::stores::Stores;
use crate::streams::Page;
use crate::supervise::{Supervisor, closed};
use crate::wasm::Module;
use crate::world::Machine;

/// Turns of the system's own work before a partition is closed, some milliseconds each.
const LAST_TURNS: u32 = 8;
/// So long a partition that closes waits for its outside calls. Whoever opens it next makes those
/// again that did not end.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// What an actor is sent.
#[derive(Debug)]
pub enum Message {
    /// A request to decide or answer.
    Job(Job),
    /// A page of an export: its bytes, and the bound after which the next one starts.
    Page(Export, oneshot::Sender<Result<Page, String>>),
    /// Something is due: open it, and do that.
    Wake,
    /// A step of an import, by the number that it was given.
    Import(u64, Feed, oneshot::Sender<Step>),
    /// An outside call ended.
    Nudge,
}

/// What an actor needs to work.
#[derive(Debug)]
pub struct Actor {
    /// Name of the partition.
    pub name: String,
    /// Where it is kept.
    pub stores: Arc<dyn Stores>,
    /// The guest.
    pub module: Module,
    /// How it is run.
    pub settings: Arc<Settings>,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// What it tells.
    pub shared: Arc<Shared>,
    /// What is remembered of it while it is not open.
    pub closed: Arc<Closed>,
    /// When it is tried again after it failed.
    pub supervisor: Supervisor,
    /// It has to be opened although nobody asks for it.
    pub wanted: Cell<bool>,
    /// Commands done and refused before it was opened.
    pub before: (u64, u64),
    /// Who answers reads that commands would wait for.
    pub beside: Beside,
    /// Makes its effects.
    pub sender: Sender,
    /// Its own inbox, for those.
    pub nudge: Weak<SyncSender<Message>>,
    /// Who waits for what it stores.
    pub feed: Arc<live::Feed>,
}

impl Actor {
    /// Works until all senders are gone, then stores a checkpoint. Whoever opens the partition next
    /// goes on with what is remembered of it.
    pub fn run(mut self, inbox: &Receiver<Message>) {
        let kept = self.closed.opens(&self.name);
        self.supervisor = kept.supervisor;
        self.before = (kept.processed, kept.rejected);
        // Metrics tell of it before anything was tried.
        self.ended(Ran::default());
        let mut state = None;
        self.work_on(&mut state, inbox);
        let due = self.next_due(&mut state);
        let (processed, rejected) = self.counted(&state);
        let gauges = self.shared.gauges.each_ref().map(get);
        let kept = Kept { supervisor: self.supervisor, processed, rejected, gauges };
        self.closed.closes(&self.name, kept, due);
    }

    fn work_on(&self, state: &mut Option<Open>, inbox: &Receiver<Message>) {
        let idle = Duration::from_millis(self.settings.checkpoint_idle_ms);
        loop {
            let waits = self.supervisor.waits().unwrap_or_default();
            let work = match state {
                Some(open) => open.work_due(),
                None => self.wanted.get().then_some(Duration::ZERO),
            };
            let work = work.map(|wait| wait.max(waits));
            // Calls under way keep it open, if another can be closed instead.
            let calls = state.as_ref().is_some_and(Open::calls).then_some(Duration::ZERO);
            self.publish(calls.or(work));
            let useful = state.as_ref().is_some_and(|open| open.live.checkpoint_useful());
            let idle = idle.max(waits);
            let next = if let Some(wait) = work.filter(|wait| !useful || *wait < idle) {
                inbox.recv_timeout(wait)
            } else if useful {
                inbox.recv_timeout(idle)
            } else {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            let waited = work.is_some_and(|wait| !useful || wait < idle);
            let ended = matches!(next, Err(RecvTimeoutError::Disconnected));
            self.close_stale(state);
            let step = || match next {
                Ok(first) => {
                    self.work(state, first, inbox);
                    self.do_work(state);
                }
                Err(RecvTimeoutError::Timeout) if waited => self.do_work(state),
                Err(_) => {
                    if ended {
                        self.last_work(state);
                    }
                    self.checkpoint(state.as_mut());
                }
            };
            if catch_unwind(AssertUnwindSafe(step)).is_err() {
                // The panic's message was printed by the hook. What it left is not trusted: the
                // next message opens the partition anew; senders that were dropped tell callers.
                add(&self.metrics.failures, 1);
                log::error("partition restarts after a panic")
                    .with("partition", &self.name)
                    .write();
                *state = None;
                self.want();
                self.ended(closed("its host failed"));
            }
            if ended {
                // Before the writer's connection, which leaves no WAL behind if it is the last.
                return self.beside.close();
            }
        }
    }

    /// What takes a moment is done now: it would open the partition again.
    fn last_work(&self, state: &mut Option<Open>) {
        if let Some(open) = state {
            open.last_calls(LAST_CALLS);
        }
        for _ in 0..LAST_TURNS {
            if state.as_mut().and_then(Open::work_due) == Some(Duration::ZERO) {
                self.do_work(state);
            }
        }
        if let Some(open) = state {
            open.live.effects_given_up();
            open.live.deliveries_given_up();
            open.live.save_places();
            open.live.save_rejected();
        }
    }

    /// Does what is due beside clients' requests, for a few milliseconds.
    fn do_work(&self, state: &mut Option<Open>) {
        if self.supervisor.waits().is_some() || (state.is_none() && !self.wanted.get()) {
            return;
        }
        let open = match self.open(state) {
            Ok(open) => open,
            Err(detail) => {
                self.failed(&detail);
                return self.ended(closed(UNREADABLE));
            }
        };
        if self.wanted.take() {
            open.live.wake();
        }
        open.take_ended();
        if open.work_due().is_some_and(|wait| wait.is_zero()) {
            open.live.work();
        }
        open.make_effects();
        open.answer([], self.settings.test_stamps.is_some());
        self.stored(open);
        open.live.take_failures().iter().for_each(|failure| self.failed(failure));
        self.ended(open.live.take_ran());
    }

    /// With test stamps nothing happens by itself.
    fn want(&self) {
        self.wanted.set(self.settings.test_stamps.is_none());
    }

    /// Tells when there is something to do beside requests.
    fn publish(&self, work: Option<Duration>) {
        let due = work.map(|wait| {
            Machine::new().clock().after_ms(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
        });
        self.shared.due_ms.store(due.map_or(u64::MAX, |due| due.0), Ordering::Relaxed);
    }

    /// When the partition has to be opened again, by the raw clock.
    fn next_due(&self, state: &mut Option<Open>) -> Option<Time> {
        if self.settings.test_stamps.is_some() {
            return None;
        }
        let now = Machine::new().clock();
        let due = match state {
            Some(open) => open.live.next_due(),
            None => self.wanted.get().then_some(now),
        };
        let waits = self.supervisor.waits().unwrap_or_default();
        let earliest = now.after_ms(u64::try_from(waits.as_millis()).unwrap_or(u64::MAX));
        due.map(|due| due.max(earliest))
    }

    /// Commands done and refused by this partition since the process began.
    fn counted(&self, state: &Option<Open>) -> (u64, u64) {
        state.as_ref().map_or(self.before, |open| (open.processed, open.rejected))
    }

    fn work(&self, state: &mut Option<Open>, first: Message, inbox: &Receiver<Message>) {
        let batch_max = usize::try_from(self.settings.batch_commands_max).unwrap_or(1);
        let mut jobs = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Job(job) => jobs.extend(self.take(job)),
                Message::Wake if state.is_none() => self.want(),
                Message::Wake | Message::Nudge => {}
                Message::Page(export, reply) => {
                    // The receiver may be gone: then nobody wants the page.
                    let _ = reply.send(self.page(state, export));
                }
                Message::Import(token, feed, reply) => {
                    let _ = reply.send(self.import(state, token, feed));
                }
            }
            next = if jobs.len() < batch_max { inbox.try_recv().ok() } else { None };
        }
        let jobs = self.hand_over(state.as_mut(), jobs);
        if !jobs.is_empty() {
            self.run_batch(state, jobs);
        }
    }

    /// Hands long reads to the reader beside, unless all there is to do is one of them; returns
    /// the rest.
    fn hand_over(&self, open: Option<&mut Open>, jobs: Vec<Job>) -> Vec<Job> {
        let Some(open) = open.filter(|_| self.beside.is_wanted(jobs.len() > 1)) else {
            return jobs;
        };
        self.supervisor.tell(&mut open.live);
        let stay = |job: Job| match open.live.tell(&job.request).filter(|_| job.beside) {
            Some(told) => self.beside.take(job, told, || Reading {
                stores: self.stores.clone(),
                module: self.module.giving_way(),
                config: open.live.config().clone(),
                metrics: self.metrics.clone(),
            }),
            None => Some(job),
        };
        jobs.into_iter().filter_map(stay).collect()
    }

    /// The job, unless it is too late for it or nobody waits any more.
    fn take(&self, job: Job) -> Option<Job> {
        if job.reply.is_closed() {
            return None;
        }
        if job.deadline.now_at(&self.shared) < Instant::now() {
            if !job.claim.take() {
                return None;
            }
            add(&self.metrics.deadlines_missed, 1);
            let late = "the request waited longer than its deadline and was not begun";
            job.answer(Reply::problem(Code::DeadlineExceeded, late));
            return None;
        }
        // From here on a caller who stops waiting can not be told that nothing happened; one who
        // was told that already is not made a liar.
        job.claim.take().then_some(job)
    }

    fn run_batch(&self, state: &mut Option<Open>, jobs: Vec<Job>) {
        let started = Instant::now();
        let (requests, callers): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.request, job.reply)).unzip();
        self.metrics.batch(requests.len());
        let replies = self.supervised(requests, |requests| match self.open(state) {
            Ok(open) => {
                self.wanted.set(false);
                self.supervisor.tell(&mut open.live);
                let replies = open.live.run(requests);
                while open.make_effects() && self.settings.test_stamps.is_some() {
                    open.live.work();
                }
                self.tell(open, started);
                (replies, open.live.take_ran())
            }
            Err(detail) => {
                self.failed(&detail);
                let reply = "the partition can not be opened; nothing was done";
                let replies =
                    requests.iter().map(|_| Reply::problem(Code::Restarting, reply)).collect();
                self.want();
                (replies, closed(UNREADABLE))
            }
        });
        let answers = callers.into_iter().zip(replies);
        match state {
            Some(open) => open.answer(answers, self.settings.test_stamps.is_some()),
            None => answers.for_each(|(caller, reply)| {
                let _ = caller.send(Ok(reply));
            }),
        }
    }

    /// Publishes what the run changed: counters, gauges, failures.
    fn tell(&self, open: &mut Open, started: Instant) {
        let failures = open.live.take_failures();
        for failure in &failures {
            self.failed(failure);
        }
        if !failures.is_empty() {
            let lost = u64::try_from(started.elapsed().as_micros()).unwrap_or_default();
            add(&self.shared.lost_micros, lost);
        }
        let process = open.live.process();
        if process.standing == Standing::Held && !open.held_told {
            let why = "its newest incarnation is not the one in the owner file beside it";
            log::warn("partition held").with("partition", &self.name).with("detail", why).write();
            open.held_told = true;
        }
        let (processed, rejected) = (process.commands_processed, process.commands_rejected);
        add(&self.metrics.commands_processed, processed - open.processed);
        add(&self.metrics.commands_rejected, rejected - open.rejected);
        (open.processed, open.rejected) = (processed, rejected);
        let position = self.stored(open);
        let gauges = [process.p50_micros, process.p99_micros, position, process.checkpoint];
        for (gauge, value) in self.shared.gauges.iter().zip(gauges) {
            gauge.store(value, Ordering::Relaxed);
        }
    }

    /// Tells readers what is stored; returns up to where.
    pub fn stored(&self, open: &mut Open) -> u64 {
        let position = open.live.head().map_or(0, |head| head.position);
        self.feed.stored(position, open.live.take_blocks(self.feed.is_looked_at()));
        position
    }

    fn checkpoint(&self, open: Option<&mut Open>) {
        let Some(open) = open.filter(|_| self.supervisor.waits().is_none()) else { return };
        if let Err(failure) = open.live.checkpoint() {
            self.failed(&failure.to_string());
        }
        self.ended(open.live.take_ran());
        let process = open.live.process();
        let [_, _, _, checkpoint, ..] = &self.shared.gauges;
        checkpoint.store(process.checkpoint, Ordering::Relaxed);
    }

    /// Counts a failure and tells it.
    pub fn failed(&self, detail: &str) {
        add(&self.metrics.failures, 1);
        self.supervisor.told(&self.name, detail);
    }

    /// The partition, opened if need be.
    pub fn open<'a>(&self, state: &'a mut Option<Open>) -> Result<&'a mut Open, String> {
        if state.is_none() {
            *state = Some(Open::new(self)?);
        }
        state.as_mut().ok_or_else(|| "not open".to_string())
    }
}
