//! Which partitions are open, and the way to each of them.
//!
//! Owns the table of actors: opened on demand, the least recently used closed when there are too
//! many. Refuses to know what is asked.
//!
//! Invariants: an actor begins only after the last one of the same partition has ended (law 5),
//! and, when it took another's place, after that one has ended: never more stores are open than
//! partitions may be. Requests wait meanwhile.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use foldlog_core::driver::{Export, OwnedRequest, Reply, World};
use foldlog_core::errors::Code;
use foldlog_core::protocol::Listing;
use foldlog_core::settings::Settings;
use tokio::sync::oneshot;

use crate::actor::{Actor, Message};
use crate::attempts::Sender;
use crate::beside::Beside;
use crate::blank::Blanks;
use crate::closed::Closed;
use crate::ended::{Ended, Ends};
use crate::job::{Claim, Deadline, Job, Shared, wait};
use crate::live::Feeds;
use crate::log;
use crate::metrics::{GAUGES, Metrics, add, get};
use crate::stores::Stores;
use crate::streams::Page;
use crate::supervise::Supervisor;
use crate::wasm::Module;
use crate::world::Machine;

/// Requests that may wait at one partition.
const QUEUE_MAX: usize = 1_024;
/// How soon a page of an export, or a step of an import, is asked for again when the partition is
/// busy.
pub const BUSY_RETRY: Duration = Duration::from_millis(20);

/// Work that is due within this time keeps a partition open, if another can be closed instead.
const SOON: Duration = Duration::from_secs(1);
/// So long a partition at work is not closed for another that has work.
const BUSY_MIN: Duration = Duration::from_secs(1);

/// Why a partition is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Somebody asks for it.
    Client,
    /// Something is due there.
    Itself,
}

/// Whether one more may be open; taken: when this one has ended.
enum Room {
    Free,
    Taken(Arc<Ended>),
    None,
}

/// All partitions of one place.
#[derive(Debug)]
pub struct Partitions {
    stores: Arc<dyn Stores>,
    module: Module,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    sender: Sender,
    closed: Arc<Closed>,
    blanks: Blanks,
    /// What live readers wait at, whether partitions are open or not.
    pub feeds: Feeds,
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
    /// The actor's calls know of it too, and nudge the actor for as long as it is here.
    inbox: Arc<SyncSender<Message>>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    ended: Arc<Ended>,
    used: u64,
    since: Instant,
}

#[derive(Debug)]
struct Closing {
    thread: JoinHandle<()>,
    ended: Arc<Ended>,
}

impl Partitions {
    /// The partitions that are kept there, none of them open yet.
    pub fn new(
        stores: Arc<dyn Stores>,
        module: Module,
        settings: Arc<Settings>,
        metrics: Arc<Metrics>,
        sender: Sender,
    ) -> Self {
        let (closed, feeds, table) = (Arc::default(), Feeds::default(), Mutex::default());
        let blanks = Blanks::new(module.clone(), settings.clone());
        Self { stores, module, settings, metrics, sender, closed, blanks, feeds, table }
    }

    /// What is remembered of those that are not open.
    pub fn closed(&self) -> &Closed {
        &self.closed
    }

    /// Has a partition do what is due there; false when there is no room to open it.
    pub fn wake(&self, name: &str) -> bool {
        let Some((inbox, _)) = self.handle(name, For::Itself) else { return false };
        // One that has no room for this message is at work anyway.
        let _ = inbox.try_send(Message::Wake);
        true
    }

    /// Has a partition decide or answer a request.
    pub async fn run(&self, name: &str, request: OwnedRequest) -> Reply {
        if request.is_read() && self.is_blank(name) {
            return self.blanks.read(name, self.stores.owner(name), request).await;
        }
        match self.ask(name, request, true).await {
            Ok(reply) => reply,
            // The reader beside the writer could not answer it.
            Err(request) => self.ask(name, request, false).await.unwrap_or_else(|_| restarting()),
        }
    }

