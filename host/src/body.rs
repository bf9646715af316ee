//! Bodies: requests' read within bounds, answers' sent whole or page by page.
//!
//! Owns how much is read, how long, and backpressure of exports. Refuses to know what they say.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use foldlog_core::driver::{Export, OwnedBody};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::log;
use crate::partitions::Partitions;

/// A body has to arrive within this time; the next piece of an import's.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A body that is too large is read on for this long, and this far, and thrown away: a client
/// that writes all of it before it reads would otherwise see a reset instead of the answer.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const DRAIN_BYTES_MAX: u64 = 8 << 20;

/// What became of a request's body.
#[derive(Debug)]
pub enum Received {
    /// All of it, or that it is too large and was read to its end.
    Complete(OwnedBody),
    /// It is too large, and there is more of it: the connection can not be used again.
    Unread,
    /// It took too long.
    Late,
    /// It ended early, or its framing is wrong.
    Broken,
}

/// Reads a body, keeping at most `bytes_max` of it.
pub async fn read(mut body: Incoming, bytes_max: u64, expects_continue: bool) -> Received {
    if body.is_end_stream() {
        return Received::Complete(OwnedBody::Whole(Vec::new()));
    }
    let declared = body.size_hint().exact();
    if declared.is_some_and(|bytes| bytes > bytes_max) {
        // Who asks before sending gets the answer instead of a go-ahead.
        let hopeless = expects_continue || declared.is_some_and(|bytes| bytes > DRAIN_BYTES_MAX);
        return if hopeless { Received::Unread } else { drain(&mut body, DRAIN_BYTES_MAX).await };
    }
    match timeout(READ_TIMEOUT, collect(&mut body, bytes_max)).await {
        Ok(Ok(Some(bytes))) => Received::Complete(OwnedBody::Whole(bytes)),
        Ok(Ok(None)) => drain(&mut body, DRAIN_BYTES_MAX).await,
        Ok(Err(_)) => Received::Broken,
        Err(_) => Received::Late,
    }
}

/// All bytes; nothing as soon as there are more than `bytes_max`.
async fn collect(body: &mut Incoming, bytes_max: u64) -> Result<Option<Vec<u8>>, hyper::Error> {
    let expected = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let mut bytes = Vec::with_capacity(expected.unwrap_or(0));
    while let Some(frame) = next(body).await {
        // Trailers carry nothing that is used here.
        if let Some(data) = frame?.data_ref() {
            if (bytes.len() + data.len()) as u64 > bytes_max {
                return Ok(None);
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(Some(bytes))
}

/// Reads at most `bytes_max` more and throws them away.
pub async fn drain(body: &mut Incoming, bytes_max: u64) -> Received {
    let read_on = async {
        let mut left = bytes_max;
        while let Some(frame) = next(body).await {
            let Ok(frame) = frame else { return Received::Broken };
            left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
            if left == 0 {
                return Received::Unread;
            }
        }
        Received::Complete(OwnedBody::TooLarge)
    };
    timeout(DRAIN_TIMEOUT, read_on).await.unwrap_or(Received::Unread)
}

/// The next frame.
pub async fn next(body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
}

/// An answer's body.
#[derive(Debug)]
pub enum Outgoing {
    /// All of it.
    Whole(Option<Bytes>),
    /// What comes page by page. An error cuts the connection, so that a reader sees that the
    /// end is missing.
    Pages(mpsc::Receiver<Result<Bytes, String>>),
}

impl Outgoing {
    /// A whole body.
    pub fn whole(bytes: Vec<u8>) -> Self {
        Self::Whole(Some(Bytes::from(bytes)).filter(|bytes| !bytes.is_empty()))
    }

    /// What the guest wrote, then the pages of an export, each read when the socket took the
    /// last one.
    pub fn export(
        partitions: Arc<Partitions>,
        name: String,
        start: Vec<u8>,
        mut export: Export,
    ) -> Self {
        // One page waits while another is sent.
        let (pages, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut next = Ok(Bytes::from(start));
            loop {
                let failed = next.is_err();
                // Nobody reads any more: that ends it as well.
                if pages.send(next).await.is_err() || failed || export.after >= export.to {
                    return;
                }
                next = partitions.page(&name, export).await.map(|page| {
                    export.after = page.after;
                    Bytes::from(page.bytes)
                });
                if let Err(detail) = &next {
                    log::error("export cut")
                        .with("partition", &name)
                        .with("detail", detail)
                        .write();
                }
            }
        });
        Self::Pages(receiver)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pages(pages) => {
                pages.poll_recv(context).map(|page| page.map(|page| page.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Pages(_) => SizeHint::default(),
        }
    }
}

/// The service never fails: what goes wrong is an answer.
pub type Answered = Result<hyper::Response<Outgoing>, Infallible>;
