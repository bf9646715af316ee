//! Load: commands from many clients at once, each with its key, each outcome remembered.
//!
//! Owns what a client knows afterwards: acknowledged, refused, or unknown. Refuses to know why.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use foldlog_tests::client::{Answer, Client, Request};

/// A command and what its client knows of it.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The command, with its idempotency key.
    pub request: Request,
    /// The answer, or `None` when there was none: it may or may not have been done.
    pub answer: Option<Answer>,
}

impl Sent {
    /// Whether the client was told that it is done.
    pub fn acknowledged(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.status < 300)
    }

    /// Whether only its key can tell what became of it.
    pub fn unknown(&self) -> bool {
        self.answer.as_ref().is_none_or(|answer| answer.status == 503)
    }
}

/// Clients at work until they are stopped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<thread::JoinHandle<Vec<Sent>>>,
}

impl Load {
    /// `clients` threads, each with an account of its own and one they all share.
    pub fn start(address: SocketAddr, clients: usize, run: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let one = |n| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || client(address, n, run, &stop))
        };
        Self { clients: (0..clients).map(one).collect(), stop: Arc::clone(&stop) }
    }

    /// Waits until each client has done with the command at hand; returns all that was sent.
    pub fn stop(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap_or_default()).collect()
    }
}

fn client(address: SocketAddr, n: usize, run: usize, stop: &AtomicBool) -> Vec<Sent> {
    let mut client = Client::new(address).timeout(Duration::from_secs(10));
    let mut sent = Vec::new();
    for k in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let own = format!("own-{n}");
        let (command, account) = match k {
            0 if run == 0 => ("open-account", own),
            k if k % 3 == 0 => ("deposit", "shared".into()),
            _ => ("deposit", own),
        };
        let field = if command == "open-account" { "initialBalance" } else { "amount" };
        let body = format!(r#"{{"accountId":"{account}","{field}":1}}"#);
        let request = Request::post(&format!("/commands/{command}"), &body)
            .header("Idempotency-Key", &format!("key-{run}-{n}-{k}"));
        let answer = client.send(&request).ok();
        let gone = answer.is_none();
        sent.push(Sent { request, answer });
        if gone {
            // The host is being killed: the one command without an answer is what is of interest.
            break;
        }
    }
    sent
}