    async fn ask(
        &self,
        name: &str,
        request: OwnedRequest,
        beside: bool,
    ) -> Result<Reply, OwnedRequest> {
        let Some((inbox, shared)) = self.handle(name, For::Client) else {
            let stopping = "the host is stopping; nothing was done";
            return Ok(Reply::problem(Code::Restarting, stopping));
        };
        let command = !request.is_read();
        let (reply, answer) = oneshot::channel();
        let claim = Arc::new(Claim::default());
        let deadline = Deadline {
            at: Instant::now() + Duration::from_millis(self.settings.deadline_ms),
            lost_micros: get(&shared.lost_micros),
        };
        let job = Job { request, reply, beside, claim: claim.clone(), deadline };
        match inbox.try_send(Message::Job(job)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                add(&self.metrics.overloaded, 1);
                let detail = "too many requests wait for this partition; nothing was done";
                return Ok(Reply::problem(Code::Overloaded, detail));
            }
            Err(TrySendError::Disconnected(_)) => return Ok(restarting()),
        }
        drop(inbox);
        Ok(match wait(answer, deadline, &shared).await {
            Some(Ok(answered)) => return answered,
            // A panic dropped the batch: it may have reached the store before that.
            Some(Err(_)) if command && !claim.take() => Reply::problem(
                Code::UnknownOutcome,
                "the partition restarted while it ran the command; repeat it with its Idempotency-Key",
            ),
            Some(Err(_)) => restarting(),
            // From here on the actor does not run it, unless it has begun.
            None => self.late(!claim.take() && command),
        })
    }

    /// Fills an answer with the names of all partitions.
    pub async fn list(&self, mut reply: Reply, listing: Listing) -> Reply {
        let stores = self.stores.clone();
        let (after, limit) = (listing.after.clone(), listing.wanted());
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let names = tokio::task::spawn_blocking(move || stores.names(&after, limit)).await;
        match names.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(names) => listing.fill(&mut reply.response, &names),
            Err(detail) => {
                log::error("the partitions can not be listed").with("detail", detail).write();
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
            if self.is_blank(name) {
                return Ok(Page { bytes: Vec::new(), after: export.to });
            }
            let (inbox, _) = self.handle(name, For::Client).ok_or("the host is stopping")?;
            let (reply, answer) = oneshot::channel();
            match inbox.try_send(Message::Page(export, reply)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    drop(inbox);
                    tokio::time::sleep(BUSY_RETRY).await;
                    continue;
                }
                Err(TrySendError::Disconnected(_)) => return Err("the partition ended".into()),
            }
            // A sender that waits here would keep a partition from closing.
            drop(inbox);
            return answer.await.map_err(|_| "the partition restarted".to_string())?;
        }
    }

    /// Name and gauges of the open partitions, and of those that failed and are not open.
    #[expect(clippy::type_complexity, reason = "the same twice")]
    pub fn gauges(&self) -> (Vec<(String, [u64; GAUGES])>, Vec<(String, [u64; GAUGES])>) {
        let table = self.table();
        let read = |handle: &Handle| handle.shared.gauges.each_ref().map(get);
        let mut all: Vec<_> =
            table.open.iter().map(|(name, handle)| (name.clone(), read(handle))).collect();
        let mut failed = self.closed.failed();
        // One that ended a moment ago may be there twice.
        failed.retain(|(name, _)| !table.open.contains_key(name));
        all.sort_unstable();
        failed.sort_unstable();
        (all, failed)
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

    /// The way to a partition, opened if need be; `None` when the host is stopping, or when there
    /// is no room for one that nobody asked for.
    pub fn handle(&self, name: &str, whom: For) -> Option<(SyncSender<Message>, Arc<Shared>)> {
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
                return Some((SyncSender::clone(&handle.inbox), handle.shared.clone()));
            }
            table.open.remove(name);
        }
        let evicted = match self.make_room(&mut table, whom) {
            Room::Free => None,
            Room::Taken(ended) => Some(ended),
            Room::None => return None,
        };
        // It stays in the table until it has ended: it is waited for even if no thread is found.
        let predecessor = table.closing.get(name).map(|closing| closing.ended.clone());
        let before = evicted.into_iter().chain(predecessor).collect();
        let handle = self.spawn(name, before, used)?;
        let way = (SyncSender::clone(&handle.inbox), handle.shared.clone());
        table.open.insert(name.to_string(), handle);
        Some(way)
    }

    /// Closes the least recently used partition when as many as may be are open: one that has
    /// nothing to do soon, if there is any. Its place is free when it has ended.
    fn make_room(&self, table: &mut Table, whom: For) -> Room {
        table.closing.retain(|_, closing| !closing.thread.is_finished());
        let max = usize::try_from(self.settings.partitions_open_max).unwrap_or(usize::MAX);
        if table.open.len() < max {
            return Room::Free;
        }
        let soon = Machine::new().clock().after_ms(SOON.as_millis() as u64).0;
        let busy = |handle: &Handle| handle.shared.due_ms.load(Ordering::Relaxed) <= soon;
        // What is busy may go on for a while before it makes room for another that is.
        let may = |handle: &Handle| {
            whom == For::Client || !busy(handle) || handle.since.elapsed() >= BUSY_MIN
        };
        let open = table.open.iter().filter(|(_, handle)| may(handle));
        let oldest = open.min_by_key(|(_, handle)| (busy(handle), handle.used));
        let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { return Room::None };
        let Some(Handle { thread, ended, .. }) = table.open.remove(&oldest) else {
            return Room::None;
        };
        table.closing.insert(oldest, Closing { thread, ended: ended.clone() });
        Room::Taken(ended)
    }

    /// Whether nothing was ever written to a partition, and nobody is about to.
    fn is_blank(&self, name: &str) -> bool {
        !self.table().open.contains_key(name) && self.stores.is_blank(name)
    }

    /// An actor that begins when those `before` it have ended. Each waits for earlier ones only,
    /// and those were told to end, so none waits for ever.
    fn spawn(&self, name: &str, before: Vec<Arc<Ended>>, used: u64) -> Option<Handle> {
        let shared = Arc::new(Shared::default());
        let (inbox, messages) = sync_channel(QUEUE_MAX);
        let inbox = Arc::new(inbox);
        let actor = Actor {
            name: name.to_string(),
            stores: self.stores.clone(),
            module: self.module.clone(),
            settings: self.settings.clone(),
            metrics: self.metrics.clone(),
            shared: shared.clone(),
            closed: self.closed.clone(),
            supervisor: Supervisor::default(),
            wanted: Cell::new(false),
            before: (0, 0),
            beside: Beside::new(),
            sender: self.sender.clone(),
            nudge: Arc::downgrade(&inbox),
            feed: self.feeds.of(name),
        };
        let ended = Arc::new(Ended::default());
        let ends = Ends(ended.clone());
        let thread = std::thread::Builder::new().name(format!("p-{name}")).spawn(move || {
            // Dropped last, also by a panic: everything of the actor is gone by then.
            let _ends = ends;
            before.iter().for_each(|before| before.wait());
            actor.run(&messages);
        });
        match thread {
            Ok(thread) => {
                Some(Handle { inbox, shared, thread, ended, used, since: Instant::now() })
            }
            Err(error) => {
                log::error("no thread for a partition").with("detail", error).write();
                None
            }
        }
    }
}

/// Nothing was done.
pub fn restarting() -> Reply {
    Reply::problem(Code::Restarting, "the partition is restarting; nothing was done")
}
