//! The peer's process: starts `workerd` on a hand-written Worker (`bench/peer`, `bench/least`), waits
//! until it answers, kills it when dropped.
//!
//! Owns: the child process, its port and its log file. Refuses to know: where the `workerd`
//! binary comes from, what is measured, and how the Worker stores anything.
//!
//! Invariant: no workerd outlives its [`Peer`]; the data directory stays, for whoever wants to look.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long workerd may take to answer; it needs about 0.3 s.
const READY_MAX: Duration = Duration::from_secs(15);
/// How long one probe waits for its answer.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// A running peer.
pub struct Peer {
    child: Child,
    addr: SocketAddr,
}

impl Peer {
    /// Starts `workerd` (a path to the binary itself: npm's wrapper script would be the process
    /// that is killed, and workerd would stay) on `config` with its state under `data`.
    ///
    /// # Errors
    /// The binary does not start, or does not answer within 15 s; the text quotes its log.
    pub fn start(workerd: &Path, config: &Path, data: &Path) -> io::Result<Self> {
        let state = data.join("state");
        std::fs::create_dir_all(&state)?;
        // workerd resolves the disk service against its own working directory.
        let state = state.canonicalize()?;
        let log = data.join("workerd.log");
        let out = File::create(&log)?;
        let addr = free_address()?;
        let child = Command::new(workerd)
            .arg("serve")
            .arg(config)
            .arg(format!("--socket-addr=http={addr}"))
            .arg(format!("--directory-path=state={}", state.display()))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        // From here on `Drop` cleans up, also when the wait below fails.
        let mut peer = Self { child, addr };
        peer.wait_until_ready().map_err(|error| {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            io::Error::new(error.kind(), format!("workerd: {error}; its log: {text}"))
        })?;
        Ok(peer)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Probes until a request that goes through the object is answered, which also creates the
    /// tables, so that the first measured request does not pay for them.
    fn wait_until_ready(&mut self) -> io::Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("ended with {status}")));
            }
            match probe(self.addr) {
                Ok(()) => return Ok(()),
                Err(error) if started.elapsed() > READY_MAX => return Err(error),
                Err(_not_yet) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SIGKILL: workerd waits for open connections on SIGTERM. Both results are ignored since
        // a process that already ended is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A free port of the loopback interface. It is given back before workerd takes it; on a machine
/// that runs one bench, nobody else asks in between.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Asks for an account that does not exist; 404 from the object means that all of it works.
fn probe(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&addr, PROBE_MAX)?;
    stream.set_read_timeout(Some(PROBE_MAX))?;
    stream.write_all(
        b"GET /queries/account/none HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n",
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 404") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("unexpected answer {text:?}")))
}
