//! The end of an actor, to be waited for by any number of others.
//!
//! Owns nothing but that fact. Invariant: it is told when [`Ends`] is dropped, so by a panic too.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Whether an actor has ended.
#[derive(Debug, Default)]
pub struct Ended {
    told: Mutex<bool>,
    changed: Condvar,
}

/// Tells the end when it is dropped.
#[derive(Debug)]
pub struct Ends(pub Arc<Ended>);

impl Ended {
    /// Returns when the actor has ended.
    pub fn wait(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        while !*told {
            told = self.changed.wait(told).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        *self.0.told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_to_all_who_wait_even_after_a_panic() {
        let ended = Arc::new(Ended::default());
        let ends = Ends(ended.clone());
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let ended = ended.clone();
                std::thread::spawn(move || ended.wait())
            })
            .collect();
        let actor = std::thread::spawn(move || {
            let _ends = ends;
            std::panic::resume_unwind(Box::new("ends"));
        });
        assert!(actor.join().is_err());
        waiting.into_iter().for_each(|thread| assert!(thread.join().is_ok()));
        ended.wait();
    }
}
