//! What a machine publishes a second: batches of events, checked against a schema and stored.
//!
//! Owns the topic and the payloads: an object of a few members, filled up to the size wanted.

use std::time::{Duration, Instant};

use foldlog_core::driver::Spawn;

use super::{Running, request, run_batch};
use crate::cli::Bench;
use crate::json::Object;

/// Events of a batch: as many as are taken.
const BATCH: u64 = 1_000;
/// Bytes of batches that are published at most: the contract's.
const BODY_BYTES_MAX: u64 = 1 << 20;

const TOPIC: &str = r#"{"name":"bench","schemas":[{"type":"order.placed","properties":{"id":{"type":"integer","minimum":0},"who":{"type":"string","maxLength":64,"pattern":"^[a-z]+-[0-9]+$"},"lines":{"type":"array","items":{"type":"object","properties":{"sku":{"type":"string"},"count":{"type":"integer","minimum":1}},"required":["sku","count"],"additionalProperties":false}}},"required":["id","who"],"additionalProperties":false}]}"#;

/// Publishes and returns what to print.
pub fn run<S: Spawn>(partition: &mut Running<S>, flags: &Bench) -> Result<String, String> {
    run_batch(partition, vec![request("/topics", TOPIC.into(), None)])?;
    let event_bytes = payload(0, flags.payload_bytes).len() as u64 + 60;
    let batch = BATCH.min(BODY_BYTES_MAX / event_bytes).max(1);
    let (mut elapsed, mut done, mut bytes) = (Duration::ZERO, 0, 0);
    while done < flags.publish {
        let end = (done + batch).min(flags.publish);
        let payloads = (done..end).map(|n| payload(n, flags.payload_bytes));
        let events: Vec<String> = payloads
            .map(|payload| {
                bytes += payload.len();
                format!(r#"{{"topic":"bench","type":"order.placed","payload":{payload}}}"#)
            })
            .collect();
        let request = request("/events", format!("[{}]", events.join(",")), None);
        let started = Instant::now();
        run_batch(partition, vec![request])?;
        elapsed += started.elapsed();
        done = end;
    }
    let started = Instant::now();
    partition.checkpoint().map_err(|failure| failure.to_string())?;
    let seconds = (elapsed + started.elapsed()).as_secs_f64();
    let found = Object::default()
        .token("events", flags.publish)
        .token("batch", batch)
        .token("payloadBytes", bytes as f64 / flags.publish as f64)
        .token("eventsPerSecond", flags.publish as f64 / seconds)
        .token("payloadMegabytesPerSecond", bytes as f64 / 1e6 / seconds);
    Ok(found.end())
}

fn payload(n: u64, bytes: u64) -> String {
    let start = format!(r#"{{"id":{n},"who":"ann-{}""#, n % 1_000);
    let line = r#"{"sku":"a-1234567","count":2}"#;
    let count = bytes.saturating_sub(start.len() as u64) / (line.len() as u64 + 1);
    if count == 0 {
        return format!("{start}}}");
    }
    let lines = vec![line; usize::try_from(count).unwrap_or(0)];
    format!(r#"{start},"lines":[{}]}}"#, lines.join(","))
}
