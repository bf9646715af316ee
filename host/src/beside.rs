//! Beside a partition's writer: a thread that answers long reads from an instance of its own, so
//! that commands wait for none of them.
//!
//! Owns when there is such a thread, and when it closes what it has open. Refuses to recover from
//! anything: what it can not answer it hands back, and the writer answers that.
//!
//! A partition whose reads come one at a time needs none: as soon as something else waits beside a
//! read, reads go here, until there was none for a while. Only then a second instance takes memory.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use foldlog_core::driver::{Config, Reader, Told};

use crate::gate::{AsOpened, Gate};
use crate::job::Job;
use crate::log;
use crate::metrics::{Metrics, add};
use crate::stores::Stores;
use crate::wasm::Module;

/// Reads that may wait here; more are answered by the writer.
const QUEUE_MAX: usize = 1_024;
/// Without a read for so long, instance and connection are closed.
const IDLE: Duration = Duration::from_secs(10);
/// After a read that it could not answer it tries none for this long.
const PAUSE: Duration = Duration::from_millis(500);

/// The way to the thread. Only the actor's own thread uses it.
#[derive(Debug)]
pub struct Beside {
    /// Through it the writer stores rows.
    pub gate: Arc<Gate>,
    way: RefCell<Option<Way>>,
}

#[derive(Debug)]
struct Way {
    jobs: SyncSender<(Job, Told)>,
    thread: JoinHandle<()>,
    last: Instant,
}

/// What the thread works with.
#[derive(Debug)]
pub struct Reading {
    /// Where the partition is kept.
    pub stores: Arc<dyn Stores>,
    /// The guest.
    pub module: Module,
    /// As the writer has it.
    pub config: Config,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
}

impl Beside {
    /// No thread yet.
    pub fn new() -> Self {
        Self { gate: Arc::default(), way: RefCell::default() }
    }

    /// Whether a read is to be answered here that `others` wait beside.
    pub fn is_wanted(&self, others: bool) -> bool {
        others || self.way.borrow().as_ref().is_some_and(|way| way.last.elapsed() < IDLE)
    }

    /// Takes a read to answer; gives it back when that is not possible.
    pub fn take(&self, job: Job, told: Told, reading: impl FnOnce() -> Reading) -> Option<Job> {
        let mut way = self.way.borrow_mut();
        if way.is_none() {
            *way = start(reading(), self.gate.clone());
        }
        let Some(way) = way.as_mut() else { return Some(job) };
        way.last = Instant::now();
        match way.jobs.try_send((job, told)) {
            Ok(()) => None,
            Err(TrySendError::Full((job, _)) | TrySendError::Disconnected((job, _))) => Some(job),
        }
    }

    /// Ends the thread; what waits there is answered before.
    pub fn close(&self) {
        if let Some(Way { jobs, thread, .. }) = self.way.take() {
            drop(jobs);
            // A panic outside of the caught part was told by the hook.
            let _ = thread.join();
        }
    }
}

fn start(reading: Reading, gate: Arc<Gate>) -> Option<Way> {
    let (jobs, inbox) = sync_channel(QUEUE_MAX);
    let name = format!("r-{}", reading.config.partition);
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        give_way();
        reading.run(&gate, &inbox);
    });
    match thread {
        Ok(thread) => Some(Way { jobs, thread, last: Instant::now() }),
        Err(error) => {
            log::error("no thread for reads").with("detail", error).write();
            None
        }
    }
}

/// Has the scheduler prefer all other threads: with the writer's share of the processors a reader
/// would make commands wait for it after all.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10) {
        log::warn("reads can not give way to commands").with("detail", error).write();
    }
}

impl Reading {
    fn run(&self, gate: &Arc<Gate>, inbox: &Receiver<(Job, Told)>) {
        let mut reader = None;
        let mut paused: Option<Instant> = None;
        loop {
            let next = match inbox.recv_timeout(IDLE) {
                Err(RecvTimeoutError::Timeout) => {
                    reader = None;
                    inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
                }
                next => next,
            };
            let Ok((job, told)) = next else { return };
            if job.reply.is_closed() {
                continue;
            }
            if paused.is_some_and(|until| Instant::now() < until) {
                job.hand_back();
                continue;
            }
            let open = || {
                let store = AsOpened::new(self.stores.reader(&self.config.partition), gate.clone());
                Reader::new(self.module.clone(), store, self.config.clone())
            };
            let answer = || reader.get_or_insert_with(open).answer(&job.request, &told);
            match catch_unwind(AssertUnwindSafe(answer)) {
                Ok(Ok(reply)) => {
                    add(&self.metrics.reads_beside, 1);
                    job.answer(reply);
                }
                failed => {
                    let detail = match failed {
                        Ok(Err(failure)) => failure.to_string(),
                        // The panic's message was printed by the hook.
                        _ => "it panicked".into(),
                    };
                    log::warn("a read is left to the writer")
                        .with("partition", &self.config.partition)
                        .with("detail", detail)
                        .write();
                    reader = None;
                    paused = Some(Instant::now() + PAUSE);
                    job.hand_back();
                }
            }
        }
    }
}
