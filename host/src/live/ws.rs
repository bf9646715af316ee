//! A reader over a WebSocket.
//!
//! Owns the handshake's answer, messages and close codes. Refuses to know what events say: of each
//! item the line of its data is a message.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::http::HeaderMap;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::reader::{Next, Reader};
use super::span::items;
use super::sse::{Patience, STOP_GRACE, patiently};
use crate::metrics::{Metrics, add};
use crate::wire::Wire;

/// The close code of a reader that took nothing.
const CUT: u16 = 4008;
/// Readers have nothing to say that is longer.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// The connection is a WebSocket by then, or never.
const UPGRADE_MAX: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The headers that accept a handshake, which the guest found to be one.
pub fn accept(request: &HeaderMap, response: &mut HeaderMap) {
    let key = request.get(SEC_WEBSOCKET_KEY).map_or(&b""[..], HeaderValue::as_bytes);
    response.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.insert(UPGRADE, HeaderValue::from_static("websocket"));
    // Base64 is always a header's value.
    if let Ok(key) = HeaderValue::try_from(derive_accept_key(key)) {
        response.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
}

/// Serves a reader to its end.
pub async fn serve(
    upgrade: OnUpgrade,
    mut reader: Reader,
    wire: Arc<Wire>,
    stall: Duration,
    metrics: Arc<Metrics>,
) {
    let Ok(Ok(upgraded)) = tokio::time::timeout(UPGRADE_MAX, upgrade).await else { return };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    loop {
        let next = tokio::select! {
            next = reader.next() => next,
            said = socket.next() => match said {
                Some(Ok(Message::Text(text))) if text.as_str() == "ping" => {
                    if socket.send(Message::text("pong")).await.is_err() {
                        return;
                    }
                    continue;
                }
                // Pings and a close are answered by the library.
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
        };
        let sent = match next {
            Next::Items(page) => patiently(send(&mut socket, &page), &wire, stall).await,
            Next::Heartbeat => {
                let ping = Message::Ping(Bytes::new());
                patiently(socket.send(ping), &wire, stall).await
            }
            Next::Stop => Patience::Stopped,
        };
        match sent {
            Patience::Done(Ok(())) => {}
            Patience::Done(Err(_)) => return,
            Patience::Stopped => {
                return end(&mut socket, CloseCode::Away, "the host stops").await;
            }
            Patience::Lost => {
                add(&metrics.live_cut, 1);
                let why = "nothing was taken while events waited";
                return end(&mut socket, CloseCode::from(CUT), why).await;
            }
        }
    }
}

/// A message per item.
async fn send(socket: &mut Socket, page: &Bytes) -> Result<(), Error> {
    for (_, item) in items(page) {
        let data = item.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data: "));
        let text = Utf8Bytes::try_from(page.slice_ref(data.unwrap_or_default()));
        socket.feed(Message::Text(text.unwrap_or_default())).await?;
    }
    socket.flush().await
}

/// Says why, to whoever still reads, and waits a moment for the answer.
async fn end(socket: &mut Socket, code: CloseCode, why: &'static str) {
    let close = async {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(why) };
        if socket.close(Some(frame)).await.is_ok() {
            while socket.next().await.is_some_and(|said| said.is_ok()) {}
        }
    };
    // Whoever took nothing so far takes this no sooner.
    let _ = tokio::time::timeout(STOP_GRACE, close).await;
}
