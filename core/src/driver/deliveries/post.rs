//! How a delivery looks: its body, its headers, its signatures.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::chain::{hex, sha256};
use crate::json::push_string;
use crate::protocol::consumers::{Consumer, Page};
use crate::settings::Secret;
use crate::time::Time;
use crate::webhook::{self, Key};

/// A delivery for the host to make: a POST.
#[derive(Clone, PartialEq, Eq)]
pub struct DeliveryCall {
    /// What its end is told by; below 2^53.
    pub id: u64,
    /// Whom to call.
    pub url: String,
    /// Headers, names in lower case, beside the content type (JSON) and the user agent.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl core::fmt::Debug for DeliveryCall {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "DeliveryCall({})", self.id)
    }
}

/// The keys that sign now: the newest first.
pub(super) fn keys(consumer: &Consumer, secret: &Secret, now: Time) -> Vec<Key> {
    let older = consumer.older.iter().rev().filter(|(_, until)| *until > now);
    let generations = core::iter::once(consumer.generation).chain(older.map(|(old, _)| *old));
    generations.map(|generation| Key::derive(secret, &consumer.id, generation)).collect()
}

/// The delivery of a page.
pub(super) fn call(
    id: u64,
    (consumer, topic): (&Consumer, &str),
    (after, page): (u64, Page),
    (keys, clock): (&[Key], Time),
) -> DeliveryCall {
    let mut body = String::with_capacity(page.events.len().saturating_add(80));
    body.push_str("{\"consumerId\":");
    push_string(&mut body, &consumer.id);
    body.push_str(",\"events\":");
    body.push_str(&page.events);
    body.push('}');
    // The same for every attempt: it follows from what is delivered. No dot: what is signed is
    // told apart by those.
    let batch = format!("{}\n{topic}\n{after}\n{}", consumer.id, page.last.position);
    let digest = sha256(&[batch.as_bytes()]);
    let message = format!("msg_{}", hex(digest.get(..16).unwrap_or_default()));
    let seconds = clock.0 / 1_000;
    let signatures = webhook::signatures(keys, &message, seconds, body.as_bytes());
    let headers = alloc::vec![
        (webhook::ID, message),
        (webhook::TIMESTAMP, seconds.to_string()),
        (webhook::SIGNATURE, signatures),
        (webhook::HOPS, page.hops.saturating_add(1).to_string()),
    ];
    DeliveryCall { id, url: consumer.callback.clone(), headers, body }
}
