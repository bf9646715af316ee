//! `foldlog push`: a log into an empty partition of a host, in parts.
//!
//! Owns the order of parts, and going on after a break: where the import stands there is asked, not
//! remembered. Refuses to take over an unfinished import of another log, and whatever is no empty
//! partition. What is pushed is held there until it is resumed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use foldlog_core::chain::hex;
use foldlog_core::limits::INTEGER_MAX;
use hyper::StatusCode;
use serde::Deserialize;

use super::import::Taken;
use super::parts::{self, Part};
use crate::cli::{Push, print};
use crate::harness::chain;
use crate::harness::progress::Progress;
use crate::harness::source::Source;
use crate::json::Object;
use crate::remote::{Remote, detail};

/// How often a part is sent again that was not answered, and how much later.
const TRIES: u32 = 6;
const AGAIN: Duration = Duration::from_secs(1);

/// What a refusal says for programs.
#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    position: Option<u64>,
}

/// What a host said to a part.
enum Answer {
    Taken(Taken),
    /// No answer, or none that counts: it may be sent again.
    Again(String),
    Refused(Problem, String),
}

struct Pusher<'a> {
    remote: Remote,
    source: &'a Source,
    genesis: &'a str,
    progress: Progress,
}

/// Pushes it and prints what came of it.
pub fn run(push: &Push) -> Result<ExitCode, String> {
    let source = Source::open(&push.file, "main")?;
    let genesis = parts::check(&source)?;
    // Told before anything is sent: a host would find it only at the end of a long way.
    let checked = chain::check(&source, None)?;
    if let Some(broken) = checked.broken {
        let (position, detail) = (broken.position, broken.detail);
        eprintln!("foldlog: {}: broken at position {position}: {detail}", source.path.display());
        return Ok(ExitCode::FAILURE);
    }
    let remote = Remote::new(&push.url, push.partition.as_deref(), &push.key)?;
    let progress = Progress::new(checked.position);
    let pusher = Pusher { remote, source: &source, genesis: &genesis, progress };
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    let (from, taken) = runtime.block_on(pusher.all(push.anew))?;
    pusher.progress.end();
    let base = &pusher.remote.base;
    if (taken.position, taken.hash.as_str()) != (checked.position, &hex(&checked.hash)) {
        let there = format!("{}:{}", taken.position, taken.hash);
        eprintln!("foldlog: {base}: it holds another log now, up to {there}");
        return Ok(ExitCode::FAILURE);
    }
    let seconds = started.elapsed().as_secs_f64();
    let head = format!("{}:{}", taken.position, taken.hash);
    if push.json {
        let object = Object::default().token("ok", true).text("url", base).token("from", from);
        let object = object.token("position", taken.position).text("head", &head);
        print(&object.token("seconds", format!("{seconds:.3}")).end());
    } else {
        let events = taken.position - from.min(taken.position);
        print(&format!("pushed    {base}: {events} events in {seconds:.3} s, head {head}"));
        print(&format!("held      until `POST {base}/effects/resume`"));
    }
    Ok(ExitCode::SUCCESS)
}

impl Pusher<'_> {
    /// All parts, from where the import stands; where that was, and what the last part came to.
    async fn all(&self, anew: bool) -> Result<(u64, Taken), String> {
        let mut after = if anew { None } else { self.stands_at().await? };
        let from = after.unwrap_or(0);
        let mut tries = 0;
        loop {
            let Part { bytes, last, complete } = parts::part(self.source, self.genesis, after)?;
            let query = after.map_or_else(String::new, |after| format!("after={after}&"));
            let path = format!("/log/import?{query}complete={complete}");
            match self.send(&path, bytes).await {
                Answer::Taken(taken) if complete => return Ok((from, taken)),
                Answer::Taken(_) => {
                    (after, tries) = (Some(last), 0);
                    self.progress.at(last);
                }
                // Its answer was lost: the log is there.
                Answer::Refused(problem, _) if tries > 0 && problem.is("not-empty") => {
                    let head = self.remote.head().await?;
                    return Ok((from, Taken { position: head.position, hash: head.hash }));
                }
                Answer::Refused(_, why) if after.is_some() && !anew && last_tried(from, after) => {
                    return Err(format!(
                        "{}: {why}; if what stands there is of another log, --anew gives that up",
                        self.remote.base
                    ));
                }
                Answer::Refused(_, why) => return Err(format!("{}: {why}", self.remote.base)),
                Answer::Again(why) if tries + 1 >= TRIES => {
                    return Err(format!("{}: {why}; push again to go on", self.remote.base));
                }
                Answer::Again(_) => {
                    tries += 1;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Where an unfinished import stands there, if there is one. Nothing can be sent behind the last
    /// position of all, and the refusal of it tells.
    async fn stands_at(&self) -> Result<Option<u64>, String> {
        let path = format!("/log/import?after={INTEGER_MAX}");
        let mut tries = 0;
        loop {
            return match self.send(&path, Vec::new()).await {
                Answer::Refused(problem, _) if problem.is("in-progress") => Ok(problem.position),
                Answer::Again(_) if tries + 1 < TRIES => {
                    tries += 1;
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                Answer::Refused(_, why) | Answer::Again(why) => {
                    Err(format!("{}: {why}", self.remote.base))
                }
                Answer::Taken(_) => Err("the host took in what can not be".into()),
            };
        }
    }

    async fn send(&self, path: &str, bytes: Vec<u8>) -> Answer {
        let (status, body) = match self.remote.post_lines(path, bytes).await {
            Ok(answer) => answer,
            Err(why) => return Answer::Again(why),
        };
        match status {
            StatusCode::OK => match serde_json::from_slice(&body) {
                Ok(taken) => Answer::Taken(taken),
                Err(e) => Answer::Again(format!("its answer can not be read: {e}")),
            },
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Answer::Again(detail(status, &body))
            }
            status => {
                let problem = serde_json::from_slice(&body).unwrap_or_default();
                Answer::Refused(problem, detail(status, &body))
            }
        }
    }
}

/// Whether it is the first part behind what was there.
fn last_tried(from: u64, after: Option<u64>) -> bool {
    after == Some(from)
}

impl Problem {
    fn is(&self, code: &str) -> bool {
        self.kind.strip_prefix("urn:foldlog:") == Some(code)
    }
}
