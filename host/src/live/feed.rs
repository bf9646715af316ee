//! What the readers of one partition wait at.
//!
//! Owns the position that was stored last, as far as it was told, the newest blocks while a filter
//! is followed that can tell by them, and which filters are followed.
//! Refuses to open a partition: a feed is there as long as anyone follows or the partition is open.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use foldlog_core::driver::StoredBlock;
use foldlog_core::protocol::Live;
use tokio::sync::watch;

use super::channel::Channel;
use super::recent::{Recent, nothing_up_to};
use crate::partitions::Partitions;

/// What it costs to send a range to one reader, and to render it for one filter: so much time is
/// left between two ranges, so that readers never take more than about half of what there is.
const PER_READER: Duration = Duration::from_micros(20);
const PER_FILTER: Duration = Duration::from_micros(100);
/// A range is worth rendering: under load several commits come in one.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Later than this nobody is told.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// One partition's.
#[derive(Debug)]
pub struct Feed {
    head: watch::Sender<u64>,
    recent: Mutex<Recent>,
    /// Channels that go through what is recent.
    looking: AtomicUsize,
    channels: Mutex<HashMap<String, Weak<Channel>>>,
    readers: AtomicUsize,
}

impl Feed {
    fn new() -> Self {
        Self {
            head: watch::Sender::new(0),
            recent: Mutex::default(),
            looking: AtomicUsize::new(0),
            channels: Mutex::default(),
            readers: AtomicUsize::new(0),
        }
    }

    /// Whether blocks are looked at.
    pub fn is_looked_at(&self) -> bool {
        self.looking.load(Ordering::Relaxed) > 0
    }

    /// One more channel looks at blocks, or one less.
    pub fn looks(&self, more: bool) {
        if more {
            self.looking.fetch_add(1, Ordering::Relaxed);
        } else if self.looking.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.recent().clear();
        }
    }

    /// All up to this position is stored, these blocks last. Costs a comparison when nothing
    /// changed.
    pub fn stored(&self, position: u64, blocks: Vec<StoredBlock>) {
        if !blocks.is_empty() && self.is_looked_at() {
            // Before anyone is told that there is something to look at.
            self.recent().push(blocks);
        }
        self.head.send_if_modified(|head| {
            let more = position > *head;
            *head = position.max(*head);
            more
        });
    }

    /// Up to where nothing was stored behind a position that has all of these marks in a line, as
    /// far as that is known.
    pub fn nothing_up_to(&self, position: u64, marks: &[String]) -> u64 {
        if marks.is_empty() {
            return position;
        }
        // The writer does not wait while blocks are searched.
        let blocks = self.recent().behind(position);
        nothing_up_to(position, &blocks, marks)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // It holds at every step, and what is missing in it is asked for.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To wait for what is stored.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// What those get who follow through this filter: the one there is, or one that begins here.
    pub fn channel(
        self: &Arc<Self>,
        partitions: &Arc<Partitions>,
        name: &str,
        live: &Live,
    ) -> Arc<Channel> {
        // The table holds at every step: a panic elsewhere does not make it wrong.
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&live.target).and_then(Weak::upgrade) {
            return channel;
        }
        channels.retain(|_, channel| channel.strong_count() > 0);
        let channel = Channel::begin(self.clone(), partitions.clone(), name, live);
        channels.insert(live.target.clone(), Arc::downgrade(&channel));
        channel
    }

    /// One more reader, or one less.
    pub fn counts(&self, more: bool) {
        if more {
            self.readers.fetch_add(1, Ordering::Relaxed);
        } else {
            self.readers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How long a channel rests after a range; `told` when readers were told of it.
    pub fn pause(&self, told: bool) -> Duration {
        let filters = self.channels.lock().unwrap_or_else(PoisonError::into_inner).len();
        let readers = if told { self.readers.load(Ordering::Relaxed) } else { 0 };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let pause = PER_READER.saturating_mul(count(readers))
            + PER_FILTER.saturating_mul(count(filters.saturating_sub(1)));
        pause.clamp(PAUSE_MIN, PAUSE_MAX)
    }
}

/// All of a host's.
#[derive(Debug, Default)]
pub struct Feeds(Mutex<HashMap<String, Weak<Feed>>>);

impl Feeds {
    /// A partition's.
    pub fn of(&self, name: &str) -> Arc<Feed> {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.get(name).and_then(Weak::upgrade) {
            return feed;
        }
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let feed = Arc::new(Feed::new());
        feeds.insert(name.to_string(), Arc::downgrade(&feed));
        feed
    }
}
