//! The load generator: a closed loop of HTTP/1.1 requests over a fixed number of keep-alive
//! connections, on one thread, because it shares the processor with the server it measures.
//!
//! Owns: sockets, the clock around each request, percentiles, its own processor cost.
//! Refuses to know: what a request means, how the server was started, how results are printed.
//! The bank's two requests at the end are bytes like any other.
//!
//! Invariants: a connection has at most one request outstanding; a request counts only when its
//! whole answer was read; every request that was sent is waited for, so a run leaves the server
//! quiet; an answer other than 2xx counts as refused and never as throughput.

use std::cell::{Cell, RefCell};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

/// The longest answer that is accepted: a full page ends with the record that passes 1 MB.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// A server that is silent for this long has hung: the run fails instead of waiting for ever.
const RUN_SLACK: Duration = Duration::from_secs(30);

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this much time: no request starts later; the outstanding ones are awaited.
    Elapsed(Duration),
    /// After exactly this many requests.
    Requests(u64),
}

/// What a run is to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The server.
    pub addr: SocketAddr,
    /// Connections, each with one request outstanding.
    pub connections: usize,
    /// When it ends, counted from the end of the warm-up.
    pub until: Until,
    /// Requests sent and answered before anything is measured, by the same connections.
    pub warm_up_requests: u64,
}

/// What a run saw.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The first refused answer, head and body, so that a failed bench says why.
    pub first_refusal: Option<String>,
    /// Succeeded requests per second.
    pub per_s: f64,
    /// Median time from the first byte written to the last byte read.
    pub p50_us: u32,
    /// The 99th percentile of the same.
    pub p99_us: u32,
}

/// Runs one load and waits for it. `make` appends the bytes of request `i` (0, 1, 2, ... without
/// gaps, warm-up included) to an empty buffer; connections call it in the order they get free.
///
/// # Errors
/// Any failure of a socket, an answer that is not HTTP/1.1, or a server that stops answering.
pub fn run(load: Load, make: impl FnMut(u64, &mut Vec<u8>) + 'static) -> io::Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let make = Rc::new(RefCell::new(make));
    LocalSet::new().block_on(&runtime, async move {
        let mut connections = Vec::new();
        for _ in 0..load.connections {
            connections.push(Connection::open(load.addr).await?);
        }
        let next = Rc::new(Cell::new(0));
        if load.warm_up_requests > 0 {
            let warm_up = Until::Requests(load.warm_up_requests);
            let (phase, back) = drive(connections, warm_up, &next, &make).await?;
            phase.check_complete(load.warm_up_requests)?;
            connections = back;
        }
        let started = Instant::now();
        let (phase, _closed) = drive(connections, load.until, &next, &make).await?;
        let elapsed = started.elapsed();
        Ok(phase.summary(elapsed))
    })
}

/// Has the calling thread give way to all others. In use, clients run on machines of their own; here
/// they share processors with the host. Those whose requests are measured beside others' go first,
/// so that what is seen is what the host's work for the others costs, not what the others cost.
///
/// # Errors
/// When the system refuses.
pub fn give_way() -> io::Result<()> {
    let this = Some(rustix::thread::gettid());
    rustix::process::setpriority_process(this, 19).map_err(Into::into)
}

/// Sends requests on all connections until the phase ends; gives the connections back.
async fn drive<F>(
    connections: Vec<Connection>,
    until: Until,
    next: &Rc<Cell<u64>>,
    make: &Rc<RefCell<F>>,
) -> io::Result<(Phase, Vec<Connection>)>
where
    F: FnMut(u64, &mut Vec<u8>) + 'static,
{
    let started = Instant::now();
    let (budget, limit) = match until {
        Until::Requests(requests) => (requests, None),
        Until::Elapsed(duration) => (u64::MAX, Some(duration)),
    };
    let left = Rc::new(Cell::new(budget));
    let phase = Rc::new(RefCell::new(Phase::default()));
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let (left, phase) = (Rc::clone(&left), Rc::clone(&phase));
        let (next, make) = (Rc::clone(next), Rc::clone(make));
        tasks.spawn_local(async move {
            while left.get() > 0 && limit.is_none_or(|limit| started.elapsed() < limit) {
                left.set(left.get() - 1);
                let i = next.replace(next.get() + 1);
                connection.out.clear();
                (make.borrow_mut())(i, &mut connection.out);
                let sent = Instant::now();
                let status = connection.exchange().await?;
                phase.borrow_mut().count(status, sent.elapsed(), &connection);
            }
            Ok::<_, io::Error>(connection)
        });
    }
    let mut back = Vec::new();
    let mut seen = 0;
    while !tasks.is_empty() {
        match tokio::time::timeout(RUN_SLACK, tasks.join_next()).await {
            Ok(Some(joined)) => back.push(joined.map_err(io::Error::other)??),
            Ok(None) => break,
            // No connection ended for a while: fine as long as answers keep coming.
            Err(_elapsed) => {
                let now = phase.borrow().answers();
                if now == seen {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the server hangs"));
                }
                seen = now;
            }
        }
    }
    Ok((phase.take(), back))
}

