//! `foldlog listen`: follows a topic of a running host in the terminal, or hands what comes to a
//! local service, as a consumer would get it.
//!
//! Owns the loop: follow, print or forward, follow again behind the last event when the connection
//! ends. Refuses to know partitions and stores: it is a client, of any host.
//!
//! Invariant: events come in their order, each once; one is forwarded after the one before was
//! answered, whatever the answer. Nothing is tried again: whoever builds a receiver sees what it does.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use foldlog_core::driver::World;
use foldlog_core::webhook;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, Uri};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::Listen;
use crate::json::Object;
use crate::outgoing::innermost;
use crate::remote::{Remote, address, detail};
use crate::world::{Machine, entropy};

/// Before a lost connection is made again.
const AGAIN: Duration = Duration::from_secs(1);
/// A forwarded event is given up after so long, as a delivery is.
const FORWARD_MAX: Duration = Duration::from_secs(30);
/// The `consumerId` of what is forwarded.
const CONSUMER: &str = "listen";

/// An event, as far as a topic shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    id: String,
    aggregate_id: String,
    event_type: String,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    timestamp: String,
    position: u64,
}

/// What to do with what comes.
struct Listener {
    remote: Remote,
    topic: String,
    forward: Option<(Uri, [u8; 32])>,
    json: bool,
}

/// Follows until it is stopped, or the topic does not exist.
pub fn run(flags: &Listen) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| e.to_string())?.block_on(follow(flags))
}

async fn follow(flags: &Listen) -> Result<ExitCode, String> {
    let remote = Remote::new(&flags.url, flags.partition.as_deref(), &flags.key)?;
    let forward = flags.forward.as_deref().map(|text| address("--forward", text)).transpose()?;
    let forward = forward.map(|uri| Ok::<_, String>((uri, secret()?))).transpose()?;
    let json = flags.json || !std::io::stdout().is_terminal();
    let listener = Listener { remote, topic: flags.topic.clone(), forward, json };
    let mut after = listener.start(flags).await?;
    if let Some((uri, secret)) = &listener.forward {
        eprintln!("forwarding {} to {uri}", flags.topic);
        eprintln!("deliveries are signed with {}", webhook::secret_text(secret));
    } else {
        eprintln!("following {}", flags.topic);
    }
    loop {
        tokio::select! {
            lost = listener.read(&mut after) => {
                eprintln!("connection lost ({lost}); again in 1 s");
                tokio::time::sleep(AGAIN).await;
            }
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
}

fn secret() -> Result<[u8; 32], String> {
    let mut secret = [0; 32];
    for half in secret.chunks_exact_mut(16) {
        half.copy_from_slice(&entropy());
    }
    Ok(secret)
}

impl Listener {
    /// The position after which to begin; none is from now on.
    async fn start(&self, flags: &Listen) -> Result<Option<u64>, String> {
        let (status, body) = self.remote.get(&format!("/topics/{}", self.topic)).await?;
        if status != StatusCode::OK {
            return Err(detail(status, &body));
        }
        let Some(id) = &flags.since else { return Ok(flags.from_beginning.then_some(0)) };
        let (status, body) = self.remote.get(&format!("/events/id/{id}")).await?;
        let event: Result<Event<'_>, _> = serde_json::from_slice(&body);
        match (status, event) {
            (StatusCode::OK, Ok(event)) => {
                let metadata: Metadata = serde_json::from_str(event.metadata.get())
                    .map_err(|e| format!("event {id} can not be read: {e}"))?;
                Ok(Some(metadata.position))
            }
            _ => Err(detail(status, &body)),
        }
    }

    /// Follows until the connection ends, and says why it did. `after` goes along.
    async fn read(&self, after: &mut Option<u64>) -> String {
        self.read_to_end(after).await.err().unwrap_or_else(|| "the host ended it".into())
    }

    async fn read_to_end(&self, after: &mut Option<u64>) -> Result<(), String> {
        let category = self.topic.strip_prefix('@').unwrap_or("Topic");
        let from = after.map_or_else(String::new, |after| format!("&after={after}"));
        let url = format!("{}/events/live?category={category}{from}", self.remote.base);
        let request = Request::get(&url).body(Full::default()).map_err(|e| e.to_string())?;
        let response = self.remote.pool.request(request).await.map_err(|e| innermost(&e))?;
        if response.status() != StatusCode::OK {
            return Err(format!("answered {}", response.status().as_u16()));
        }
        let mut body = response.into_body();
        let mut waiting: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| innermost(&e))?;
            let Some(data) = frame.data_ref() else { continue };
            waiting.extend_from_slice(data);
            while let Some(end) = waiting.windows(2).position(|two| two == b"\n\n") {
                let item: Vec<u8> = waiting.drain(..end + 2).collect();
                self.take(&String::from_utf8_lossy(&item), after).await?;
            }
        }
        Ok(())
    }

    /// Takes one item of the stream in.
    async fn take(&self, item: &str, after: &mut Option<u64>) -> Result<(), String> {
        let line = |name: &str| item.lines().find_map(|line| line.strip_prefix(name));
        if let Some(data) = line("data: ") {
            let event: Event<'_> = serde_json::from_str(data).map_err(|e| e.to_string())?;
            if self.topic.starts_with('@') || event.aggregate_id == self.topic {
                self.show(&event).await?;
            }
        }
        if let Some(position) = line("id: ").and_then(|text| text.trim().parse().ok()) {
            *after = Some(position);
        }
        Ok(())
    }

    async fn show(&self, event: &Event<'_>) -> Result<(), String> {
        let metadata: Metadata =
            serde_json::from_str(event.metadata.get()).map_err(|e| e.to_string())?;
        let json = Object::default()
            .text("id", &event.id)
            .text("timestamp", &metadata.timestamp)
            .text("type", &event.event_type)
            .token("payload", event.data.get())
            .token("metadata", event.metadata.get())
            .end();
        let came_to = match &self.forward {
            Some(forward) => Some(self.forward(forward, &event.id, &json).await),
            None => None,
        };
        let line = match came_to {
            Some(came_to) => format!("{}  {}  {came_to}", event.id, event.event_type),
            None if self.json => json,
            None => format!(
                "{}  {}  {}  {}",
                metadata.timestamp,
                event.id,
                event.event_type,
                event.data.get()
            ),
        };
        let mut out = std::io::stdout().lock();
        // Whoever reads no more wants no more.
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|_| std::process::exit(0))
    }

    /// Hands one event on; tells what came of it.
    async fn forward(&self, (uri, secret): &(Uri, [u8; 32]), id: &str, event: &str) -> String {
        let body = format!("{{\"consumerId\":\"{CONSUMER}\",\"events\":[{event}]}}");
        let time = Machine::new().clock().0 / 1_000;
        let delivery = format!("{CONSUMER}-{}", id.replace('.', "_"));
        let signature = webhook::sign(secret, &delivery, time, body.as_bytes());
        let request = Request::post(uri)
            .header("content-type", "application/json")
            .header(webhook::ID, &delivery)
            .header(webhook::TIMESTAMP, time.to_string())
            .header(webhook::SIGNATURE, signature)
            .body(Full::from(body));
        let Ok(request) = request else { return "not sent".into() };
        match tokio::time::timeout(FORWARD_MAX, self.remote.pool.request(request)).await {
            Ok(Ok(response)) => response.status().as_u16().to_string(),
            Ok(Err(error)) => innermost(&error),
            Err(_) => "no answer in 30 s".into(),
        }
    }
}
