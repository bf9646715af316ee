//! Calls over TLS: made to a server whose certificate leads to a trusted one, and to no other.
//!
//! Symptom to look for: a key that goes to whoever answers, or an email that never leaves although
//! its server is trusted. The server's authority is made here; no roots but a file's know it.

use std::fs;
use std::path::Path;

use foldlog_tests::hosts::{Host, Kind, foldlog_where};
use foldlog_tests::scratch::Scratch;
use foldlog_tests::tls::TlsReceiver;

use super::emails::{KEY, effects, order, with_emails_to};

const VARIABLE: &str = "SSL_CERT_FILE";

/// A host that sends to a server over TLS and trusts the certificates of this file; of none, those
/// that are built in.
fn sending(receiver: &TlsReceiver, file: Option<&Path>) -> Host {
    let mut setup = with_emails_to(Kind::Native, receiver.url());
    setup.stamps = Some("seed".into());
    let file = file.map_or_else(String::new, |file| file.display().to_string());
    setup.set("--effect-deadline-ms", "", 10_000).environment(VARIABLE, file).start()
}

fn wake(host: &mut Host, body: &str) {
    let answer = host.post("/test/wake", body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Attempt, status and error of the only effect.
fn came_to(host: &mut Host) -> (u64, String, String) {
    let listed = effects(host, "");
    assert_eq!(listed.len(), 1, "{listed:?}");
    let text = |name: &str| listed[0][name].as_str().unwrap_or_default().to_string();
    (listed[0]["attempt"].as_u64().unwrap_or_default(), text("status"), text("lastError"))
}

#[test]
fn whom_the_file_vouches_for_is_sent_emails() {
    let (receiver, scratch) = (TlsReceiver::start(), Scratch::new("trust"));
    let file = scratch.path().join("authority.pem");
    receiver.write_authority(&file);
    let mut host = sending(&receiver, Some(&file));
    order(&mut host, "ada");
    order(&mut host, "bob");
    wake(&mut host, r#"{"advanceMs":0}"#);
    assert!(effects(&mut host, "").iter().all(|effect| effect["status"] == "succeeded"));
    let mut heard = receiver.heard();
    heard.sort_by_key(|heard| heard.to());
    let to: Vec<String> = heard.iter().map(|heard| heard.to()).collect();
    assert_eq!(to, ["ada@example.com", "bob@example.com"]);
    for heard in &heard {
        assert_eq!(heard.line, "POST /v3/mail/send");
        assert_eq!(heard.authorization, format!("Bearer {KEY}"));
    }
    assert_eq!(receiver.broken(), Vec::<String>::new());
}

#[test]
fn whom_nobody_vouches_for_is_told_nothing_and_tried_again() {
    let (receiver, scratch) = (TlsReceiver::start(), Scratch::new("trust"));
    let file = scratch.path().join("authority.pem");
    receiver.write_authority(&file);
    // Another of the same name, which did not sign it.
    let other = scratch.path().join("other.pem");
    TlsReceiver::start().write_authority(&other);
    let mut host = sending(&receiver, None);
    order(&mut host, "ada");
    wake(&mut host, r#"{"advanceMs":0}"#);
    let (attempt, status, error) = came_to(&mut host);
    assert_eq!((attempt, status.as_str()), (1, "pending"), "{error}");
    assert_eq!(error, "no answer: invalid peer certificate: UnknownIssuer");
    host.restart_where(VARIABLE, other.display());
    wake(&mut host, r#"{"advanceMs":300000}"#);
    let (attempt, status, error) = came_to(&mut host);
    assert_eq!((attempt, status.as_str()), (2, "pending"), "{error}");
    assert!(error.starts_with("no answer: invalid peer certificate: "), "{error}");
    assert!(receiver.heard().is_empty(), "it was told something");
    assert_eq!(receiver.broken().len(), 2);
    host.restart_where(VARIABLE, file.display());
    // A host that starts is where the clock was at first.
    wake(&mut host, r#"{"advanceMs":900000}"#);
    assert_eq!(came_to(&mut host), (3, "succeeded".into(), String::new()));
    let id = effects(&mut host, "")[0]["id"].clone();
    let heard: Vec<String> = receiver.heard().iter().map(|heard| heard.effect_id()).collect();
    assert_eq!(heard, [id.as_str().unwrap_or_default()]);
}

#[test]
fn a_file_that_is_of_no_use_is_told_at_the_start() {
    let scratch = Scratch::new("trust");
    let data = scratch.path().join("data");
    let file = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        fs::write(&path, text).unwrap_or_else(|e| panic!("{e}"));
        path
    };
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA";
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for path in [
        scratch.path().join("missing.pem"),
        file("empty.pem", ""),
        file("text.pem", "no certificate"),
        file("cut.pem", cut),
        file("junk.pem", junk),
    ] {
        let environment = [(VARIABLE, path.display().to_string())];
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data"].map(Into::into);
        let arguments: Vec<std::ffi::OsString> =
            arguments.into_iter().chain([data.clone().into_os_string()]).collect();
        let output = foldlog_where(&arguments, &environment);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let named = format!("{VARIABLE} {}: ", path.display());
        assert!(said.contains(&named), "{said}");
    }
}
