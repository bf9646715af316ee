//! Schemas made to hang a host: how soon each is refused.
//!
//! Owns their texts. Goals are printed with the figures; nothing here passes or fails, but a schema
//! that is taken.

use std::time::Instant;

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Kind, Setup};

use super::Failure;
use super::report::Report;

const TURNS: usize = 20;

/// Each with its name: doubling references, deep nesting, regular expressions that are costly or not
/// regular, references to elsewhere and to themselves, sheer size.
fn hostile() -> Vec<(&'static str, String)> {
    let doubled = |n: usize| {
        let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, n + 1);
        format!(r#""d{n}":{{"allOf":[{next},{next}]}}"#)
    };
    let doubling: Vec<String> = (0..31).map(doubled).collect();
    let doubling = doubling.join(",");
    let nots = |count: usize| format!("{}true{}", r#"{"not":"#.repeat(count), "}".repeat(count));
    let pattern = |text: &str| format!(r#"{{"pattern":"{text}"}}"#);
    vec![
        (
            "doubling references",
            format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{doubling},"d31":true}}}}"##),
        ),
        ("2,000 nested nots", nots(2_000)),
        ("40 nested nots", nots(40)),
        ("30,000 brackets", format!("{}{}", "[".repeat(30_000), "]".repeat(30_000))),
        ("repeated repetitions", pattern("(((((){9999}){9999}){9999}){9999}){9999}")),
        ("a million copies", pattern("(a{1000}){1000}")),
        ("a long pattern", pattern(&"[a-z]{1,9}".repeat(6_000))),
        ("look-ahead", pattern("(?=a)b")),
        ("a back reference", pattern(r"(a)\\1")),
        ("itself", r##"{"allOf":[{"$ref":"#"}]}"##.into()),
        ("elsewhere", r#"{"$ref":"http://127.0.0.1:1/schema"}"#.into()),
        ("a file", r#"{"$ref":"file:///etc/passwd"}"#.into()),
        ("64 kB", format!(r#"{{"title":"{}"}}"#, "x".repeat(65_536))),
    ]
}

/// Measures both hosts.
pub fn run(report: &mut Report) -> Result<(), Failure> {
    for (name, kind) in [("native", Kind::Native), ("ours in workerd", Kind::Worker)] {
        let host = Setup::new(kind).start();
        let mut client = host.client();
        client.send(&Request::get("/health"))?;
        let mut slowest = (0.0, "");
        for (what, schema) in hostile() {
            let schema = format!(r#"{{"type":"t","schema":{schema}}}"#);
            let request =
                Request::post("/topics", &format!(r#"{{"name":"h","schemas":[{schema}]}}"#));
            let mut took = Vec::with_capacity(TURNS);
            for _ in 0..TURNS {
                let started = Instant::now();
                let answer = client.send(&request)?;
                took.push(started.elapsed().as_secs_f64() * 1e3);
                if !(400..500).contains(&answer.status) {
                    return Err(format!("{name}, {what}: {}", answer.text()).into());
                }
            }
            took.sort_by(f64::total_cmp);
            let longest = took.last().copied().unwrap_or_default();
            if longest > slowest.0 {
                slowest = (longest, what);
            }
        }
        let what = format!("{name}, slowest refused schema (goal 50): {}", slowest.1);
        report.single(&what, "ms", &[slowest.0]);
    }
    Ok(())
}
