//! Senders: what a host does to attempt an effect, and what the answer means.
//!
//! Owns the form of each kind of outside call, as data, and the words for how it failed. Refuses to
//! make any: sockets are the host's. Refuses secrets: a request names the one that it goes with,
//! and the host adds it (law 11).
//!
//! Invariant: the same effect leads to the same request, byte for byte, on every attempt and on
//! both hosts; whoever is called tells repetitions by the effect's id in it.

use alloc::format;
use alloc::string::{String, ToString};

use serde::Deserialize;

use crate::engine::LIST_PARTITION;
use crate::json::push_string;
use crate::limits::REPLY_SHOWN_CHARS_MAX;
use crate::process::EMAIL;
use crate::protocol::EffectCall;
use crate::settings::{Mail, Secret};

/// How an email was done that was logged only.
pub const LOGGED: &str = "log";
/// Name of the secret that goes with requests to SendGrid.
pub const SENDGRID_API_KEY: &str = "SENDGRID_API_KEY";

/// What a host does to attempt an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Tells the directory of partitions of this one.
    List(String),
    /// Makes this request.
    Send(Outgoing),
    /// Tells its own log of an email, which is done by that.
    Log(Email),
    /// Nothing: it can not be made, and why.
    Refuse(String),
}

/// A request to the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its method.
    pub method: &'static str,
    /// Where to.
    pub url: String,
    /// Names and values, in lower and as they are.
    pub headers: &'static [(&'static str, &'static str)],
    /// Name of the secret that the host sends along as `Authorization: Bearer`.
    pub bearer: Option<&'static str>,
    /// Its body.
    pub body: String,
    /// How the effect was done when this succeeds.
    pub detail: &'static str,
}

/// The data of an email, as far as sending it needs them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Email {
    /// To whom.
    pub to: String,
    /// What sort of email.
    pub template: String,
    /// Its subject.
    pub subject: String,
    /// What it says.
    pub text: String,
}

#[derive(Deserialize)]
struct Listed {
    partition: String,
}

/// What to do to attempt this effect.
pub fn plan(effect: &EffectCall, mail: &Mail) -> Plan {
    let unreadable =
        |_| Plan::Refuse(format!("the data of an effect of kind {} can not be read", effect.kind));
    match effect.kind.as_str() {
        LIST_PARTITION => serde_json::from_str::<Listed>(&effect.data)
            .map_or_else(unreadable, |listed| Plan::List(listed.partition)),
        EMAIL => serde_json::from_str::<Email>(&effect.data)
            .map_or_else(unreadable, |email| sent_by(email, &effect.id, mail)),
        kind => Plan::Refuse(format!("this host makes no effects of kind {kind}")),
    }
}

fn sent_by(email: Email, effect_id: &str, mail: &Mail) -> Plan {
    if mail.key.is_none() {
        return Plan::Log(email);
    }
    Plan::Send(Outgoing {
        method: "POST",
        url: format!("{}/v3/mail/send", mail.url),
        headers: &[("content-type", "application/json")],
        bearer: Some(SENDGRID_API_KEY),
        body: sendgrid(&email, effect_id, &mail.from),
        detail: "sendgrid",
    })
}

/// The body of SendGrid's v3 `mail/send`. What `custom_args` has comes back in its webhooks.
fn sendgrid(email: &Email, effect_id: &str, from: &str) -> String {
    let mut body = String::with_capacity(email.text.len().saturating_add(400));
    let parts = [
        ("{\"personalizations\":[{\"to\":[{\"email\":", email.to.as_str()),
        ("}]}],\"from\":{\"email\":", from),
        ("},\"subject\":", &email.subject),
        (",\"content\":[{\"type\":\"text/plain\",\"value\":", &email.text),
        ("}],\"custom_args\":{\"effect_id\":", effect_id),
    ];
    for (before, value) in parts {
        body.push_str(before);
        push_string(&mut body, value);
    }
    body.push_str("}}");
    body
}

/// What an answer means: done, or why not. Of the reply a little is told, without the secret.
pub fn answered(status: u16, reply: &[u8], secret: Option<&Secret>) -> Result<(), String> {
    if (200..300).contains(&status) {
        return Ok(());
    }
    // Hidden before anything else: what is cut or cleaned would not be found.
    let reply = String::from_utf8_lossy(reply);
    let hidden = secret.map_or_else(|| reply.to_string(), |secret| secret.hide(&reply));
    let said = cleaned(&hidden);
    let redirect = if (300..400).contains(&status) { ", redirects are not followed" } else { "" };
    let separator = if said.is_empty() { "" } else { ": " };
    Err(format!("answered {status}{redirect}{separator}{said}"))
}

