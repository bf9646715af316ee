//! One reader: where it stands, and what comes next for it.
//!
//! Owns its position. Refuses to know how it is sent anything.
//!
//! Invariant: its position moves only with what is returned, so that a reader which is dropped at
//! any time has been given everything up to there, once.

use std::sync::Arc;
use std::time::Duration;

use foldlog_core::protocol::Live;
use hyper::body::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::channel::{Channel, RETRY, page};
use super::feed::Feed;
use super::span::After;
use crate::partitions::Partitions;
use crate::wire::stopped;

/// See the module's description.
#[derive(Debug)]
pub struct Reader {
    partitions: Arc<Partitions>,
    name: String,
    feed: Arc<Feed>,
    channel: Arc<Channel>,
    more: watch::Receiver<()>,
    stop: watch::Receiver<bool>,
    position: u64,
    heartbeat: Duration,
    last: Instant,
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// Items, as the guest rendered them.
    Items(Bytes),
    /// Nothing for a while.
    Heartbeat,
    /// The host stops.
    Stop,
}

impl Reader {
    /// A reader of a partition, by the answer that it was given.
    pub fn new(
        partitions: &Arc<Partitions>,
        name: &str,
        live: &Live,
        stop: watch::Receiver<bool>,
        heartbeat: Duration,
    ) -> Self {
        let feed = partitions.feeds.of(name);
        let channel = feed.channel(partitions, name, live);
        let more = channel.watch();
        feed.counts(true);
        Self {
            partitions: partitions.clone(),
            name: name.to_string(),
            feed,
            channel,
            more,
            stop,
            position: live.after,
            heartbeat,
            last: Instant::now(),
        }
    }

    /// Waits for what comes next.
    pub async fn next(&mut self) -> Next {
        let next = self.wait().await;
        self.last = Instant::now();
        next
    }

    async fn wait(&mut self) -> Next {
        loop {
            if *self.stop.borrow() {
                return Next::Stop;
            }
            // Before it is looked: what comes after that is told.
            self.more.borrow_and_update();
            match self.channel.after(self.position) {
                After::Items(bytes, to) => {
                    self.position = to;
                    return Next::Items(bytes);
                }
                After::Forgotten => match self.catch_up().await {
                    Some(bytes) if bytes.is_empty() => {}
                    Some(bytes) => return Next::Items(bytes),
                    None => tokio::time::sleep(RETRY).await,
                },
                After::Nothing => tokio::select! {
                    _ = self.more.changed() => {}
                    () = stopped(self.stop.clone()) => return Next::Stop,
                    () = tokio::time::sleep_until(self.last + self.heartbeat) => {
                        return Next::Heartbeat;
                    }
                },
            }
        }
    }

    /// A page for this reader alone.
    async fn catch_up(&mut self) -> Option<Bytes> {
        let (name, target) = (&self.name, self.channel.target());
        let (bytes, to) = page(&self.partitions, name, target, self.position).await?;
        if to == self.position {
            return None;
        }
        self.position = to;
        Some(bytes)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.feed.counts(false);
    }
}
