//! Readers of `/events/live` and `/events/ws`, small and blocking.
//!
//! Owns framing: chunks and lines of an event stream, frames of a WebSocket (RFC 6455, no
//! extensions). Refuses to connect again by itself: where to go on is what tests are about.
//!
//! Invariant: what is not complete is not told, so a reader may be dropped between any two bytes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Request;

/// How the events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Server-Sent Events.
    Sse,
    /// WebSocket.
    Ws,
}

/// What a reader heard.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// An event's JSON, and what its item said beside it (over WebSocket: what it says itself).
    Event {
        /// Its position.
        id: u64,
        /// Its type.
        name: String,
        /// Its JSON.
        json: Value,
    },
    /// An id alone.
    Start(u64),
    /// A comment or a ping.
    Heartbeat,
    /// A text that is no event.
    Text(String),
    /// The end, with the close code if there was one.
    End(Option<u16>),
}

/// A connection that follows.
#[derive(Debug)]
pub struct Follower {
    transport: Transport,
    stream: BufReader<TcpStream>,
    /// Read, but not told yet: of a stream without its chunks.
    bytes: Vec<u8>,
    /// What is left of a chunk.
    chunk: usize,
    /// Of a chunk's head, what came so far.
    line: String,
}

impl Follower {
    /// Connects and asks; `query` as in `?type=X`, with `Last-Event-ID` when `last` is given.
    ///
    /// # Panics
    /// When it is refused.
    pub fn open(
        address: SocketAddr,
        transport: Transport,
        prefix: &str,
        query: &str,
        last: Option<u64>,
    ) -> io::Result<Self> {
        Self::on(TcpStream::connect(address)?, transport, prefix, query, last)
    }