/// There was no answer in time.
pub fn late(deadline_ms: u64) -> String {
    format!("no answer in {deadline_ms} ms")
}

/// There was no answer: what the host says of that, shortened.
pub fn unanswered(why: &str, secret: Option<&Secret>) -> String {
    let hidden = secret.map_or_else(|| why.to_string(), |secret| secret.hide(why));
    format!("no answer: {}", cleaned(&hidden))
}

/// One line of printable text: what the outside says ends up in the log, for ever.
fn cleaned(text: &str) -> String {
    let mut line = String::new();
    let mut count = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        for c in (!line.is_empty()).then_some(' ').into_iter().chain(word.chars()) {
            if count == REPLY_SHOWN_CHARS_MAX {
                line.push('…');
                return line;
            }
            line.push(if c == char::REPLACEMENT_CHARACTER { '?' } else { c });
            count = count.saturating_add(1);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(kind: &str, data: &str) -> EffectCall {
        EffectCall {
            position: 7,
            n: 1,
            id: "7-1-00ff".into(),
            kind: kind.into(),
            target: "ada@example.com".into(),
            data: data.into(),
            attempt: 3,
        }
    }

    fn with_key() -> Mail {
        let (from, url) = ("log@example.com".into(), "https://api.sendgrid.com".into());
        Mail { from, url, key: Secret::new("SG.planted-secret") }
    }

    const DATA: &str =
        r#"{"to":"ada@example.com","template":"t","subject":"S \"1\"","text":"a\nb"}"#;

    #[test]
    fn an_email_becomes_a_request_to_sendgrid() {
        let Plan::Send(request) = plan(&effect(EMAIL, DATA), &with_key()) else {
            panic!("it is sent")
        };
        assert_eq!((request.method, request.detail), ("POST", "sendgrid"));
        assert_eq!(request.url, "https://api.sendgrid.com/v3/mail/send");
        assert_eq!(request.bearer, Some(SENDGRID_API_KEY));
        let body = r#"{"personalizations":[{"to":[{"email":"ada@example.com"}]}],"from":{"email":"log@example.com"},"subject":"S \"1\"","content":[{"type":"text/plain","value":"a\nb"}],"custom_args":{"effect_id":"7-1-00ff"}}"#;
        assert_eq!(request.body, body);
        let later = EffectCall { attempt: 4, ..effect(EMAIL, DATA) };
        assert_eq!(plan(&later, &with_key()), Plan::Send(request.clone()), "every time the same");
        assert!(!format!("{request:?}{:?}", with_key()).contains("planted"));
    }

    #[test]
    fn without_a_key_it_is_logged() {
        let planned = plan(&effect(EMAIL, DATA), &Mail::default());
        assert!(matches!(planned, Plan::Log(email) if email.to == "ada@example.com"));
    }

    #[test]
    fn what_can_not_be_made_says_why() {
        for data in ["", "{}", r#"{"to":1}"#, "[]"] {
            let planned = plan(&effect(EMAIL, data), &with_key());
            assert_eq!(
                planned,
                Plan::Refuse("the data of an effect of kind email can not be read".into())
            );
        }
        let other = plan(&effect("fax", "{}"), &with_key());
        assert_eq!(other, Plan::Refuse("this host makes no effects of kind fax".into()));
        let listed = plan(&effect(LIST_PARTITION, r#"{"partition":"p"}"#), &with_key());
        assert_eq!(listed, Plan::List("p".into()));
    }

    #[test]
    fn answers_are_told_in_a_line_without_the_secret() {
        let key = Secret::new("SG.planted-secret");
        for status in [200, 202, 299] {
            assert_eq!(answered(status, b"whatever", key.as_ref()), Ok(()));
        }
        let told = |status, reply: &[u8]| answered(status, reply, key.as_ref()).unwrap_err();
        assert_eq!(told(500, b""), "answered 500");
        assert_eq!(told(302, b""), "answered 302, redirects are not followed");
        assert_eq!(told(400, b"{\n  \"a\":\x00\t1}\xff"), "answered 400: { \"a\": 1}?");
        assert_eq!(told(401, b"bad SG.planted-secret!"), "answered 401: bad [hidden]!");
        assert_eq!(told(401, b"bad SG.planted-se"), "answered 401: bad [hidden]");
        let long = "x".repeat(64 << 10);
        assert_eq!(told(503, long.as_bytes()).chars().count(), 14 + REPLY_SHOWN_CHARS_MAX + 1);
        assert_eq!(unanswered("SG.planted-secret \n?", key.as_ref()), "no answer: [hidden] ?");
        assert_eq!(late(30_000), "no answer in 30000 ms");
    }
}
