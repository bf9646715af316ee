//! Supervision: how long a partition that can not work is left alone before it is tried again.
//!
//! Owns the backoff and what is answered meanwhile. Refuses to know why something failed beyond
//! what clients may be told. A host keeps one [`Supervision`] per open partition, asks it before
//! each batch and tells it afterwards: a partition that fails over and over then costs its
//! neighbours next to nothing.
//!
//! A command that traps is no trouble in this sense: it is answered, and its batch-mates go on.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{OwnedRequest, Reply};
use crate::errors::Code;
use crate::json::push_string;
use crate::protocol::Response;

/// The wait after the first failure; it doubles up to the longest.
pub const WAIT_MICROS: u64 = 100_000;
/// The longest wait.
pub const WAIT_MICROS_MAX: u64 = 30_000_000;
/// A partition that worked for this long starts with the shortest wait again.
pub const STAYED_UP_MICROS: u64 = 30_000_000;

/// What keeps a partition from working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does not open: nothing can be answered. What clients are told of it.
    Closed(&'static str),
    /// Its store has no room: commands can not be done, reads go on.
    Full,
}

/// The failures of one partition, and when it is tried again. All times are of a clock that never
/// goes back.
#[derive(Clone, Debug, Default)]
pub struct Supervision {
    trouble: Option<Trouble>,
    /// Failures without a long enough time of work in between.
    failures: u32,
    /// Failures ever.
    restarts: u64,
    until_micros: u64,
    up_since_micros: Option<u64>,
}

impl Supervision {
    /// A batch is over: what kept the partition from working, if anything did.
    pub fn ended(&mut self, trouble: Option<Trouble>, now_micros: u64) {
        if trouble.is_none() {
            self.trouble = None;
            self.up_since_micros.get_or_insert(now_micros);
            return;
        }
        let up = self.up_since_micros.take().map(|since| now_micros.saturating_sub(since));
        if up.is_some_and(|micros| micros >= STAYED_UP_MICROS) {
            self.failures = 0;
        }
        let wait = WAIT_MICROS.saturating_mul(1_u64 << self.failures.min(16)).min(WAIT_MICROS_MAX);
        self.trouble = trouble;
        self.failures = self.failures.saturating_add(1);
        self.restarts = self.restarts.saturating_add(1);
        self.until_micros = now_micros.saturating_add(wait);
    }

    /// Failures since the partition was opened by this process.
    pub const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// What keeps it from working, as far as the last batch knew.
    pub const fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }

    /// Runs what may be run now, and answers the rest by itself. Replies are in order.
    ///
    /// `partition` and `host` are for `GET /health`.
    pub fn run(
        &self,
        (partition, host): (&str, &str),
        requests: Vec<OwnedRequest>,
        now_micros: u64,
        run: impl FnOnce(Vec<OwnedRequest>) -> Vec<Reply>,
    ) -> Vec<Reply> {
        let left = self.until_micros.saturating_sub(now_micros);
        let Some(trouble) = self.trouble.filter(|_| left > 0) else { return run(requests) };
        // A batch may mix both: answers of what is run fill the gaps.
        let mut refused = Vec::with_capacity(requests.len());
        let mut passed = Vec::new();
        for request in requests {
            let reply = refuse(trouble, (partition, host), &request, left);
            if reply.is_none() {
                passed.push(request);
            }
            refused.push(reply);
        }
        let mut answers = if passed.is_empty() { Vec::new() } else { run(passed) }.into_iter();
        let lost = || Reply::problem(Code::Internal, "the input was lost");
        refused
            .into_iter()
            .map(|reply| reply.or_else(|| answers.next()).unwrap_or_else(lost))
            .collect()
    }
}

/// The answer to a request that is not run; nothing for one that can be.
fn refuse(
    trouble: Trouble,
    (partition, host): (&str, &str),
    request: &OwnedRequest,
    left_micros: u64,
) -> Option<Reply> {
    let mut reply = match trouble {
        Trouble::Full if request.is_read() => return None,
        Trouble::Full => Reply::problem(
            Code::StorageFull,
            "the store is full; the command was not done, reads go on",
        ),
        Trouble::Closed(reason) if request.is_health() => unhealthy(reason, partition, host),
        Trouble::Closed(reason) => Reply::problem(
            Code::Restarting,
            &format!("the partition is restarting ({reason}); nothing was done"),
        ),
    };
    let seconds = left_micros.div_ceil(1_000_000).to_string();
    let headers = &mut reply.response.headers;
    headers.retain(|(name, _)| name != "Retry-After");
    headers.push(("Retry-After".into(), seconds));
    Some(reply)
}

