//! The client: makes one outside call, within bounds.
//!
//! Owns connections and the bounds of a call: one deadline from connecting to the end of the
//! answer, no redirect followed, so much of an answer read and no more. Refuses to know what a call
//! is for, and when it is made again.
//!
//! Invariant: a secret is added to the request right where it goes out, as a header that is marked
//! so; no text that comes back from here has it.

use std::error::Error;
use std::time::Duration;

use foldlog_core::driver::senders::{Outgoing, answered, late, unanswered};
use foldlog_core::limits::REPLY_BYTES_MAX;
use foldlog_core::settings::Secret;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

/// Connections to one place that are kept open for the next call, and for how long.
const IDLE_CONNECTIONS_MAX: usize = 64;
const IDLE_MAX: Duration = Duration::from_secs(20);
/// An answer that says yes has been heard: its rest is read only to use the connection again.
const REST_MAX: Duration = Duration::from_millis(500);

/// Who calls.
pub const AGENT: &str = concat!("foldlog/", env!("CARGO_PKG_VERSION"));

/// Makes calls. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Pool<HttpConnector>,
}

/// Connections that are made by a connector, with TLS where the URL asks for it.
pub type Pool<C> = Pooled<HttpsConnector<C>, Full<Bytes>>;

/// TLS over a connector. The name in the URL is the one that the certificate must be for.
pub fn tls<C>(trusted: ClientConfig, tcp: C) -> HttpsConnector<C> {
    let connector = HttpsConnectorBuilder::new().with_tls_config(trusted);
    connector.https_or_http().enable_http1().wrap_connector(tcp)
}

/// Connects to whatever is named.
pub fn anywhere() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp
}

/// Opens nothing yet.
pub fn pool<C: Connect + Clone>(connector: C) -> Pooled<C, Full<Bytes>> {
    let mut pool = Pooled::builder(TokioExecutor::new());
    pool.pool_timer(TokioTimer::new());
    pool.pool_idle_timeout(IDLE_MAX).pool_max_idle_per_host(IDLE_CONNECTIONS_MAX);
    pool.build(connector)
}

impl Client {
    /// Opens nothing yet. `trusted` says which certificates are.
    pub fn new(trusted: ClientConfig) -> Self {
        Self { pool: pool(tls(trusted, anywhere())) }
    }

    /// Makes a call. `Err` says why it failed, for `GET /effects`.
    pub async fn send(
        &self,
        call: Outgoing,
        secret: Option<&Secret>,
        deadline: Duration,
    ) -> Result<(), String> {
        let made = tokio::time::timeout(deadline, self.make(call, secret)).await;
        made.unwrap_or_else(|_| Err(late(deadline.as_millis().try_into().unwrap_or(u64::MAX))))
    }

    async fn make(&self, call: Outgoing, secret: Option<&Secret>) -> Result<(), String> {
        let told = |error: &dyn Error| unanswered(&innermost(error), secret);
        let request = request(call, secret).map_err(|e| told(&*e))?;
        let response = self.pool.request(request).await.map_err(|e| told(&e))?;
        heard(response, secret).await
    }
}

/// What an answer means.
pub async fn heard(response: Response<Incoming>, secret: Option<&Secret>) -> Result<(), String> {
    let status = response.status();
    if status.is_success() {
        // Whatever happens to it: the call was heard.
        let _ = tokio::time::timeout(REST_MAX, read(response)).await;
        return answered(status.as_u16(), b"", secret);
    }
    answered(status.as_u16(), &read(response).await, secret)
}

fn request(
    call: Outgoing,
    secret: Option<&Secret>,
) -> Result<Request<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    let Outgoing { method, url, headers, bearer, body, .. } = call;
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request = request.header(USER_AGENT, AGENT);
    if let (Some(_), Some(secret)) = (bearer, secret) {
        let mut value = HeaderValue::try_from(format!("Bearer {}", secret.reveal()))?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    Ok(request.body(Full::new(Bytes::from(body)))?)
}

/// The answer's body up to the bound, or as much of it as came. What is left unread closes the
/// connection.
async fn read(response: Response<Incoming>) -> Vec<u8> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        let room = REPLY_BYTES_MAX.saturating_sub(bytes.len());
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() >= room {
            break;
        }
    }
    bytes
}

/// What lies at the bottom of an error says most, and in the fewest words.
pub fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
