//! The driver's supervision around all that an actor does, and what of it the metrics show.
//!
//! Owns the clock that waits are measured by, and how much of a flood of failures is told. Refuses
//! to know why a partition failed.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldlog_core::driver::{
    OwnedRequest, Partition, Ran, Reply, Spawn, Store, Supervision, Throttle, Trouble, World,
};

use crate::actor::Actor;
use crate::job::Shared;
use crate::log;
use crate::open::Open;

/// Supervision by a clock that never goes back. Only the actor's own thread uses it.
#[derive(Debug)]
pub struct Supervisor {
    began: Instant,
    state: RefCell<Supervision>,
    lines: Cell<Throttle>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { began: Instant::now(), state: RefCell::default(), lines: Cell::default() }
    }
}

impl Supervisor {
    fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// How long nothing but what clients ask for is tried.
    pub fn waits(&self) -> Option<Duration> {
        self.state.borrow().waits(self.micros()).map(Duration::from_micros)
    }

    /// Whether nothing can be read of the partition now.
    pub fn closed(&self) -> bool {
        self.state.borrow().closed(self.micros())
    }

    /// Failures since the process began.
    pub fn restarts(&self) -> u64 {
        self.state.borrow().restarts()
    }

    /// Tells the partition what it is to tell of this.
    pub fn tell<S: Spawn, T: Store, W: World>(&self, partition: &mut Partition<S, T, W>) {
        partition.supervised(&self.state.borrow());
    }

    /// Something was tried.
    pub fn ended(&self, ran: Ran, shared: &Shared) {
        let mut supervision = self.state.borrow_mut();
        supervision.ended(ran, self.micros());
        let down = match supervision.trouble() {
            None => 0,
            Some(Trouble::Closed(_)) => 1,
            Some(Trouble::Full) => 2,
        };
        let [.., restarts, shown] = &shared.gauges;
        restarts.store(supervision.restarts(), Ordering::Relaxed);
        shown.store(down, Ordering::Relaxed);
    }

    /// Writes a failure to the log, unless there were too many.
    pub fn told(&self, partition: &str, detail: &str) {
        let mut lines = self.lines.get();
        let left_out = lines.take(self.micros());
        self.lines.set(lines);
        let Some(left_out) = left_out else { return };
        let line = log::error("partition failed").with("partition", partition);
        let line = line.with("detail", detail.lines().next().unwrap_or_default());
        if left_out > 0 { line.with("leftOut", left_out) } else { line }.write();
    }
}

/// It can not be opened.
pub const fn closed(reason: &'static str) -> Ran {
    Ran { trouble: Some(Trouble::Closed(reason)), open: false, stored: false, failures: 0 }
}

impl Actor {
    /// Runs what may be run now; `run` also tells how that went.
    pub fn supervised(
        &self,
        requests: Vec<OwnedRequest>,
        run: impl FnOnce(Vec<OwnedRequest>) -> (Vec<Reply>, Ran),
    ) -> Vec<Reply> {
        let mut ran = None;
        let now = self.supervisor.micros();
        // A copy: `run` may panic, and is then told of.
        let supervision = self.supervisor.state.borrow().clone();
        let replies = supervision.run((&self.name, "native"), requests, now, |requests| {
            let (replies, how) = run(requests);
            ran = Some(how);
            replies
        });
        if let Some(ran) = ran {
            self.ended(ran);
        }
        replies
    }

    /// Closes what another host may have written to since; it is opened anew by whoever asks.
    pub fn close_stale(&self, state: &mut Option<Open>) {
        if state.as_ref().is_some_and(|open| !open.is_current(self.stores.as_ref())) {
            *state = None;
            self.wanted.set(self.settings.test_stamps.is_none());
        }
    }

    /// Something was tried.
    pub fn ended(&self, ran: Ran) {
        self.supervisor.ended(ran, &self.shared);
    }
}
