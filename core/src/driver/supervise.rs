//! Supervision: how long a partition that can not work is left alone before it is tried again.
//!
//! Owns the backoff and what is answered meanwhile. Refuses to know why something failed beyond
//! what clients may be told. A host keeps one [`Supervision`] per partition, asks it before each
//! batch, before the system's own work, checkpoints and pages, and tells it afterwards: a partition
//! that fails over and over then costs its neighbours next to nothing.
//!
//! A command that traps is no trouble in this sense: it is answered, and its batch-mates go on. Nor
//! is a command of the system that can not be done now: clients are served, it alone waits.

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

/// How it went with a partition since its supervision was told last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// What kept it from working, if anything did.
    pub trouble: Option<Trouble>,
    /// It is open.
    pub open: bool,
    /// Something was stored, after that trouble.
    pub stored: bool,
    /// Failures that were no trouble to all.
    pub failures: u32,
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
    /// Something was tried. A full store is found to have room again by storing something, and
    /// nothing else: reads tell nothing of that.
    pub fn ended(&mut self, ran: Ran, now_micros: u64) {
        self.restarts = self.restarts.saturating_add(ran.failures.into());
        let Some(trouble) = ran.trouble else {
            let well = if self.trouble == Some(Trouble::Full) { ran.stored } else { ran.open };
            if well {
                self.trouble = None;
                self.up_since_micros.get_or_insert(now_micros);
            }
            return;
        };
        let up = self.up_since_micros.take().map(|since| now_micros.saturating_sub(since));
        if up.is_some_and(|micros| micros >= STAYED_UP_MICROS) {
            self.failures = 0;
        }
        let wait = WAIT_MICROS.saturating_mul(1_u64 << self.failures.min(16)).min(WAIT_MICROS_MAX);
        self.trouble = Some(trouble);
        self.failures = self.failures.saturating_add(1);
        self.restarts = self.restarts.saturating_add(1);
        self.until_micros = now_micros.saturating_add(wait);
    }

    /// How long nothing but what clients ask for is tried; nothing when it may be.
    pub fn waits(&self, now_micros: u64) -> Option<u64> {
        let left = self.until_micros.saturating_sub(now_micros);
        self.trouble.filter(|_| left > 0).map(|_| left)
    }

    /// Whether nothing can be read of it now.
    pub fn closed(&self, now_micros: u64) -> bool {
        self.waits(now_micros).is_some() && self.trouble != Some(Trouble::Full)
    }

    /// What does not work although its guest does, for `GET /health`.
    pub fn reason(&self) -> Option<&'static str> {
        let full = self.trouble == Some(Trouble::Full);
        full.then_some("the store is full: commands are refused, reads go on")
    }

    /// Failures since the process began.
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
        let (Some(trouble), Some(left)) = (self.trouble, self.waits(now_micros)) else {
            return run(requests);
        };
        let restarts = self.restarts;
        // A batch may mix both: answers of what is run fill the gaps.
        let mut refused = Vec::with_capacity(requests.len());
        let mut passed = Vec::new();
        for request in requests {
            let reply = refuse((trouble, restarts), (partition, host), &request, left);
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
    (trouble, restarts): (Trouble, u64),
    of: (&str, &str),
    request: &OwnedRequest,
    left_micros: u64,
) -> Option<Reply> {
    let mut reply = match trouble {
        Trouble::Full if request.is_read() => return None,
        Trouble::Full => Reply::problem(
            Code::StorageFull,
            "the store is full; the command was not done, reads go on",
        ),
        Trouble::Closed(reason) if request.is_health() => unhealthy(reason, of, restarts),
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
pub(super) fn unhealthy(reason: &str, (partition, host): (&str, &str), restarts: u64) -> Reply {
    let mut body = String::from("{\"status\":\"unhealthy\",\"reasons\":[");
    push_string(&mut body, &format!("the partition is restarting: {reason}"));
    body.push_str("],\"consumers\":0,\"runningDispatchers\":[],\"partition\":");
    push_string(&mut body, partition);
    body.push_str(",\"position\":null,\"hash\":null,\"guest\":null,\"host\":");
    push_string(&mut body, host);
    body.push_str(&format!(",\"restarts\":{restarts}}}"));
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

    const OPEN: Ran = Ran { trouble: None, open: true, stored: false, failures: 0 };

    const fn closed(reason: &'static str) -> Ran {
        Ran { trouble: Some(Trouble::Closed(reason)), open: false, stored: false, failures: 0 }
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
            supervision.ended(closed("it trapped"), now);
            let wait = (WAIT_MICROS << n).min(WAIT_MICROS_MAX);
            assert_eq!(statuses(&supervision, now + wait - 1), [503; 3], "{n}");
            now += wait;
            assert_eq!(statuses(&supervision, now), [404; 3], "{n}");
        }
        // Worked, but not for long: the wait goes on growing.
        supervision.ended(OPEN, now);
        supervision.ended(closed("again"), now + STAYED_UP_MICROS - 1);
        now += STAYED_UP_MICROS - 1;
        assert_eq!(statuses(&supervision, now + WAIT_MICROS_MAX - 1), [503; 3]);
        now += WAIT_MICROS_MAX;
        supervision.ended(OPEN, now);
        now += STAYED_UP_MICROS;
        supervision.ended(closed("again"), now);
        assert_eq!(statuses(&supervision, now + WAIT_MICROS), [404; 3]);
        assert_eq!(supervision.restarts(), 14);
    }

    #[test]
    fn a_full_store_refuses_commands_alone() {
        let mut supervision = Supervision::default();
        supervision.ended(Ran { trouble: Some(Trouble::Full), ..OPEN }, 5);
        assert_eq!(statuses(&supervision, 5), [404, 507, 404]);
        supervision.ended(OPEN, 6);
        assert_eq!(statuses(&supervision, 6), [404, 507, 404], "a read tells nothing");
        assert!(supervision.reason().is_some() && !supervision.closed(6));
        assert_eq!(statuses(&supervision, 5 + WAIT_MICROS), [404; 3], "it is tried again");
        assert!(supervision.reason().is_some(), "and still said to be full");
        supervision.ended(Ran { stored: true, ..OPEN }, 7);
        assert_eq!(statuses(&supervision, 7), [404; 3], "it stored something");
        assert_eq!(supervision.reason(), None);
    }

    #[test]
    fn nothing_that_was_not_tried_ends_a_wait() {
        let mut supervision = Supervision::default();
        supervision.ended(closed("it trapped"), 0);
        supervision.ended(Ran::default(), 1);
        assert_eq!(supervision.waits(1), Some(WAIT_MICROS - 1));
        assert!(supervision.closed(1));
        supervision.ended(Ran { failures: 2, ..OPEN }, 2);
        assert_eq!((supervision.waits(2), supervision.restarts()), (None, 3));
    }

    #[test]
    fn health_tells_the_reason_and_when_to_ask_again() {
        let mut supervision = Supervision::default();
        for _ in 0..6 {
            supervision.ended(closed("the guest trapped"), 0);
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
