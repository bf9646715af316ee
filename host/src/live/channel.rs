//! One filter that is followed in one partition: each new range is rendered once for all.
//!
//! Owns the task that asks for pages when something was stored, and ends with the last reader.
//! Refuses to know who reads and how fast.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use foldlog_core::driver::OwnedRequest;
use foldlog_core::protocol::Live;
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
    marks: Vec<String>,
    feed: Arc<Feed>,
    span: Mutex<Span>,
    more: watch::Sender<()>,
    /// Dropped with it, which ends the task.
    _followed: oneshot::Sender<()>,
}

impl Channel {
    /// Begins to follow behind the head that an answer told. What is stored beyond that already is
    /// found at once.
    pub fn begin(
        feed: Arc<Feed>,
        partitions: Arc<Partitions>,
        name: &str,
        live: &Live,
    ) -> Arc<Self> {
        let (followed, left) = oneshot::channel();
        if !live.marks.is_empty() {
            feed.looks(true);
        }
        let channel = Arc::new(Self {
            target: live.target.clone(),
            marks: live.marks.clone(),
            feed: feed.clone(),
            span: Mutex::new(Span::new(live.head)),
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

    /// Passes what is known to have nothing for anyone here; returns up to where it looked.
    fn pass(&self) -> u64 {
        let looked = self.span().looked();
        let to = self.feed.nothing_up_to(looked, &self.marks);
        let mut span = self.span();
        span.push(Bytes::new(), to);
        span.looked()
    }

    fn span(&self) -> MutexGuard<'_, Span> {
        // A span holds after each of its operations.
        self.span.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if !self.marks.is_empty() {
            self.feed.looks(false);
        }
    }
}

/// Asks for a page whenever something was stored behind what was looked at that may be wanted.
async fn follow(
    feed: Arc<Feed>,
    partitions: Arc<Partitions>,
    name: String,
    channel: Weak<Channel>,
    mut left: oneshot::Receiver<()>,
) {
    let mut head = feed.watch();
    // What was stored before anyone looked at blocks is asked for.
    let mut unseen = true;
    loop {
        let Some((looked, target)) = channel.upgrade().map(|channel| {
            let looked = if unseen { channel.span().looked() } else { channel.pass() };
            (looked, channel.target.clone())
        }) else {
            return;
        };
        let passed = !unseen && looked >= *head.borrow();
        let (to, told) = if passed {
            (looked, false)
        } else {
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
            (to, told)
        };
        unseen = false;
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
