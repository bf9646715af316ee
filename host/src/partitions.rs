//! Which partitions are open, and the way to each of them.
//!
//! Owns the table of actors: opened on demand, the least recently used closed when there are too
//! many. Refuses to know what is asked.
//!
//! Invariants: an actor begins only after the last one of the same partition has ended (law 5),
//! and, when it took another's place, after that one has ended: never more files are open than
//! partitions may be. Requests wait meanwhile.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use foldlog_core::driver::{Export, OwnedRequest, Reply};
use foldlog_core::errors::Code;
use foldlog_core::protocol::Listing;
use foldlog_core::settings::Settings;
use tokio::sync::oneshot;

use crate::actor::{Actor, Deadline, Job, Message, Page, Shared};
use crate::directory::Directory;
use crate::ended::{Ended, Ends};
use crate::log;
use crate::metrics::{GAUGES, Metrics, add, get};
use crate::supervise::Supervisor;
use crate::wasm::Module;

/// Requests that may wait at one partition.
const QUEUE_MAX: usize = 1_024;
/// How soon a page of an export is asked for again when the partition is busy.
const PAGE_RETRY: Duration = Duration::from_millis(20);

/// All partitions of a data directory.
#[derive(Debug)]
pub struct Partitions {
    data: PathBuf,
    directory: Arc<Directory>,
    module: Module,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<String, Handle>,
    /// Actors told to end: who takes their name or their place waits for them.
    closing: HashMap<String, Closing>,
    uses: u64,
    stopped: bool,
}

#[derive(Debug)]
struct Handle {
    inbox: SyncSender<Message>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    ended: Arc<Ended>,
    used: u64,
}

#[derive(Debug)]
struct Closing {
    thread: JoinHandle<()>,
    ended: Arc<Ended>,
}

impl Partitions {
    /// The partitions of a directory, none of them open yet.
    pub fn new(
        data: PathBuf,
        module: Module,
        settings: Arc<Settings>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let directory = Arc::new(Directory::new(data.clone()));
        Self { data, directory, module, settings, metrics, table: Mutex::default() }
    }

