//! Progress of long work, on a terminal only, and only when it takes longer than a second.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const PATIENCE: Duration = Duration::from_secs(1);

/// A bar that may never be seen.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    events: u64,
    bar: RefCell<Option<ProgressBar>>,
}

impl Progress {
    /// Progress towards this many events.
    pub fn new(events: u64) -> Self {
        Self { started: Instant::now(), events, bar: RefCell::new(None) }
    }

    /// So many are done.
    pub fn at(&self, event: u64) {
        let mut bar = self.bar.borrow_mut();
        if bar.is_none() && self.started.elapsed() < PATIENCE {
            return;
        }
        // The target hides itself when standard error is no terminal.
        let bar = bar.get_or_insert_with(|| {
            let style = "{wide_bar} {human_pos}/{human_len} events, {per_sec}, {eta} left";
            let style = ProgressStyle::with_template(style);
            ProgressBar::with_draw_target(Some(self.events), ProgressDrawTarget::stderr())
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                .with_elapsed(self.started.elapsed())
        });
        bar.set_position(event);
    }

    /// Removes the bar.
    pub fn end(&self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
