//! A request on its way to an actor, and who may still decide what becomes of it.
//!
//! Owns deadlines and the one claim on a job. Refuses to know what is asked.
//!
//! Invariant: a job is claimed once, by the actor that runs it or by the caller who leaves. So a
//! caller who was told that nothing happened is right for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldlog_core::driver::{OwnedRequest, Reply};
use tokio::sync::oneshot;

use crate::metrics::GAUGES;

/// A request and who waits for it.
#[derive(Debug)]
pub struct Job {
    /// What is asked.
    pub request: OwnedRequest,
    /// Where the answer goes, or the request when the writer has to be asked for it.
    pub reply: oneshot::Sender<Result<Reply, OwnedRequest>>,
    /// Whether another than the writer may answer it.
    pub beside: bool,
    /// Taken before it is staged: never again certain not to be done.
    pub claim: Arc<Claim>,
    /// From when on it is not staged any more.
    pub deadline: Deadline,
}

impl Job {
    /// Answers. A caller who left gets none; what was stored stays stored.
    pub fn answer(self, reply: Reply) {
        let _ = self.reply.send(Ok(reply));
    }

    /// Has the caller ask the writer.
    pub fn hand_back(self) {
        let _ = self.reply.send(Err(self.request));
    }
}

/// What is to become of a job is decided by whoever takes this first.
#[derive(Debug, Default)]
pub struct Claim(AtomicBool);

impl Claim {
    /// True for the first who asks, and for nobody else.
    pub fn take(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }
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

/// Waits for an answer up to the deadline, which moves when time was lost to another's trap.
pub async fn wait<T>(
    mut answer: oneshot::Receiver<T>,
    deadline: Deadline,
    shared: &Shared,
) -> Option<Result<T, oneshot::error::RecvError>> {
    let mut until = deadline.at;
    loop {
        match tokio::time::timeout_at(until.into(), &mut answer).await {
            Ok(reply) => return Some(reply),
            Err(_) if deadline.now_at(shared) > until => until = deadline.now_at(shared),
            Err(_) => return None,
        }
    }
}

/// What others read of an actor at any time.
#[derive(Debug)]
pub struct Shared {
    /// Time that went into runs in which something failed.
    pub lost_micros: AtomicU64,
    /// When it has something to do beside requests, in milliseconds of the raw clock; the largest
    /// number when it has not.
    pub due_ms: AtomicU64,
    /// See [`crate::metrics`].
    pub gauges: [AtomicU64; GAUGES],
}

impl Default for Shared {
    fn default() -> Self {
        let (lost_micros, due_ms) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        Self { lost_micros, due_ms, gauges: Default::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_who_claim_a_job_one_gets_it() {
        for _ in 0..2_000 {
            let claim = Arc::new(Claim::default());
            let other = claim.clone();
            let thread = std::thread::spawn(move || other.take());
            let here = claim.take();
            assert_ne!(thread.join().ok(), Some(here));
        }
    }
}
