//! One open partition: a thread that runs the driver for whoever sends it work.
//!
//! Owns batching (all that waits, up to a bound), deadlines of what waits, idle checkpoints, and
//! the restart after a panic. Refuses to know sockets. Which partitions are open is `partitions`.
//!
//! Invariant: a job is `taken` before it is staged, so whoever waits for it can tell what is
//! certainly not done from what may have been.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use foldlog_core::driver::{
    Config, Export, OwnedRequest, Partition, Reply, SqlStore, Store, TestStamps, Trouble,
};
use foldlog_core::errors::Code;
use foldlog_core::protocol::Standing;
use foldlog_core::settings::Settings;
use tokio::sync::oneshot;

use crate::metrics::{GAUGES, Metrics, add};
use crate::sqlite::Connection;
use crate::supervise::Supervisor;
use crate::wasm::Module;
use crate::world::Machine;
use crate::{effects, log, owner};

type Live = Partition<Module, SqlStore<Connection>, Machine>;

/// What an actor is sent.
#[derive(Debug)]
pub enum Message {
    /// A request to decide or answer.
    Job(Job),
    /// A page of an export: its bytes, and the bound after which the next one starts.
    Page(Export, oneshot::Sender<Result<Page, String>>),
}

/// Part of an export.
#[derive(Debug)]
pub struct Page {
    /// Lines, each with its line feed; empty at the end.
    pub bytes: Vec<u8>,
    /// Position of the last line's first event.
    pub after: u64,
}

/// A request and who waits for it.
#[derive(Debug)]
pub struct Job {
    /// What is asked.
    pub request: OwnedRequest,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Reply>,
    /// Set before it is staged; never again certain not to be done.
    pub taken: Arc<AtomicBool>,
    /// From when on it is not staged any more.
    pub deadline: Deadline,
}

/// An instant, moved by the time that others' traps cost.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// When, had nothing been lost.
    pub at: Instant,
    /// [`Shared::lost_micros`] when it was set.
    pub lost_micros: u64,
}

impl Deadline {
    /// When it is, by what was lost so far.
    pub fn now_at(&self, shared: &Shared) -> Instant {
        let lost = shared.lost_micros.load(Ordering::Relaxed).saturating_sub(self.lost_micros);
        self.at + Duration::from_micros(lost)
    }
}

/// What others read of an actor at any time.
#[derive(Debug, Default)]
pub struct Shared {
    /// Time that went into runs in which something failed.
    pub lost_micros: AtomicU64,
    /// See [`crate::metrics`].
    pub gauges: [AtomicU64; GAUGES],
}

/// What an actor needs to work.
#[derive(Debug)]
pub struct Actor {
    /// Name of the partition.
    pub name: String,
    /// Its file.
    pub path: std::path::PathBuf,
    /// The guest.
    pub module: Module,
    /// How it is run.
    pub settings: Arc<Settings>,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// What it tells.
    pub shared: Arc<Shared>,
    /// When it is tried again after it failed.
    pub supervisor: Supervisor,
}

