//! The form of a transcript: requests and answers as text, in blocks separated by empty lines.
//!
//! ```text
//! # why this is asked
//! * 1..3                        the next request once for each n, `${n}` standing for it
//! POST /commands/deposit {"accountId":"a","amount":5}
//! Idempotency-Key: k-${n}
//! > 422 insufficient-funds      status and code: written by hand, never by a recording
//! > Content-Type: application/problem+json
//! >> {"type":"urn:foldlog:…"}
//! ```
//!
//! A body on the request's line is JSON unless a header says otherwise; `| ` goes on with the body
//! on a new line; `Content-Type:` without a value sends none. `${x*128}` stands for 128 times `x`.
//! `<< /log/export 2..3` is a body of these lines of what a `GET` answers just then, `| ` after it
//! goes on with lines of its own.
//! A repeated request has no recorded answer but its status, and all of them have that one.
//! Owns reading and writing that form. Refuses to know who answers.

use foldlog_tests::client::Request;

/// One request of a transcript.
#[derive(Clone, Debug)]
pub struct Step {
    /// Comment lines, kept as they are.
    pub comments: Vec<String>,
    /// First and last n of a repeated request.
    pub repeat: Option<(u64, u64)>,
    /// The request's own lines, kept as they are.
    pub lines: Vec<String>,
    /// Expected status, and code of a problem.
    pub status: (u16, String),
    /// What a recording wrote: headers, then body lines, with their marks.
    pub recorded: Vec<String>,
}

/// Reads a transcript.
///
/// # Panics
/// When a block has not this form: the transcript is part of the test.
pub fn parse(name: &str, text: &str) -> Vec<Step> {
    let blocks = text.split("\n\n").map(str::trim_end).filter(|block| !block.trim().is_empty());
    blocks.map(|block| parse_step(name, block)).collect()
}

fn parse_step(name: &str, block: &str) -> Step {
    let mut step = Step {
        comments: Vec::new(),
        repeat: None,
        lines: Vec::new(),
        status: (0, String::new()),
        recorded: Vec::new(),
    };
    for line in block.trim_start_matches('\n').lines() {
        if step.lines.is_empty() && line.starts_with('#') {
            step.comments.push(line.into());
        } else if let Some(range) = line.strip_prefix("* ") {
            let bounds =
                range.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            step.repeat = Some(bounds.unwrap_or_else(|| panic!("{name}: {line}")));
        } else if line.starts_with(">>") || (line.starts_with("> ") && step.status.0 != 0) {
            step.recorded.push(line.into());
        } else if let Some(status) = line.strip_prefix("> ") {
            let (number, code) = status.split_once(' ').unwrap_or((status, ""));
            let number = number.parse().unwrap_or_else(|_| panic!("{name}: {line}"));
            step.status = (number, code.into());
        } else {
            step.lines.push(line.into());
        }
    }
    assert!(step.status.0 != 0 || step.lines.is_empty(), "{name}: no `> status`: {block}");
    step
}

/// Writes a transcript as [`parse`] reads it.
pub fn print(steps: &[Step]) -> String {
    let mut out = String::new();
    for step in steps {
        let repeat = step.repeat.map(|(first, last)| format!("* {first}..{last}"));
        let (status, code) = &step.status;
        let status = (*status != 0).then(|| format!("> {status} {code}").trim_end().to_string());
        let lines = step.comments.iter().chain(&repeat).chain(&step.lines).chain(&status);
        for line in lines.chain(&step.recorded) {
            out.push_str(line);
            out.push('\n');
        }
        out.push('\n');
    }
    out.pop();
    out
}

impl Step {
    /// The request for one n.
    pub fn request(&self, n: u64) -> Request {
        let mut lines = self.lines.iter().map(|line| expand(line, n));
        let first = lines.next().unwrap_or_default();
        let mut parts = first.splitn(3, ' ');
        let mut part = || parts.next().unwrap_or_default().to_string();
        let (method, target, mut body) = (part(), part(), part());
        let mut headers = Vec::new();
        for line in lines.filter(|line| !line.starts_with(SOURCE)) {
            if let Some(more) = line.strip_prefix("| ") {
                body.push('\n');
                body.push_str(more);
            } else if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_string(), value.trim().to_string()));
            }
        }
        let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !body.is_empty() && !typed {
            headers.push(("Content-Type".into(), "application/json".into()));
        }
        headers.retain(|(name, value)| !(name == "Content-Type" && value.is_empty()));
        Request { method, target, headers, body: body.into_bytes() }
    }

    /// What the body is to be read from first: target, and the first and last line.
    pub fn sources(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.lines.iter().filter_map(|line| line.strip_prefix(SOURCE)).map(|source| {
            let (target, range) = source.split_once(' ').unwrap_or((source, ".."));
            let (first, last) = range.split_once("..").unwrap_or((range, range));
            (target, first.parse().unwrap_or(1), last.parse().unwrap_or(usize::MAX))
        })
    }
}

const SOURCE: &str = "<< ";

/// `${n}` and `${text*times}`.
fn expand(line: &str, n: u64) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("${") {
        let (macro_, tail) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(before);
        match macro_.split_once('*') {
            Some((text, times)) => out.push_str(&text.repeat(times.parse().unwrap_or(0))),
            None => out.push_str(&n.to_string()),
        }
        rest = tail;
    }
    out + rest
}