    /// Has a partition decide or answer a request.
    pub async fn run(&self, name: &str, request: OwnedRequest) -> Reply {
        let Some((inbox, shared)) = self.handle(name) else {
            return Reply::problem(Code::Restarting, "the host is stopping; nothing was done");
        };
        let command = !matches!(request.method.as_str(), "GET" | "HEAD");
        let (reply, answer) = oneshot::channel();
        let taken = Arc::new(AtomicBool::new(false));
        let deadline = Deadline {
            at: Instant::now() + Duration::from_millis(self.settings.deadline_ms),
            lost_micros: get(&shared.lost_micros),
        };
        let job = Job { request, reply, taken: taken.clone(), deadline };
        match inbox.try_send(Message::Job(job)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                add(&self.metrics.overloaded, 1);
                let detail = "too many requests wait for this partition; nothing was done";
                return Reply::problem(Code::Overloaded, detail);
            }
            Err(TrySendError::Disconnected(_)) => return restarting(),
        }
        drop(inbox);
        match wait(answer, deadline, &shared).await {
            Some(Ok(reply)) => reply,
            // A panic dropped the batch: it may have reached the store before that.
            Some(Err(_)) if command && taken.load(Ordering::SeqCst) => Reply::problem(
                Code::UnknownOutcome,
                "the partition restarted while it ran the command; repeat it with its Idempotency-Key",
            ),
            Some(Err(_)) => restarting(),
            None => self.late(command && taken.load(Ordering::SeqCst)),
        }
    }

    /// Fills an answer with the names of all partitions.
    pub async fn list(&self, mut reply: Reply, listing: Listing) -> Reply {
        let directory = self.directory.clone();
        let (after, limit) = (listing.after.clone(), listing.wanted());
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let names = tokio::task::spawn_blocking(move || directory.names(&after, limit)).await;
        match names.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(names) => listing.fill(&mut reply.response, &names),
            Err(detail) => {
                log::error("the data directory can not be read").with("detail", detail).write();
                let detail = "the partitions can not be listed now";
                return Reply::problem(Code::Restarting, detail);
            }
        }
        reply
    }

    /// The answer to whoever does not wait any longer.
    fn late(&self, handed_over: bool) -> Reply {
        add(&self.metrics.deadlines_missed, 1);
        if handed_over {
            return Reply::problem(
                Code::UnknownOutcome,
                "the command was handed to the store, which did not answer in time; \
                 repeat it with its Idempotency-Key",
            );
        }
        let detail = "there was no answer in time; nothing was done";
        Reply::problem(Code::DeadlineExceeded, detail)
    }

    /// A page of an export.
    pub async fn page(&self, name: &str, export: Export) -> Result<Page, String> {
        loop {
            let (inbox, _) = self.handle(name).ok_or("the host is stopping")?;
            let (reply, answer) = oneshot::channel();
            match inbox.try_send(Message::Page(export, reply)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    drop(inbox);
                    tokio::time::sleep(PAGE_RETRY).await;
                    continue;
                }
                Err(TrySendError::Disconnected(_)) => return Err("the partition ended".into()),
            }
            // A sender that waits here would keep a partition from closing.
            drop(inbox);
            return answer.await.map_err(|_| "the partition restarted".to_string())?;
        }
    }

    /// Name and gauges of the open partitions.
    pub fn gauges(&self) -> Vec<(String, [u64; GAUGES])> {
        let table = self.table();
        let read = |handle: &Handle| handle.shared.gauges.each_ref().map(get);
        let mut all: Vec<_> =
            table.open.iter().map(|(name, handle)| (name.clone(), read(handle))).collect();
        all.sort_unstable();
        all
    }

    /// Ends all actors: what waits is answered, then each stores a checkpoint.
    pub fn close(&self) {
        let ending: Vec<_> = {
            let mut table = self.table();
            table.stopped = true;
            let open = std::mem::take(&mut table.open);
            let closing = std::mem::take(&mut table.closing);
            // Dropping the senders is what ends the actors, all at the same time.
            let closing = closing.into_values().map(|closing| closing.thread);
            open.into_values().map(|handle| handle.thread).chain(closing).collect()
        };
        for thread in ending {
            // A panic outside of the caught part was already told by the hook.
            let _ = thread.join();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table holds at every step: a panic elsewhere does not make it wrong.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to a partition, opened if need be; `None` when the host is stopping.
    fn handle(&self, name: &str) -> Option<(SyncSender<Message>, Arc<Shared>)> {
        let mut table = self.table();
        if table.stopped {
            return None;
        }
        table.uses += 1;
        let used = table.uses;
        if let Some(handle) = table.open.get_mut(name) {
            // An actor ends only when it is told to, or when even restarting it panicked.
            if !handle.thread.is_finished() {
                handle.used = used;
                return Some((handle.inbox.clone(), handle.shared.clone()));
            }
            table.open.remove(name);
        }
        let evicted = self.make_room(&mut table);
        // It stays in the table until it has ended: it is waited for even if no thread is found.
        let predecessor = table.closing.get(name).map(|closing| closing.ended.clone());
        let before = evicted.into_iter().chain(predecessor).collect();
        let handle = self.spawn(name, before, used)?;
        let way = (handle.inbox.clone(), handle.shared.clone());
        table.open.insert(name.to_string(), handle);
        Some(way)
    }

    /// Closes the least recently used partition when as many as may be are open. Its place is
    /// free when it has ended.
    fn make_room(&self, table: &mut Table) -> Option<Arc<Ended>> {
        table.closing.retain(|_, closing| !closing.thread.is_finished());
        let max = usize::try_from(self.settings.partitions_open_max).unwrap_or(usize::MAX);
        if table.open.len() < max {
            return None;
        }
        let oldest = table.open.iter().min_by_key(|(_, handle)| handle.used);
        let oldest = oldest.map(|(name, _)| name.clone())?;
        let Handle { thread, ended, .. } = table.open.remove(&oldest)?;
        table.closing.insert(oldest, Closing { thread, ended: ended.clone() });
        Some(ended)
    }

    /// An actor that begins when those `before` it have ended. Each waits for earlier ones only,
    /// and those were told to end, so none waits for ever.
    fn spawn(&self, name: &str, before: Vec<Arc<Ended>>, used: u64) -> Option<Handle> {
        let shared = Arc::new(Shared::default());
        let actor = Actor {
            name: name.to_string(),
            path: self.data.join(format!("{name}.sqlite")),
            module: self.module.clone(),
            settings: self.settings.clone(),
            metrics: self.metrics.clone(),
            shared: shared.clone(),
            supervisor: Supervisor::default(),
        };
        let ended = Arc::new(Ended::default());
        let ends = Ends(ended.clone());
        let (inbox, messages) = sync_channel(QUEUE_MAX);
        let thread = std::thread::Builder::new().name(format!("p-{name}")).spawn(move || {
            // Dropped last, also by a panic: everything of the actor is gone by then.
            let _ends = ends;
            before.iter().for_each(|before| before.wait());
            actor.run(&messages);
        });
        match thread {
            Ok(thread) => Some(Handle { inbox, shared, thread, ended, used }),
            Err(error) => {
                log::error("no thread for a partition").with("detail", error).write();
                None
            }
        }
    }
}

/// Waits for an answer up to the deadline, which moves when time was lost to another's trap.
async fn wait(
    mut answer: oneshot::Receiver<Reply>,
    deadline: Deadline,
    shared: &Shared,
) -> Option<Result<Reply, oneshot::error::RecvError>> {
    let mut until = deadline.at;
    loop {
        match tokio::time::timeout_at(until.into(), &mut answer).await {
            Ok(reply) => return Some(reply),
            Err(_) if deadline.now_at(shared) > until => until = deadline.now_at(shared),
            Err(_) => return None,
        }
    }
}

fn restarting() -> Reply {
    Reply::problem(Code::Restarting, "the partition is restarting; nothing was done")
}
