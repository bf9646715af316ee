//! One filter that is followed in one partition: each new range is rendered once for all.
//!
//! Owns the task that asks for pages when something was stored, and ends with the last reader.
//! Refuses to know who reads and how fast.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use foldlog_core::driver::OwnedRequest;
use hyper::body::Bytes;
use tokio::sync::{oneshot, watch};

use super::feed::Feed;
use super::span::{After, Span};
use crate::partitions::Partitions;

/// A page that could not be had is asked for again this much later.
pub const RETRY: Duration = Duration::from_millis(100);

/// See the module's description.
#[derive(Debug)]
pub struct Channel {
    target: String,
    span: Mutex<Span>,
    more: watch::Sender<()>,
    /// Dropped with it, which ends the task.
    _followed: oneshot::Sender<()>,
}

impl Channel {
    /// Begins to follow behind `start`. What is stored beyond that already is found at once.
    pub fn begin(
        feed: Arc<Feed>,
        partitions: Arc<Partitions>,
        name: &str,
        target: &str,
        start: u64,
    ) -> Arc<Self> {
        let (followed, left) = oneshot::channel();
        let channel = Arc::new(Self {
            target: target.to_string(),
            span: Mutex::new(Span::new(start)),
            more: watch::Sender::new(()),
            _followed: followed,
        });
        let of = Arc::downgrade(&channel);
        tokio::spawn(follow(feed, partitions, name.to_string(), of, left));
        channel
    }

    /// What comes after a position.
    pub fn after(&self, position: u64) -> After {
        self.span().after(position)
    }

    /// To wait for more.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.more.subscribe()
    }

    /// What to ask for.
    pub fn target(&self) -> &str {
        &self.target
    }

    fn span(&self) -> MutexGuard<'_, Span> {
        // A span holds after each of its operations.
        self.span.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for a page whenever something was stored behind what was looked at.
async fn follow(
    feed: Arc<Feed>,
    partitions: Arc<Partitions>,
    name: String,
    channel: Weak<Channel>,
    mut left: oneshot::Receiver<()>,
) {
    let mut head = feed.watch();
    loop {
        let Some(looked) = channel.upgrade().map(|channel| channel.span().looked()) else { return };
        let Some(target) = channel.upgrade().map(|channel| channel.target.clone()) else { return };
        let Some((bytes, to)) = page(&partitions, &name, &target, looked).await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        let told = channel.upgrade().is_some_and(|channel| {
            let told = channel.span().push(bytes, to);
            if told {
                channel.more.send_replace(());
            }
            told
        });
        tokio::time::sleep(feed.pause(told)).await;
        tokio::select! {
            more = beyond(&mut head, to) => if !more { return },
            _ = &mut left => return,
        }
    }
}

/// Waits until something is stored behind a position; false when nothing will be.
async fn beyond(head: &mut watch::Receiver<u64>, position: u64) -> bool {
    head.wait_for(|head| *head > position).await.is_ok()
}

/// What comes after a position, and up to where that leads.
pub async fn page(
    partitions: &Partitions,
    name: &str,
    target: &str,
    after: u64,
) -> Option<(Bytes, u64)> {
    let reply = partitions.run(name, OwnedRequest::page(target, after)).await;
    let live = reply.live.filter(|live| live.after >= after)?;
    Some((Bytes::from(reply.response.body), live.after))
}
