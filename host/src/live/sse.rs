//! A reader over HTTP: Server-Sent Events.
//!
//! Owns when a reader is told that it is not forgotten, and when it is cut. Refuses to know what
//! items say.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::reader::{Next, Reader};
use crate::body::Outgoing;
use crate::metrics::{Metrics, add};
use crate::wire::Wire;

/// A comment: keeps what lies between from thinking that nothing will come any more.
const HEARTBEAT: &[u8] = b":\n\n";
/// A reader that takes nothing may not hold up the host's stop for longer.
pub const STOP_GRACE: Duration = Duration::from_secs(1);

/// The body of the answer: what the guest wrote, and then whatever is stored.
pub fn body(
    start: Vec<u8>,
    mut reader: Reader,
    wire: Arc<Wire>,
    stall: Duration,
    metrics: Arc<Metrics>,
) -> Outgoing {
    // One page waits while another is sent.
    let (pages, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut next = Bytes::from(start);
        loop {
            match patiently(pages.send(Ok(next)), &wire, stall).await {
                Patience::Done(Ok(())) => {}
                // It is gone.
                Patience::Done(Err(_)) => return,
                Patience::Stopped => break,
                Patience::Lost => {
                    add(&metrics.live_cut, 1);
                    return wire.cut();
                }
            }
            let waited = tokio::select! {
                waited = reader.next() => waited,
                () = pages.closed() => return,
            };
            next = match waited {
                Next::Items(items) => items,
                Next::Heartbeat => Bytes::from_static(HEARTBEAT),
                Next::Stop => break,
            };
        }
        // The body ends properly, and the connection with it; if not, it is ended.
        drop((pages, reader));
        tokio::time::sleep(STOP_GRACE).await;
        wire.cut();
    });
    Outgoing::Pages(receiver)
}

/// What came of sending something.
#[derive(Debug)]
pub enum Patience<T> {
    /// It was taken.
    Done(T),
    /// The socket took nothing for too long.
    Lost,
    /// The host stops, and it was not taken soon.
    Stopped,
}

/// Waits until something is taken, as long as the socket takes anything at all.
pub async fn patiently<F: Future>(sending: F, wire: &Wire, stall: Duration) -> Patience<F::Output> {
    let mut sending = pin!(sending);
    let began = Instant::now();
    loop {
        let quiet = wire.quiet().min(began.elapsed());
        let Some(left) = stall.checked_sub(quiet).filter(|left| !left.is_zero()) else {
            return Patience::Lost;
        };
        tokio::select! {
            done = &mut sending => return Patience::Done(done),
            () = tokio::time::sleep(left) => {}
            () = wire.stopped() => {
                let soon = tokio::time::timeout(STOP_GRACE, &mut sending).await;
                return soon.map_or(Patience::Stopped, Patience::Done);
            }
        }
    }
}