    /// The same over a connection that holds little of what is not read: without a bound the system
    /// makes room for some megabytes.
    pub fn narrow(address: SocketAddr, transport: Transport, query: &str) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(64 << 10)?;
            socket.connect(address).await?.into_std()
        })?;
        stream.set_nonblocking(false)?;
        Self::on(stream, transport, "", query, None)
    }

    fn on(
        stream: TcpStream,
        transport: Transport,
        prefix: &str,
        query: &str,
        last: Option<u64>,
    ) -> io::Result<Self> {
        let (path, status) = match transport {
            Transport::Sse => ("live", "HTTP/1.1 200"),
            Transport::Ws => ("ws", "HTTP/1.1 101"),
        };
        let mut request = Request::get(&format!("{prefix}/events/{path}{query}"));
        if transport == Transport::Ws {
            request = request
                .header("Connection", "Upgrade")
                .header("Upgrade", "websocket")
                .header("Sec-WebSocket-Version", "13")
                .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        }
        if let Some(last) = last {
            request = request.header("Last-Event-ID", &last.to_string());
        }
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut stream = BufReader::with_capacity(1 << 16, stream);
        stream.get_mut().write_all(&request.bytes())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        assert!(head.starts_with(status), "{query}: {head}");
        if transport == Transport::Ws {
            let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
            assert!(head.contains(accept), "the example of RFC 6455: {head}");
        }
        Ok(Self { transport, stream, bytes: Vec::new(), line: String::new(), chunk: 0 })
    }

    /// What comes next, if anything does within this time.
    pub fn next(&mut self, within: Duration) -> Option<Heard> {
        let until = Instant::now() + within;
        loop {
            let heard = match self.transport {
                Transport::Sse => self.item(),
                Transport::Ws => self.frame(),
            };
            if heard.is_some() {
                return heard;
            }
            let left = until.checked_duration_since(Instant::now())?;
            let timeout = Some(left.max(Duration::from_millis(1)));
            self.stream.get_ref().set_read_timeout(timeout).ok()?;
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return Some(Heard::End(None)),
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
                {
                    return None;
                }
                Err(_) => return Some(Heard::End(None)),
            }
        }
    }

    /// Positions up to and with this one, waiting for each at most 20 s.
    ///
    /// # Panics
    /// When they do not come.
    pub fn up_to(&mut self, position: u64) -> Vec<u64> {
        let mut positions = Vec::new();
        let patience = Duration::from_secs(20);
        let mut until = Instant::now() + patience;
        while positions.last().is_none_or(|last| *last < position) {
            match self.next(patience) {
                Some(Heard::Event { id, .. }) => {
                    positions.push(id);
                    until = Instant::now() + patience;
                }
                Some(Heard::Start(_) | Heard::Heartbeat) if Instant::now() < until => {}
                other => panic!("{other:?} after {:?}", positions.last()),
            }
        }
        positions
    }

    /// Says something, masked as clients must.
    pub fn say(&mut self, opcode: u8, text: &[u8]) -> io::Result<()> {
        let length = u8::try_from(text.len()).map_err(io::Error::other)?;
        let mut frame = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
        frame.extend_from_slice(text);
        self.stream.get_mut().write_all(&frame)
    }

    /// Reads something; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.transport == Transport::Ws {
            let read = self.stream.fill_buf()?;
            let count = read.len();
            self.bytes.extend_from_slice(read);
            self.stream.consume(count);
            return Ok(count > 0);
        }
        if self.chunk == 0 {
            // What was read of it stays when the rest is late.
            while self.line.trim().is_empty() || !self.line.ends_with('\n') {
                if self.stream.read_line(&mut self.line)? == 0 {
                    return Ok(false);
                }
            }
            let size = usize::from_str_radix(self.line.trim(), 16);
            self.line.clear();
            self.chunk = size.map_err(io::Error::other)?;
            if self.chunk == 0 {
                return Ok(false);
            }
        }
        let mut piece = vec![0; self.chunk.min(1 << 16)];
        let count = self.stream.read(&mut piece)?;
        self.bytes.extend_from_slice(&piece[..count]);
        self.chunk -= count;
        Ok(count > 0)
    }

    /// The next item of a stream.
    fn item(&mut self) -> Option<Heard> {
        let end = self.bytes.windows(2).position(|pair| pair == b"\n\n")? + 2;
        let item: Vec<u8> = self.bytes.drain(..end).collect();
        let item = String::from_utf8(item).unwrap_or_else(|e| panic!("{e}"));
        let lines: Vec<&str> = item.lines().filter(|line| !line.is_empty()).collect();
        Some(match lines[..] {
            [":"] => Heard::Heartbeat,
            [id] => Heard::Start(number(id)),
            [id, name, data] => Heard::Event {
                id: number(id),
                name: name.strip_prefix("event: ").unwrap_or(name).into(),
                json: parsed(data.strip_prefix("data: ").unwrap_or_default()),
            },
            _ => panic!("no item: {item}"),
        })
    }

    /// The next frame of a WebSocket.
    fn frame(&mut self) -> Option<Heard> {
        let [first, second, ..] = self.bytes[..] else { return None };
        assert!(second & 0x80 == 0 && first & 0x80 != 0, "whole and not masked");
        let (start, length) = match second {
            126 => (4, u64::from(u16::from_be_bytes(*self.bytes.get(2..)?.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*self.bytes.get(2..)?.first_chunk()?)),
            length => (2, u64::from(length)),
        };
        let end = start + usize::try_from(length).ok()?;
        let payload = self.bytes.get(start..end)?.to_vec();
        self.bytes.drain(..end);
        Some(match first & 0x0f {
            1 => match serde_json::from_slice::<Value>(&payload) {
                Ok(json) => Heard::Event {
                    id: json["metadata"]["position"].as_u64().unwrap_or_default(),
                    name: json["eventType"].as_str().unwrap_or_default().into(),
                    json,
                },
                Err(_) => Heard::Text(String::from_utf8_lossy(&payload).into_owned()),
            },
            8 => Heard::End(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            9 | 10 => Heard::Heartbeat,
            other => panic!("opcode {other}"),
        })
    }
}

fn number(line: &str) -> u64 {
    let number = line.strip_prefix("id: ").and_then(|id| id.parse().ok());
    number.unwrap_or_else(|| panic!("no id: {line}"))
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}