/// What one phase has counted so far.
#[derive(Default)]
struct Phase {
    refused: u64,
    first_refusal: Option<String>,
    /// One entry per answer with 2xx. Kept whole and sorted at the end: exact percentiles for
    /// 4 bytes a request, and nothing to compute while the server is being measured.
    latencies_us: Vec<u32>,
}

impl Phase {
    /// Takes one answer in.
    fn count(&mut self, status: u16, latency: Duration, connection: &Connection) {
        if (200..300).contains(&status) {
            self.latencies_us.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        } else {
            self.refused += 1;
            self.first_refusal.get_or_insert_with(|| connection.answer_text());
        }
    }

    /// Answers so far.
    fn answers(&self) -> u64 {
        self.latencies_us.len() as u64 + self.refused
    }

    /// Fails unless every one of `requests` was answered with 2xx: a warm-up or an opening phase
    /// that was refused would make the measured phase meaningless.
    fn check_complete(&self, requests: u64) -> io::Result<()> {
        match &self.first_refusal {
            None if self.answers() == requests => Ok(()),
            None => Err(io::Error::other("a phase ended early")),
            Some(text) => {
                Err(io::Error::other(format!("{} requests refused, first: {text}", self.refused)))
            }
        }
    }

    /// Sorts the latencies and derives the figures.
    fn summary(mut self, elapsed: Duration) -> Measured {
        self.latencies_us.sort_unstable();
        let succeeded = self.latencies_us.len() as u64;
        Measured {
            per_s: succeeded as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
            p50_us: percentile(&self.latencies_us, 50),
            p99_us: percentile(&self.latencies_us, 99),
            first_refusal: self.first_refusal,
        }
    }
}

