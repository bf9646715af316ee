//! The body of `POST /log/import`: read piece by piece, each taken in before the next is read.
//!
//! Owns backpressure, and what becomes of a body that stalls or breaks off. Refuses to know what
//! is in it: whether it is wanted says the guest, what it comes to says the driver.

use std::sync::Arc;
use std::sync::mpsc::TrySendError;

use foldlog_core::driver::{Feed, OwnedBody, OwnedRequest, Reply, Step};
use foldlog_core::errors::Code;
use foldlog_core::limits::IMPORT_BYTES_MAX;
use hyper::body::{Body, Incoming};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::actor::Message;
use crate::body::{READ_TIMEOUT, Received, drain, next};
use crate::partitions::{BUSY_RETRY, For, Partitions, restarting};

/// So much is handed over at a time.
const PIECE_BYTES: usize = 1 << 20;

/// The answer, and whether the connection can not be used again.
pub async fn answer(
    partitions: Arc<Partitions>,
    name: String,
    mut request: OwnedRequest,
    mut body: Incoming,
    expects_continue: bool,
) -> (Reply, bool) {
    let declared = body.size_hint().exact();
    request.body = match declared {
        _ if body.is_end_stream() => OwnedBody::Whole(Vec::new()),
        Some(bytes) if bytes > IMPORT_BYTES_MAX => OwnedBody::TooLarge,
        _ => OwnedBody::Unread,
    };
    let reply = partitions.run(&name, request).await;
    let Some(token) = reply.import else {
        // Who asks before sending gets the answer instead of a go-ahead.
        let close = expects_continue && !body.is_end_stream() || read_on(&mut body).await;
        return (reply, close);
    };
    // In a task of its own: a client that goes away takes the request with it, and the partition
    // has to hear of that.
    let fed = tokio::spawn(async move {
        let reply = feed(&partitions, &name, token, &mut body, declared).await;
        (reply, read_on(&mut body).await)
    });
    fed.await.unwrap_or_else(|_| (Reply::problem(Code::Internal, "the import ended"), true))
}

/// Reads what is left and throws it away; true when there is still more.
async fn read_on(body: &mut Incoming) -> bool {
    !body.is_end_stream() && !matches!(drain(body, IMPORT_BYTES_MAX).await, Received::Complete(_))
}

async fn feed(
    partitions: &Partitions,
    name: &str,
    token: u64,
    body: &mut Incoming,
    declared: Option<u64>,
) -> Reply {
    let mut pieces = Pieces { body, left: declared, ended: false };
    let mut next = Feed::Nothing;
    loop {
        next = match partitions.import(name, token, next).await {
            Step::Done(reply) => return reply,
            Step::Turn => Feed::Nothing,
            Step::Body => pieces.next().await,
        };
    }
}

struct Pieces<'a> {
    body: &'a mut Incoming,
    /// Of a declared length.
    left: Option<u64>,
    ended: bool,
}

impl Pieces<'_> {
    async fn next(&mut self) -> Feed {
        let mut bytes = Vec::new();
        while bytes.len() < PIECE_BYTES && !self.ended {
            match timeout(READ_TIMEOUT, next(self.body)).await {
                Ok(Some(Ok(frame))) => {
                    // Trailers carry nothing that is used here.
                    if let Some(data) = frame.data_ref() {
                        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                        bytes.extend_from_slice(data);
                    }
                }
                Ok(None) if self.left.unwrap_or(0) == 0 => self.ended = true,
                Ok(None | Some(Err(_))) | Err(_) => return Feed::CutOff,
            }
        }
        if bytes.is_empty() { Feed::End } else { Feed::Bytes(bytes) }
    }
}

impl Partitions {
    /// A step of an import. It has no deadline: a part takes as long as its bytes take to come.
    pub async fn import(&self, name: &str, token: u64, mut feed: Feed) -> Step {
        loop {
            let Some((inbox, _)) = self.handle(name, For::Client) else {
                let detail = "the host is stopping; nothing of the part counts, send it again";
                return Step::Done(Reply::problem(Code::Restarting, detail));
            };
            let (reply, answer) = oneshot::channel();
            match inbox.try_send(Message::Import(token, feed, reply)) {
                Ok(()) => {}
                Err(TrySendError::Full(Message::Import(_, again, _))) => {
                    drop(inbox);
                    feed = again;
                    tokio::time::sleep(BUSY_RETRY).await;
                    continue;
                }
                Err(_) => return Step::Done(restarting()),
            }
            drop(inbox);
            let lost = || {
                let detail = "the partition restarted while it took the part in; send it again";
                Step::Done(Reply::problem(Code::UnknownOutcome, detail))
            };
            return answer.await.unwrap_or_else(|_| lost());
        }
    }
}
