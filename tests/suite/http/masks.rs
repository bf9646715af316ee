//! What two hosts may answer differently, taken out; and answers as lines of a transcript.
//!
//! Owns the list of exempt members (docs: "Excepted are only the fields that tell of the process
//! and not of the log"). Hashes are compared raw between hosts; in a recording they are numbered
//! by first appearance, since they change with every build of the guest.

use std::collections::BTreeMap;

use foldlog_core::chain::{hex, sha256};
use foldlog_tests::client::Answer;

/// Members of JSON objects that tell of the process, not of the log.
const EXEMPT: [&str; 7] = [
    "uptimeSeconds",
    "commandsProcessed",
    "commandsRejected",
    "processingMicros",
    "runningDispatchers",
    "checkpoint",
    "host",
];

/// Headers that belong to the contract.
const HEADERS: [&str; 9] = [
    "Allow",
    "Content-Type",
    "ETag",
    "Foldlog-Hash",
    "Foldlog-Position",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "Retry-After",
];

/// A longer body is recorded by its ends, its length and its hash.
const RECORDED_BYTES_MAX: usize = 6_000;

/// The status, the contract's headers and the body, as far as hosts must agree.
pub fn comparable(answer: &Answer) -> String {
    let mut out = format!("{}\n", answer.status);
    for name in HEADERS {
        if let Some(value) = answer.header(name) {
            out.push_str(&format!("{name}: {value}\n"));
        }
    }
    out.push('\n');
    out + &without_exempt(&answer.text())
}

/// Replaces the values of exempt members by `…`.
fn without_exempt(body: &str) -> String {
    let mut body = body.to_string();
    for name in EXEMPT {
        let member = format!("\"{name}\":");
        let mut from = 0;
        while let Some(found) = body.get(from..).and_then(|rest| rest.find(&member)) {
            let start = from + found + member.len();
            let end = start + value_bytes(&body[start..]);
            body.replace_range(start..end, "…");
            from = start;
        }
    }
    body
}

/// Length of the JSON value that a minified text starts with.
fn value_bytes(text: &str) -> usize {
    let closing = match text.as_bytes().first() {
        Some(b'{') => Some('}'),
        Some(b'[') => Some(']'),
        _ => None,
    };
    match closing {
        Some(closing) => text.find(closing).map_or(text.len(), |at| at + 1),
        None => text.find([',', '}', ']']).unwrap_or(text.len()),
    }
}

/// Numbers hashes in the order in which a transcript shows them.
#[derive(Debug, Default)]
pub struct Hashes(BTreeMap<String, usize>);

impl Hashes {
    /// A text with `<hash n>` for every 64 hexadecimal digits.
    fn mask(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut digits = String::new();
        for c in text.chars().chain(['\n']) {
            if matches!(c, '0'..='9' | 'a'..='f') {
                digits.push(c);
                continue;
            }
            if digits.len() == 64 {
                let next = self.0.len() + 1;
                let n = *self.0.entry(core::mem::take(&mut digits)).or_insert(next);
                out.push_str(&format!("<hash {n}>"));
            }
            out.push_str(&digits);
            digits.clear();
            out.push(c);
        }
        out.pop();
        out
    }

    /// The lines that a recording holds below the status.
    pub fn recording(&mut self, comparable: &str) -> Vec<String> {
        let masked = self.mask(comparable);
        let (head, body) = masked.split_once("\n\n").unwrap_or((&masked, ""));
        let mut lines: Vec<String> = head.lines().skip(1).map(|line| format!("> {line}")).collect();
        if body.is_empty() {
            return lines;
        }
        if body.len() <= RECORDED_BYTES_MAX {
            lines.extend(body.split('\n').map(|line| format!(">> {line}").trim_end().to_string()));
            return lines;
        }
        let start: String = body.chars().take(200).collect();
        let end: String =
            body.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
        let digest = hex(&sha256(&[body.as_bytes()]));
        let line = |part: &str| format!(">> {}", part.replace('\n', " ")).trim_end().to_string();
        lines.push(line(&start));
        let digest = digest.get(..16).unwrap_or_default();
        lines.push(format!(">> … {} bytes, SHA-256 {digest} …", body.len()));
        lines.push(line(&end));
        lines
    }
}

#[test]
fn masks_take_out_what_is_exempt_and_nothing_else() {
    let body = r#"{"a":1,"uptimeSeconds":5,"processingMicros":{"p50":1,"p99":2},"host":"worker"}"#;
    let masked = r#"{"a":1,"uptimeSeconds":…,"processingMicros":…,"host":…}"#;
    assert_eq!(without_exempt(body), masked);
    let (a, b) = ("ab".repeat(32), "cd".repeat(32));
    let mut hashes = Hashes::default();
    assert_eq!(
        hashes.mask(&format!("{a} {b} {a}0 {a}")),
        format!("<hash 1> <hash 2> {a}0 <hash 1>")
    );
}