/// The smallest value that is not below `percent` percent of a sorted list; 0 for an empty one.
fn percentile(sorted: &[u32], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

/// One keep-alive connection and its two buffers, which are reused for every request.
struct Connection {
    stream: TcpStream,
    /// The request being sent.
    out: Vec<u8>,
    /// The answer; valid up to `filled`.
    answer: Vec<u8>,
    filled: usize,
}

impl Connection {
    async fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        // Requests are one write each; without this the kernel may hold them back.
        stream.set_nodelay(true)?;
        Ok(Self { stream, out: Vec::with_capacity(512), answer: vec![0; 8192], filled: 0 })
    }

    /// Sends `out` and reads the whole answer; gives the status.
    async fn exchange(&mut self) -> io::Result<u16> {
        self.stream.write_all(&self.out).await?;
        self.filled = 0;
        loop {
            if self.filled == self.answer.len() {
                if self.filled >= ANSWER_BYTES_MAX {
                    return Err(malformed("an answer over the limit"));
                }
                self.answer.resize(self.filled * 2, 0);
            }
            let read = self.stream.read(&mut self.answer[self.filled..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.filled += read;
            match parse_answer(&self.answer[..self.filled])? {
                Some((status, length)) if length == self.filled => return Ok(status),
                Some(_) => return Err(malformed("bytes after the answer")),
                None => {}
            }
        }
    }

    /// The latest answer as text.
    fn answer_text(&self) -> String {
        String::from_utf8_lossy(&self.answer[..self.filled]).into_owned()
    }
}

/// The status and total length of an answer, or `None` while it is incomplete. Knows as much of
/// HTTP as a bench needs: `Content-Length`, else `chunked` without trailers, else no body.
fn parse_answer(bytes: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let Some(head_end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = &bytes[..head_end];
    let body_start = head_end + 4;
    let status = match head {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', digits @ ..] => number(digits, 10),
        _ => None,
    };
    let Some(status) = status.and_then(|status| u16::try_from(status).ok()) else {
        return Err(malformed("no HTTP/1.1 status line"));
    };
    if let Some(value) = header(head, b"content-length") {
        let length = number(value, 10).ok_or_else(|| malformed("bad Content-Length"))?;
        let end = body_start.saturating_add(length);
        return Ok((bytes.len() >= end).then_some((status, end)));
    }
    if header(head, b"transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case(b"chunked")) {
        return Ok(chunked_end(bytes, body_start)?.map(|end| (status, end)));
    }
    Ok(Some((status, body_start)))
}

/// Where a chunked body that starts at `at` ends, or `None` while it is incomplete.
fn chunked_end(bytes: &[u8], mut at: usize) -> io::Result<Option<usize>> {
    loop {
        let Some(rest) = bytes.get(at..) else { return Ok(None) };
        let Some(line) = find(rest, b"\r\n") else { return Ok(None) };
        let size = number(&rest[..line], 16).ok_or_else(|| malformed("bad chunk size"))?;
        // Each chunk is followed by an empty line; the last one is empty itself.
        at = at.saturating_add(line).saturating_add(size).saturating_add(4);
        if size == 0 {
            return Ok((bytes.len() >= at).then_some(at));
        }
    }
}

/// The value of header `name` (given in lower case), without surrounding spaces.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|&byte| byte == b'\n').find_map(|line| {
        let (key, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        key.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// The number that `digits` starts with in `radix`.
fn number(digits: &[u8], radix: u32) -> Option<usize> {
    let end = digits.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(digits.len());
    usize::from_str_radix(std::str::from_utf8(&digits[..end]).ok()?, radix).ok()
}

/// Where `needle` first occurs.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// An answer that breaks the protocol.
fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Opens accounts 0 to `accounts` over `connections` connections, each with a balance of 0.
///
/// # Errors
/// As for [`run`], and when any opening is refused.
pub fn open_accounts(addr: SocketAddr, connections: usize, accounts: u64) -> io::Result<Measured> {
    let until = Until::Requests(accounts);
    let measured = run(Load { addr, connections, until, warm_up_requests: 0 }, open_request)?;
    match &measured.first_refusal {
        None => Ok(measured),
        Some(text) => Err(io::Error::other(format!("an account was not opened: {text}"))),
    }
}

/// Appends the request that opens account `account`.
pub fn open_request(account: u64, out: &mut Vec<u8>) {
    let body = format!("{{\"accountId\":\"acc-{account:08}\",\"initialBalance\":0}}");
    post(out, "/commands/open-account", &body);
}

/// Appends a deposit to account `account`.
pub fn deposit_request(account: u64, amount: u64, out: &mut Vec<u8>) {
    let body = format!("{{\"accountId\":\"acc-{account:08}\",\"amount\":{amount}}}");
    post(out, "/commands/deposit", &body);
}

/// Appends the request that reads `target`.
pub fn get_request(target: &str, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n");
}

/// Appends a POST of JSON.
fn post(out: &mut Vec<u8>, path: &str, body: &str) {
    // Writing to a vector cannot fail.
    let _ = write!(
        out,
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
}

#[cfg(test)]
mod tests {
    use super::{chunked_end, parse_answer, percentile};

    #[test]
    fn an_answer_is_complete_at_its_last_byte_and_not_before() {
        let plain = b"HTTP/1.1 201 Created\r\ncontent-LENGTH: 2\r\n\r\nok".as_slice();
        let chunked = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nA;x=y\r\n\
            0123456789\r\n0\r\n\r\n";
        for answer in [plain, chunked] {
            for end in 0..answer.len() {
                assert_eq!(parse_answer(&answer[..end]).ok(), Some(None), "cut at {end}");
            }
            assert_eq!(parse_answer(answer).ok(), Some(Some((201, answer.len()))));
        }
        assert!(parse_answer(b"SSH-2.0\r\n\r\n").is_err());
        assert!(chunked_end(b"zz\r\n", 0).is_err());
    }

    #[test]
    fn percentiles_are_values_of_the_list() {
        let list: Vec<u32> = (1..=200).collect();
        assert_eq!((percentile(&list, 50), percentile(&list, 99)), (100, 198));
        assert_eq!((percentile(&[7], 99), percentile(&[], 50)), (7, 0));
    }
}
