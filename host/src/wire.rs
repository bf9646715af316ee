//! A connection's socket, which tells when it last took something.
//!
//! Owns that, and the way to cut a connection from outside. Refuses to know what is sent. Whoever
//! waits for room can so tell a slow reader from one that reads nothing at all.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};

/// What is known of a connection.
#[derive(Debug)]
pub struct Wire {
    since: Instant,
    /// Milliseconds from `since` to when the socket last took something.
    took_ms: AtomicU64,
    cut: Notify,
    /// Turns true when the host stops.
    pub stop: watch::Receiver<bool>,
    /// Held as long as the connection is in use: the host's stop waits for its end.
    _alive: mpsc::Sender<()>,
}

impl Wire {
    /// Of a connection that begins now.
    pub fn new(stop: watch::Receiver<bool>, alive: mpsc::Sender<()>) -> Self {
        let (since, took_ms, cut) = (Instant::now(), AtomicU64::new(0), Notify::new());
        Self { since, took_ms, cut, stop, _alive: alive }
    }

    /// For how long the socket took nothing.
    pub fn quiet(&self) -> Duration {
        let took = Duration::from_millis(self.took_ms.load(Ordering::Relaxed));
        self.since.elapsed().saturating_sub(took)
    }

    /// Ends the connection as it is, whatever waits to be sent.
    pub fn cut(&self) {
        self.cut.notify_one();
    }

    /// Waits for [`Self::cut`].
    pub async fn is_cut(&self) {
        self.cut.notified().await;
    }

    /// Waits until the host stops.
    pub async fn stopped(&self) {
        stopped(self.stop.clone()).await;
    }

    fn took(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(bytes)) if *bytes > 0) {
            let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.took_ms.store(now, Ordering::Relaxed);
        }
    }
}

/// Waits until it turns true, or nobody can turn it any more.
pub async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A socket that tells its [`Wire`].
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    wire: Arc<Wire>,
}

impl Socket {
    /// That of a connection.
    pub const fn new(stream: TcpStream, wire: Arc<Wire>) -> Self {
        Self { stream, wire }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wire.took(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wire.took(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
