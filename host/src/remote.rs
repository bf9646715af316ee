//! Another host, as a client sees it: one partition behind a URL.
//!
//! Owns URLs, and what a host's refusal says. Refuses to know what is asked, and to repeat it.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use serde::Deserialize;

use crate::cli::KeyFlag;
use crate::outgoing::{AGENT, Pool, anywhere, innermost, pool, tls};
use crate::trust;

/// The key's place in the environment.
const KEY: &str = "FOLDLOG_KEY";
/// An answer has to begin within this time. A part of an import is folded before it is answered.
const ANSWER_MAX: Duration = Duration::from_secs(600);
/// A body that brings nothing for so long has broken off.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A partition of a host.
#[derive(Debug)]
pub struct Remote {
    /// Its connections.
    pub pool: Pool<HttpConnector>,
    /// Where the partition is, without a slash at the end.
    pub base: String,
    key: Option<HeaderValue>,
}

/// `GET /log/head`.
#[derive(Debug, Deserialize)]
pub struct RemoteHead {
    /// The partition's name there.
    pub partition: String,
    /// Position of the last event, 0 when there is none.
    pub position: u64,
    /// The hash that the log ends in.
    pub hash: String,
}

impl Remote {
    /// Connects to nothing yet.
    pub fn new(url: &str, partition: Option<&str>, key: &KeyFlag) -> Result<Self, String> {
        let base = url.trim_end_matches('/');
        address("URL", base)?;
        let base = match partition {
            Some(partition) => format!("{base}/p/{partition}"),
            None => base.to_string(),
        };
        let pool = pool(tls(trust::tls(trust::file().as_deref())?, anywhere()));
        Ok(Self { pool, base, key: bearer(key)? })
    }

    /// Asks for something; the answer's body is still to be read.
    pub async fn open(&self, path: &str) -> Result<Response<Incoming>, String> {
        let url = format!("{}{path}", self.base);
        let request = Request::get(&url).header(USER_AGENT, AGENT).body(Full::default());
        self.send(&url, request.map_err(|e| format!("{url}: {e}"))?).await
    }

    /// Asks for something, and reads all of the answer.
    pub async fn get(&self, path: &str) -> Result<(StatusCode, Bytes), String> {
        whole(self.open(path).await?).await
    }

    /// Hands lines of a log over, and reads all of the answer.
    pub async fn post_lines(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), String> {
        let url = format!("{}{path}", self.base);
        let mut request = Request::post(&url).header(USER_AGENT, AGENT);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/x-ndjson");
        }
        let request = request.body(Full::new(Bytes::from(body)));
        whole(self.send(&url, request.map_err(|e| format!("{url}: {e}"))?).await?).await
    }

    /// Where the log ends there.
    pub async fn head(&self) -> Result<RemoteHead, String> {
        let (status, body) = self.get("/log/head").await?;
        if status != StatusCode::OK {
            return Err(format!("{}: {}", self.base, detail(status, &body)));
        }
        let head = serde_json::from_slice(&body);
        head.map_err(|e| format!("{}: its answer to GET /log/head is no head: {e}", self.base))
    }

    async fn send(
        &self,
        url: &str,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        if let Some(key) = &self.key {
            request.headers_mut().insert(AUTHORIZATION, key.clone());
        }
        match tokio::time::timeout(ANSWER_MAX, self.pool.request(request)).await {
            Ok(answer) => answer.map_err(|e| format!("{url}: {}", innermost(&e))),
            Err(_) => Err(format!("{url}: no answer in {} s", ANSWER_MAX.as_secs())),
        }
    }
}

/// The header of a key, if there is one.
fn bearer(flag: &KeyFlag) -> Result<Option<HeaderValue>, String> {
    let set = flag.key.clone().map(|key| ("--key", key));
    let set = set.or_else(|| std::env::var(KEY).ok().map(|key| (KEY, key)));
    let Some((name, key)) = set.filter(|(_, key)| !key.is_empty()) else { return Ok(None) };
    // What it is set to is not told: it would end up in logs.
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::try_from(format!("Bearer {key}")).ok().filter(|_| visible);
    let mut value = value.ok_or_else(|| format!("{name} must be visible ASCII, no spaces"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// The next bytes of a body; nothing at its end.
pub async fn next(body: &mut Incoming) -> Result<Option<Bytes>, String> {
    loop {
        match tokio::time::timeout(SILENCE_MAX, body.frame()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Ok(Some(Err(e))) => return Err(innermost(&e)),
            Err(_) => return Err(format!("nothing came for {} s", SILENCE_MAX.as_secs())),
        }
    }
}

async fn whole(answer: Response<Incoming>) -> Result<(StatusCode, Bytes), String> {
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|e| innermost(&e))?;
    Ok((status, body.to_bytes()))
}

/// A URL of this host's kinds.
pub fn address(name: &str, text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|e| format!("{name} `{text}`: {e}"))?;
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        _ => Err(format!("{name} `{text}` must start with http:// or https://")),
    }
}

/// What a problem document says.
pub fn detail(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let problem: Result<Problem, _> = serde_json::from_slice(body);
    problem.map_or_else(|_| format!("answered {}", status.as_u16()), |problem| problem.detail)
}
