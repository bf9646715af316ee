//! A server that outside calls go to: stands where SendGrid would, and answers as it is told.
//!
//! Owns sockets on this machine, and what it heard. Refuses to know what is expected of a call.
//!
//! Each connection has a thread of its own. One that hangs or never ends holds nobody else up, and
//! all of them end with the receiver or with the caller.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// This status and body.
    Status(u16, String),
    /// A redirect to this path of its own.
    Redirect(&'static str),
    /// A body without end, after this status.
    Endless(u16),
    /// Nothing, for ever.
    Nothing,
    /// The beginning of an answer.
    Cut,
    /// An answer that never gets far: a byte of its head now and then.
    Trickle,
}

/// A request that it heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Method and path.
    pub line: String,
    /// The value of `Authorization`.
    pub authorization: String,
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature`.
    pub signed: [String; 3],
    /// Its body.
    pub body: String,
}

impl Heard {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The id of the effect, as emails have it.
    pub fn effect_id(&self) -> String {
        self.json()["custom_args"]["effect_id"].as_str().unwrap_or_default().to_string()
    }

    /// The address, as emails have it.
    pub fn to(&self) -> String {
        let to = &self.json()["personalizations"][0]["to"][0]["email"];
        to.as_str().unwrap_or_default().to_string()
    }
}

/// Says what to answer: to this request, which is the n-th with this body, from 1.
type Script = dyn Fn(&Heard, usize) -> Say + Send + Sync;

struct Shared {
    script: Box<Script>,
    heard: Mutex<Vec<Heard>>,
    one_more: Condvar,
    connections: AtomicU64,
    endless_bytes: AtomicU64,
    /// While it is closed no answer leaves.
    closed: AtomicBool,
    /// It resets every connection.
    resets: AtomicBool,
    ended: AtomicBool,
}

impl Shared {
    fn heard(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listening receiver; dropping it ends it.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Listens on a free port.
    ///
    /// # Panics
    /// When it can not.
    pub fn start(script: impl Fn(&Heard, usize) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.unwrap_or_else(|e| panic!("no receiver: {e}"));
        let address = listener.local_addr().unwrap_or_else(|e| panic!("no receiver: {e}"));
        let shared = Arc::new(Shared {
            script: Box::new(script),
            heard: Mutex::default(),
            one_more: Condvar::new(),
            connections: AtomicU64::new(0),
            endless_bytes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            resets: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let of_thread = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.ended.load(Ordering::SeqCst) {
                    return;
                }
                of_thread.connections.fetch_add(1, Ordering::SeqCst);
                let (shared, Ok(stream)) = (of_thread.clone(), stream) else { continue };
                thread::spawn(move || {
                    // A caller that was killed is what tests are about.
                    let _ = serve(&shared, stream);
                });
            }
        });
        Self { address, shared }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that it heard, in order.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.heard().clone()
    }

    /// Waits until it has heard a request like this.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn wait_for(&self, when: &str, wanted: impl Fn(&Heard) -> bool) {
        let until = Instant::now() + Duration::from_secs(30);
        let mut heard = self.shared.heard();
        while !heard.iter().any(&wanted) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{when}: it was not called; it heard {}", heard.len());
            let woken = self.shared.one_more.wait_timeout(heard, left);
            heard = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Connections that anyone made.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes of endless bodies that callers took.
    pub fn endless_bytes(&self) -> u64 {
        self.shared.endless_bytes.load(Ordering::SeqCst)
    }

    /// From now on it hears new connections out and resets them.
    #[must_use]
    pub fn resetting(self) -> Self {
        self.shared.resets.store(true, Ordering::SeqCst);
        self
    }

    /// No answer leaves until it is opened again.
    pub fn close(&self, closed: bool) {
        self.shared.closed.store(closed, Ordering::SeqCst);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    if shared.resets.load(Ordering::SeqCst) {
        return reset(shared, stream);
    }
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream);
    loop {
        let Some(heard) = read(&mut reader)? else { return Ok(()) };
        let nth = {
            let mut all = shared.heard();
            all.push(heard.clone());
            shared.one_more.notify_all();
            all.iter().filter(|one| one.body == heard.body).count()
        };
        let say = (shared.script)(&heard, nth);
        while shared.closed.load(Ordering::SeqCst) && !shared.ended.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        let stream = reader.get_mut();
        match say {
            Say::Status(status, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\n");
                stream.write_all(format!("{head}X-Message-Id: m\r\n\r\n{body}").as_bytes())?;
            }
            Say::Redirect(path) => {
                let head = format!("HTTP/1.1 302 Found\r\nLocation: {path}\r\n");
                stream.write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes())?;
            }
            Say::Endless(status) => return endless(shared, stream, status),
            // Until the caller gives up.
            Say::Nothing => return reader.read(&mut [0]).map(|_| ()),
            Say::Cut => return cut(reader.into_inner()),
            Say::Trickle => return trickle(stream),
        }
    }
}

/// A gigabyte, or as much of it as anyone takes.
fn endless(shared: &Shared, stream: &mut TcpStream, status: u16) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n", 1 << 30);
    stream.write_all(head.as_bytes())?;
    stream.set_write_timeout(Some(Duration::from_secs(60)))?;
    for _ in 0..(1 << 30) / 65_536 {
        stream.write_all(&[b'x'; 65_536])?;
        shared.endless_bytes.fetch_add(65_536, Ordering::SeqCst);
    }
    Ok(())
}

/// A head that goes on and on, slowly, until the caller gives up.
fn trickle(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ")?;
    for _ in 0..6_000 {
        thread::sleep(Duration::from_millis(10));
        stream.write_all(b"x")?;
    }
    Ok(())
}

/// An answer that breaks off in the middle of its head.
fn cut(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 202 Acc")?;
    stream.shutdown(std::net::Shutdown::Both)
}

/// The next request of a connection is not read but only looked at: closing with bytes unread makes
/// the system send a reset.
fn reset(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    let mut seen = vec![0; 65_536];
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        let length = stream.peek(&mut seen)?;
        if let Some(heard) = read(&mut &seen[..length]).ok().flatten() {
            shared.heard().push(heard);
            shared.one_more.notify_all();
            break;
        }
    }
    drop(stream);
    Ok(())
}

/// One request; nothing when the caller closed the connection in between.
pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Heard>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let (mut length, mut authorization, mut signed) =
        (0, String::new(), [const { String::new() }; 3]);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => authorization = value.trim().to_string(),
            "webhook-id" => signed[0] = value.trim().to_string(),
            "webhook-timestamp" => signed[1] = value.trim().to_string(),
            "webhook-signature" => signed[2] = value.trim().to_string(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(Heard { line, authorization, signed, body }))
}
