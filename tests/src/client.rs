//! A small blocking HTTP/1.1 client that also sends what no decent client would.
//!
//! Owns one connection at a time, kept alive, and the reading of answers (content length, chunked,
//! until the end). Refuses to know what is sent and what is expected; never repeats a request by
//! itself, since whether one was done is what some tests are about.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A well-formed request; what goes beyond is sent with [`Client::raw`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, in order. `Host` and `Content-Length` are added by the client.
    pub headers: Vec<(String, String)>,
    /// The body; none is sent when it is empty.
    pub body: Vec<u8>,
}

impl Request {
    /// `GET`.
    pub fn get(target: &str) -> Self {
        Self { method: "GET".into(), target: target.into(), ..Self::default() }
    }

    /// `POST` of a JSON body.
    pub fn post(target: &str, body: &str) -> Self {
        Self {
            method: "POST".into(),
            target: target.into(),
            headers: Vec::new(),
            body: body.into(),
        }
        .header("Content-Type", "application/json")
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: foldlog.test\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() || self.method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers in the order received.
    pub headers: Vec<(String, String)>,
    /// The body, transfer coding removed.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, whatever the case of its name; several are joined by `, `.
    pub fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
        if values.is_empty() { None } else { Some(values.join(", ")) }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none: the test that asks expects it to be.
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("no JSON ({error}): {} {}", self.status, self.text()),
        }
    }

    /// The code of a problem, without `urn:foldlog:`; empty for any other answer.
    pub fn code(&self) -> String {
        let typed = self.header("content-type").as_deref() == Some("application/problem+json");
        if !typed || self.body.is_empty() {
            return String::new();
        }
        let code = self.json();
        let code = code.get("type").and_then(Value::as_str).unwrap_or_default();
        code.strip_prefix("urn:foldlog:").unwrap_or(code).to_string()
    }
}

/// One connection, opened when needed.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    timeout: Duration,
    stream: Option<BufReader<TcpStream>>,
    /// When the connection was used last.
    used: Option<Instant>,
}

/// Hosts close connections that are idle for 10 s: a client that slept opens a new one in time.
const IDLE_MAX: Duration = Duration::from_secs(5);

impl Client {
    /// A client of this address; nothing is opened yet.
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, timeout: Duration::from_secs(30), stream: None, used: None }
    }

    /// How long to wait for bytes.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends a request and reads its answer. After an error the connection is dropped, and the
    /// outcome of the request is unknown.
    pub fn send(&mut self, request: &Request) -> io::Result<Answer> {
        self.raw(&request.bytes(), request.method == "HEAD")
    }

    /// Sends these bytes as they are and reads one answer.
    pub fn raw(&mut self, bytes: &[u8], headless: bool) -> io::Result<Answer> {
        let result = self.exchange(bytes, headless);
        let last = match &result {
            Ok(answer) => {
                answer.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"))
            }
            Err(_) => true,
        };
        if last {
            self.stream = None;
        }
        result
    }

    /// Sends several requests before it reads the first answer; answers come in order.
    pub fn pipeline(&mut self, requests: &[Request]) -> io::Result<Vec<Answer>> {
        let bytes: Vec<u8> = requests.iter().flat_map(Request::bytes).collect();
        let stream = self.connected()?;
        stream.get_mut().write_all(&bytes)?;
        let answers: io::Result<Vec<Answer>> =
            requests.iter().map(|r| read_answer(stream, r.method == "HEAD")).collect();
        if answers.is_err() {
            self.stream = None;
        }
        answers
    }

    /// Forgets the connection.
    pub fn close(&mut self) {
        self.stream = None;
    }

    fn exchange(&mut self, bytes: &[u8], headless: bool) -> io::Result<Answer> {
        let stream = self.connected()?;
        // A host may answer and close before it has read everything: what it said still counts.
        let written = stream.get_mut().write_all(bytes);
        match read_answer(stream, headless) {
            Ok(answer) => {
                if written.is_err() {
                    self.stream = None;
                }
                Ok(answer)
            }
            Err(error) => Err(written.err().unwrap_or(error)),
        }
    }

    fn connected(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        let idle = self.used.replace(Instant::now()).is_some_and(|used| used.elapsed() > IDLE_MAX);
        if self.stream.is_none() || idle {
            let stream = TcpStream::connect_timeout(&self.address, self.timeout)?;
            stream.set_read_timeout(Some(self.timeout))?;
            stream.set_write_timeout(Some(self.timeout))?;
            stream.set_nodelay(true)?;
            self.stream = Some(BufReader::with_capacity(1 << 16, stream));
        }
        self.stream.as_mut().ok_or_else(|| io::Error::other("not connected"))
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Reads one answer; interim ones (100 Continue) are skipped.
fn read_answer(stream: &mut impl BufRead, headless: bool) -> io::Result<Answer> {
    loop {
        let answer = read_one(stream, headless)?;
        if !(100..200).contains(&answer.status) {
            return Ok(answer);
        }
    }
}

fn read_one(stream: &mut impl BufRead, headless: bool) -> io::Result<Answer> {
    let line = read_line(stream)?;
    let status = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
    let status = status.and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| bad(&format!("no status line: {line}")))?;
    let mut answer = Answer { status, ..Answer::default() };
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad("no header"))?;
        answer.headers.push((name.to_string(), value.trim().to_string()));
    }
    if headless || matches!(status, 100..200 | 204 | 304) {
        return Ok(answer);
    }
    let chunked = answer.header("transfer-encoding").is_some_and(|v| v.contains("chunked"));
    match (chunked, answer.header("content-length")) {
        (true, _) => read_chunks(stream, &mut answer.body)?,
        (false, Some(length)) => {
            let length = length.parse().map_err(|_| bad("no length"))?;
            answer.body.resize(length, 0);
            stream.read_exact(&mut answer.body)?;
        }
        (false, None) => {
            stream.read_to_end(&mut answer.body)?;
        }
    }
    Ok(answer)
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(stream)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| bad("no chunk size"))?;
        if size == 0 {
            while !read_line(stream)?.is_empty() {}
            return Ok(());
        }
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..])?;
        read_line(stream)?;
    }
}
