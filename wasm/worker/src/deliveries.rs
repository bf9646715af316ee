//! Deliveries: what is handed to JavaScript to post to consumers, and what comes back of it.
//!
//! Owns plain values for both, and the lines of the log about consumers. Refuses to wait: entry.mjs
//! does. Refuses callbacks that name where none may be called; what a name resolves to the platform
//! does not tell, and its network has no inside.

use foldlog_core::driver::senders::{answered, late, unanswered};
use foldlog_core::driver::{CameTo, DeliveryCall, Note};
use foldlog_core::targets::check;
use js_sys::Array;
use wasm_bindgen::prelude::*;

use crate::platform::{log_error, log_info, now_ms};
use crate::{Shim, export};

/// Who calls.
const AGENT: &str = concat!("foldlog/", env!("CARGO_PKG_VERSION"));

#[wasm_bindgen]
impl Shim {
    /// Deliveries to make now, each as number, URL, headers (name, value, …) and body. Should this
    /// object be gone before they end, its alarm makes them again.
    pub fn take_deliveries(&mut self) -> Array {
        let calls = Array::new();
        let Ok(ready) = &mut self.state else { return calls };
        let all = ready.partition.take_deliveries();
        let until = now_ms() + export::number(ready.effect_deadline_ms);
        if !all.is_empty() && ready.connection().wake_at(until).is_err() {
            log_error("alarm", &self.name, "the alarm could not be set");
        }
        for call in all {
            match check(&call.url, ready.allow_private_callbacks) {
                Ok(target) => {
                    calls.push(&plain(call, &target.url()));
                }
                // Registration looked at it too, but maybe under other settings.
                Err(error) => {
                    ready.partition.delivery_ended(call.id, CameTo::Gone(error.to_string()));
                }
            }
        }
        calls
    }

    /// What a delivery came to: `status` and `reply` of an answer, or why there was none, in no
    /// words when it was late.
    pub fn delivery_ended(
        &mut self,
        id: f64,
        status: Option<u16>,
        reply: Option<Vec<u8>>,
        why: Option<String>,
    ) {
        let Ok(ready) = &mut self.state else { return };
        let came_to = match (status, why) {
            (Some(status), _) => answered(status, &reply.unwrap_or_default(), None),
            (None, Some(why)) if !why.is_empty() => Err(unanswered(&why, None)),
            (None, _) => Err(late(ready.effect_deadline_ms)),
        };
        ready.partition.delivery_ended(export::position(id), CameTo::of(came_to));
    }
}

fn plain(call: DeliveryCall, url: &str) -> Array {
    let own = [("content-type", "application/json".to_string()), ("user-agent", AGENT.to_string())];
    let headers = own.into_iter().chain(call.headers);
    let headers = headers.flat_map(|(name, value)| [JsValue::from_str(name), value.into()]);
    let headers: Array = headers.collect();
    let values: [JsValue; 4] =
        [export::number(call.id).into(), url.into(), headers.into(), call.body.into()];
    values.into_iter().collect()
}

/// Tells the log what happened to a topic or a consumer: no payloads, no secrets, of callbacks the host alone.
pub fn tell(partition: &str, note: &Note) {
    match note {
        Note::Topic { topic, created, types } => {
            let what = if *created { "topic created" } else { "schemas registered" };
            log_info(what, partition, &[("topic", topic), ("types", &types.join(" "))]);
        }
        Note::Published { topic, first, last } => {
            let (first, last) = (format!("{topic}-{first}"), format!("{topic}-{last}"));
            log_info("events published", partition, &[("first", &first), ("last", &last)]);
        }
        Note::Delivered { consumer, topic, attempt, events } => {
            let (attempt, events) = (attempt.to_string(), events.to_string());
            let of = [("consumer", consumer), ("topic", topic), ("attempt", &attempt)];
            log_info("delivered", partition, &[of.as_slice(), &[("events", &events)]].concat());
        }
        Note::Registered { consumer, host } => {
            log_info("consumer registered", partition, &[("consumer", consumer), ("host", host)]);
        }
        Note::Removed { consumer, reason } => {
            log_info("consumer removed", partition, &[("consumer", consumer), ("reason", reason)]);
        }
        Note::Failed { consumer, topic, attempt, reason } => {
            let attempt = attempt.to_string();
            let of = [("consumer", consumer), ("topic", topic), ("attempt", &attempt)];
            let all = [of.as_slice(), &[("reason", reason)]].concat();
            log_info("delivery failed", partition, &all);
        }
        Note::Started(topic) => log_info("dispatcher started", partition, &[("topic", topic)]),
        Note::Stopped(topic) => log_info("dispatcher stopped", partition, &[("topic", topic)]),
    }
}