impl Actor {
    /// Works until all senders are gone, then stores a checkpoint.
    pub fn run(self, inbox: &Receiver<Message>) {
        let mut state = None;
        let idle = Duration::from_millis(self.settings.checkpoint_idle_ms);
        loop {
            let work = state.as_mut().and_then(Open::work_due);
            let useful = state.as_ref().is_some_and(|open: &Open| open.live.checkpoint_useful());
            let next = if let Some(wait) = work.filter(|wait| !useful || *wait < idle) {
                inbox.recv_timeout(wait)
            } else if useful {
                inbox.recv_timeout(idle)
            } else {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            let waited = work.is_some_and(|wait| !useful || wait < idle);
            let ended = matches!(next, Err(RecvTimeoutError::Disconnected));
            let step = || match next {
                Ok(first) => {
                    self.work(&mut state, first, inbox);
                    self.do_work(state.as_mut());
                }
                Err(RecvTimeoutError::Timeout) if waited => self.do_work(state.as_mut()),
                Err(_) => self.checkpoint(state.as_mut()),
            };
            if catch_unwind(AssertUnwindSafe(step)).is_err() {
                // The panic's message was printed by the hook. What it left is not trusted: the
                // next message opens the partition anew; senders that were dropped tell callers.
                add(&self.metrics.failures, 1);
                log::error("partition restarts after a panic")
                    .with("partition", &self.name)
                    .write();
                state = None;
                self.panicked();
            }
            if ended {
                return;
            }
        }
    }

    /// Does what is due beside clients' requests, for a few milliseconds.
    fn do_work(&self, open: Option<&mut Open>) {
        let Some(open) = open else { return };
        if open.work_due().is_some_and(|wait| wait.is_zero()) {
            open.live.work();
            open.live.take_failures().iter().for_each(|failure| self.failed(failure));
        }
        open.make_effects();
    }

    fn work(&self, state: &mut Option<Open>, first: Message, inbox: &Receiver<Message>) {
        let batch_max = usize::try_from(self.settings.batch_commands_max).unwrap_or(1);
        let mut jobs = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Job(job) => jobs.extend(self.take(job)),
                Message::Page(export, reply) => {
                    // The receiver may be gone: then nobody wants the page.
                    let _ = reply.send(self.page(state, export));
                }
            }
            next = if jobs.len() < batch_max { inbox.try_recv().ok() } else { None };
        }
        if !jobs.is_empty() {
            self.run_batch(state, jobs);
        }
    }

    /// The job, unless it is too late for it or nobody waits any more.
    fn take(&self, job: Job) -> Option<Job> {
        if job.reply.is_closed() {
            return None;
        }
        if job.deadline.now_at(&self.shared) < Instant::now() {
            add(&self.metrics.deadlines_missed, 1);
            let late = "the request waited longer than its deadline and was not begun";
            let _ = job.reply.send(Reply::problem(Code::DeadlineExceeded, late));
            return None;
        }
        // From here on a caller who stops waiting can not be told that nothing happened.
        job.taken.store(true, Ordering::SeqCst);
        Some(job)
    }

    fn run_batch(&self, state: &mut Option<Open>, jobs: Vec<Job>) {
        let started = Instant::now();
        let (requests, callers): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.request, job.reply)).unzip();
        self.metrics.batch(requests.len());
        let replies = self.supervised(requests, |requests| match self.open(state) {
            Ok(open) => {
                let replies = open.live.run(requests);
                // A test that wakes a partition wants to see what its effects came to.
                while self.settings.test_stamps.is_some() && open.make_effects() {
                    open.live.work();
                }
                self.tell(open, started);
                (replies, open.live.take_trouble())
            }
            Err(detail) => {
                self.failed(&detail);
                let reply = "the partition can not be opened; nothing was done";
                let replies =
                    requests.iter().map(|_| Reply::problem(Code::Restarting, reply)).collect();
                (replies, Some(Trouble::Closed("its file can not be read")))
            }
        });
        for (caller, reply) in callers.into_iter().zip(replies) {
            // A caller who left gets no answer; what was stored stays stored.
            let _ = caller.send(reply);
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
        let position = open.live.head().map_or(0, |head| head.position);
        let gauges = [process.p50_micros, process.p99_micros, position, process.checkpoint];
        for (gauge, value) in self.shared.gauges.iter().zip(gauges) {
            gauge.store(value, Ordering::Relaxed);
        }
    }

    fn page(&self, state: &mut Option<Open>, export: Export) -> Result<Page, String> {
        let lines = self.open(state)?.live.page(export).map_err(|e| {
            self.failed(&e.to_string());
            e.to_string()
        })?;
        let last = lines.last().and_then(|line| foldlog_core::chain::position(line));
        let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        Ok(Page { bytes, after: last.unwrap_or(export.to) })
    }

    fn checkpoint(&self, open: Option<&mut Open>) {
        let Some(open) = open else { return };
        if let Err(failure) = open.live.checkpoint() {
            self.failed(&failure.to_string());
        }
        let process = open.live.process();
        let [_, _, _, checkpoint, ..] = &self.shared.gauges;
        checkpoint.store(process.checkpoint, Ordering::Relaxed);
    }

    fn failed(&self, detail: &str) {
        add(&self.metrics.failures, 1);
        log::error("partition failed").with("partition", &self.name).with("detail", detail).write();
    }

    fn open<'a>(&self, state: &'a mut Option<Open>) -> Result<&'a mut Open, String> {
        if state.is_none() {
            *state = Some(self.new_open()?);
        }
        state.as_mut().ok_or_else(|| "not open".to_string())
    }

    fn new_open(&self) -> Result<Open, String> {
        let connection = Connection::new(self.path.clone(), [0; 16], self.metrics.clone());
        let mut store = SqlStore::new(connection);
        let tail = store.tail().map_err(|e| e.to_string())?;
        let seed = self.settings.test_stamps.clone();
        let incarnation = owner::of(&self.path, tail.genesis.is_none(), seed.as_deref());
        store.connection().act_for(incarnation);
        let config = Config {
            partition: self.name.clone(),
            incarnation,
            settings: self.settings.open(),
            host: "native",
            tail_events_max: self.settings.tail_events_max,
            batch_commands_max: usize::try_from(self.settings.batch_commands_max).unwrap_or(1),
            effects_in_flight_max: self.settings.effects_in_flight_max,
            test_stamps: seed.map(|seed| TestStamps { seed, offset_ms: 0 }),
        };
        let live = Partition::new(self.module.clone(), store, Machine::new(), config);
        Ok(Open { live, held_told: false, processed: 0, rejected: 0 })
    }
}

/// A partition with its file and guest.
struct Open {
    live: Live,
    /// That it is held was told.
    held_told: bool,
    /// Counters as last told.
    processed: u64,
    rejected: u64,
}

impl Open {
    /// Makes the effects that are due; false when none are. All that are made natively so far are
    /// done at once: nothing waits for them.
    fn make_effects(&mut self) -> bool {
        let due = self.live.take_effects();
        for effect in &due {
            let ended = effects::make(effect);
            self.live.effect_ended(effect.position, effect.n, ended.err());
        }
        !due.is_empty()
    }

    /// How long to wait before there is something to do, when there will be.
    fn work_due(&mut self) -> Option<Duration> {
        self.live.work_due().map(Duration::from_micros)
    }
}
