//! The driver's supervision around an actor's batches, and what of it the metrics show.
//!
//! Owns the clock that waits are measured by. Refuses to know why a partition failed.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::time::Instant;

use foldlog_core::driver::{OwnedRequest, Reply, Supervision, Trouble};

use crate::actor::Actor;

/// Supervision by a clock that never goes back. Only the actor's own thread uses it.
#[derive(Debug)]
pub struct Supervisor {
    began: Instant,
    state: RefCell<Supervision>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { began: Instant::now(), state: RefCell::default() }
    }
}

impl Supervisor {
    fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Actor {
    /// Runs what may be run now; `run` also tells what kept the partition from working.
    pub fn supervised(
        &self,
        requests: Vec<OwnedRequest>,
        run: impl FnOnce(Vec<OwnedRequest>) -> (Vec<Reply>, Option<Trouble>),
    ) -> Vec<Reply> {
        let mut ran = None;
        let now = self.supervisor.micros();
        // A copy: `run` may panic, and is then told of.
        let supervision = self.supervisor.state.borrow().clone();
        let replies = supervision.run((&self.name, "native"), requests, now, |requests| {
            let (replies, trouble) = run(requests);
            ran = Some(trouble);
            replies
        });
        if let Some(trouble) = ran {
            self.ended(trouble);
        }
        replies
    }

    /// The batch panicked: its partition is opened anew after a wait.
    pub fn panicked(&self) {
        self.ended(Some(Trouble::Closed("its host failed")));
    }

    fn ended(&self, trouble: Option<Trouble>) {
        let mut supervision = self.supervisor.state.borrow_mut();
        supervision.ended(trouble, self.supervisor.micros());
        let down = match supervision.trouble() {
            None => 0,
            Some(Trouble::Closed(_)) => 1,
            Some(Trouble::Full) => 2,
        };
        let [.., restarts, shown] = &self.shared.gauges;
        restarts.store(supervision.restarts(), Ordering::Relaxed);
        shown.store(down, Ordering::Relaxed);
    }
}