/// `GET /health` of a partition whose guest can not be asked.
pub(super) fn unhealthy(reason: &str, partition: &str, host: &str) -> Reply {
    let mut body = String::from("{\"status\":\"unhealthy\",\"reasons\":[");
    push_string(&mut body, &format!("the partition is restarting: {reason}"));
    body.push_str("],\"consumers\":0,\"runningDispatchers\":[],\"partition\":");
    push_string(&mut body, partition);
    body.push_str(",\"position\":null,\"hash\":null,\"guest\":null,\"host\":");
    push_string(&mut body, host);
    body.push('}');
    let headers = alloc::vec![("Content-Type".into(), "application/json".into())];
    let response = Response { status: 503, headers, body: body.into_bytes() };
    Reply::of(response)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::OwnedBody;
    use super::*;

    fn request(method: &str, target: &str) -> OwnedRequest {
        let (method, target) = (method.into(), target.into());
        OwnedRequest { method, target, headers: Vec::new(), body: OwnedBody::Whole(Vec::new()) }
    }

    fn echo(requests: Vec<OwnedRequest>) -> Vec<Reply> {
        let one = |_| Reply::problem(Code::NotFound, "run");
        requests.into_iter().map(one).collect()
    }

    fn statuses(supervision: &Supervision, now: u64) -> Vec<u16> {
        let all = vec![
            request("GET", "/stats"),
            request("POST", "/commands/deposit"),
            request("GET", "/p/x/health"),
        ];
        let replies = supervision.run(("x", "native"), all, now, echo);
        replies.iter().map(|reply| reply.response.status).collect()
    }

    #[test]
    fn waits_double_up_to_the_longest_and_start_again_after_work() {
        let mut supervision = Supervision::default();
        let mut now = 0;
        for n in 0..12 {
            supervision.ended(Some(Trouble::Closed("it trapped")), now);
            let wait = (WAIT_MICROS << n).min(WAIT_MICROS_MAX);
            assert_eq!(statuses(&supervision, now + wait - 1), [503; 3], "{n}");
            now += wait;
            assert_eq!(statuses(&supervision, now), [404; 3], "{n}");
        }
        // Worked, but not for long: the wait goes on growing.
        supervision.ended(None, now);
        supervision.ended(Some(Trouble::Closed("again")), now + STAYED_UP_MICROS - 1);
        now += STAYED_UP_MICROS - 1;
        assert_eq!(statuses(&supervision, now + WAIT_MICROS_MAX - 1), [503; 3]);
        now += WAIT_MICROS_MAX;
        supervision.ended(None, now);
        now += STAYED_UP_MICROS;
        supervision.ended(Some(Trouble::Closed("again")), now);
        assert_eq!(statuses(&supervision, now + WAIT_MICROS), [404; 3]);
        assert_eq!(supervision.restarts(), 14);
    }

    #[test]
    fn a_full_store_refuses_commands_alone() {
        let mut supervision = Supervision::default();
        supervision.ended(Some(Trouble::Full), 5);
        assert_eq!(statuses(&supervision, 5), [404, 507, 404]);
        assert_eq!(statuses(&supervision, 5 + WAIT_MICROS), [404; 3]);
        supervision.ended(None, 6);
        assert_eq!(statuses(&supervision, 6), [404; 3], "it worked");
    }

    #[test]
    fn health_tells_the_reason_and_when_to_ask_again() {
        let mut supervision = Supervision::default();
        for _ in 0..6 {
            supervision.ended(Some(Trouble::Closed("the guest trapped")), 0);
        }
        for target in ["/health", "/p/x/health", "/p/x/health?a=b"] {
            let replies = supervision.run(("x", "native"), vec![request("GET", target)], 1, echo);
            let response = &replies[0].response;
            let text = String::from_utf8_lossy(&response.body);
            assert!(text.contains("\"unhealthy\"") && text.contains("the guest trapped"), "{text}");
            assert!(response.headers.contains(&("Retry-After".into(), "4".into())), "{response:?}");
        }
    }
}
