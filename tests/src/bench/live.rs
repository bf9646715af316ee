//! Live readers of the native host: how soon they see a commit, and what a thousand of them cost
//! that wait, or follow.
//!
//! Owns the readers and the turns: commands beside them, then alone, and so on. Goals are printed
//! with the figures; nothing here passes or fails.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foldlog_tests::client::{Client, Request};
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::live::{Follower, Heard, Transport};

use super::load::{Load, Until, deposit_request, open_accounts, run as run_load};
use super::report::{Pair, Report};
use super::{ACCOUNTS, Failure};

/// How long one turn lasts.
const TURN: Duration = Duration::from_secs(2);
/// Requests before a turn is measured.
const WARM_UP: u64 = 100;
/// Clients that command beside the readers.
const COMMANDING: usize = 4;
const READERS: usize = 1_000;
/// Commands whose way to a reader is measured.
const SEEN: usize = 1_000;

/// Measures the native host.
pub fn run(report: &mut Report) -> Result<(), Failure> {
    let host = Setup::new(Kind::Native).start();
    open_accounts(host.address(), 64, ACCOUNTS)?;
    for (name, transport) in [("SSE", Transport::Sse), ("WebSocket", Transport::Ws)] {
        let mut times = delays(host.address(), transport)?;
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(f64::NAN);
        report.single(&format!("command sent to {name} reader, p50 (goal 5)"), "ms", &[at(50)]);
        report.single(&format!("command sent to {name} reader, p99"), "ms", &[at(99)]);
    }
    for (name, filter) in [("idle readers", "?correlationId=nobody"), ("readers of all events", "")]
    {
        let mut grown = Vec::new();
        let pair = Pair::measure(
            || {
                let before = resident_mb(&host);
                let readers = Readers::new(host.address(), filter)?;
                grown.push(resident_mb(&host) - before);
                let p99 = turn(host.address());
                drop(readers);
                p99
            },
            || turn(host.address()),
        )?;
        let of = format!("command p99 beside {READERS} {name} / alone (goal for idle ones 1.5)");
        report.pair(&of, "µs", &pair);
        report.single(&format!("memory for {READERS} {name} (goal 50)"), "MB", &grown);
    }
    Ok(())
}

/// Milliseconds from sending a command to reading its event, one command at a time.
fn delays(address: SocketAddr, transport: Transport) -> Result<Vec<f64>, Failure> {
    let mut reader = Follower::open(address, transport, "", "", None)?;
    let mut client = Client::new(address);
    let mut times = Vec::with_capacity(SEEN);
    let body = r#"{"accountId":"acc-00000007","amount":1}"#;
    for _ in 0..SEEN {
        let sent = Instant::now();
        let done = client.send(&Request::post("/commands/deposit", body))?.json();
        let position = done["position"].as_u64();
        loop {
            match reader.next(Duration::from_secs(10)) {
                Some(Heard::Event { id, .. }) if Some(id) == position => break,
                Some(Heard::End(_)) | None => return Err("the reader saw no event".into()),
                Some(_) => {}
            }
        }
        times.push(sent.elapsed().as_secs_f64() * 1e3);
        // One that comes right after another waits until readers had their rest.
        thread::sleep(Duration::from_millis(2));
    }
    Ok(times)
}

fn turn(addr: SocketAddr) -> Result<f64, Failure> {
    let until = Until::Elapsed(TURN);
    let load = Load { addr, connections: COMMANDING, until, warm_up_requests: WARM_UP };
    let measured = run_load(load, |i, out| deposit_request(i * 7_919 % ACCOUNTS, 1, out))?;
    match measured.first_refusal {
        None => Ok(f64::from(measured.p99_us)),
        Some(text) => Err(format!("a command was refused: {text}").into()),
    }
}

/// Many connections that follow; one thread reads whatever comes and throws it away.
struct Readers {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Readers {
    fn new(address: SocketAddr, filter: &str) -> Result<Self, Failure> {
        let request = Request::get(&format!("/events/live{filter}")).bytes();
        let mut streams = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&request)?;
            // The head: it follows by then.
            let mut head = [0; 1_024];
            if stream.read(&mut head)? == 0 {
                return Err("a reader was refused".into());
            }
            stream.set_nonblocking(true)?;
            streams.push(stream);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut bytes = vec![0; 1 << 16];
            while !stopped.load(Ordering::Relaxed) {
                for stream in &mut streams {
                    while stream.read(&mut bytes).is_ok_and(|count| count == bytes.len()) {}
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(thread::JoinHandle::join);
        // The host notices that they are gone.
        thread::sleep(Duration::from_millis(300));
    }
}

/// Memory of the process that is in use, in megabytes.
fn resident_mb(host: &Host) -> f64 {
    let path = format!("/proc/{}/status", host.pid().unwrap_or_default());
    let status = fs::read_to_string(path).unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = kib.and_then(|kib| kib.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}
