//! Deliveries: requests to consumers, within the bounds of every outside call.
//!
//! Owns how one is made and what it came to. Refuses to know what is delivered, who is next and
//! what follows from a failure: a dispatcher does. Refuses addresses inside ([`guarded`]).
//!
//! [`guarded`]: crate::guarded

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foldlog_core::driver::senders::{late, unanswered};
use foldlog_core::targets::{TargetError, check};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use rustls::ClientConfig;

use crate::guarded::{Forbidden, Guarded, Resolve, System};
use crate::outgoing::{AGENT, Pool, heard, innermost, pool, tls};

/// A request to a consumer.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The consumer's callback.
    pub url: String,
    /// Names, in lower case, and values, beside those that every delivery has.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Bytes,
}

/// Why a consumer did not take a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// Its callback leads inside, or can not be called at all: so will it the next time.
    Forbidden(String),
    /// It could not be reached, did not answer in time, or not with 2xx.
    Failed(String),
}

impl fmt::Display for Undelivered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Forbidden(why) | Self::Failed(why)) = self;
        formatter.write_str(why)
    }
}

/// Makes deliveries. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Deliveries {
    pool: Pool<Guarded>,
    allow_private: bool,
}

impl Deliveries {
    /// Opens nothing yet. `trusted` says which certificates are. With `allow_private` consumers inside are called too.
    pub fn new(trusted: ClientConfig, allow_private: bool) -> Self {
        Self::with(trusted, Arc::new(System), allow_private)
    }

    /// The same, with names resolved by this.
    pub fn with(trusted: ClientConfig, resolver: Arc<dyn Resolve>, allow_private: bool) -> Self {
        let guarded = Guarded::new(resolver, allow_private);
        Self { pool: pool(tls(trusted, guarded)), allow_private }
    }

    /// Makes a delivery; the deadline is for all of it, from resolving to the end of the answer.
    pub async fn deliver(&self, delivery: Delivery, deadline: Duration) -> Result<(), Undelivered> {
        let made = tokio::time::timeout(deadline, self.make(delivery)).await;
        let deadline_ms = deadline.as_millis().try_into().unwrap_or(u64::MAX);
        made.unwrap_or_else(|_| Err(Undelivered::Failed(late(deadline_ms))))
    }

    async fn make(&self, delivery: Delivery) -> Result<(), Undelivered> {
        let Delivery { url, headers, body } = delivery;
        // Registration looked at it too, but maybe under other settings.
        let target = check(&url, self.allow_private).map_err(|error| {
            Undelivered::Forbidden(match error {
                TargetError::Malformed(why) => format!("the callback {why}"),
                forbidden @ TargetError::Forbidden(_) => forbidden.to_string(),
            })
        })?;
        let failed = |error: &dyn Error| Undelivered::Failed(unanswered(&innermost(error), None));
        let mut request = Request::post(target.url());
        request = request.header(CONTENT_TYPE, "application/json").header(USER_AGENT, AGENT);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|e| failed(&e))?;
        let response = self.pool.request(request).await;
        let response = response.map_err(|error| match forbidden(&error) {
            Some(forbidden) => Undelivered::Forbidden(forbidden.to_string()),
            None => failed(&error),
        })?;
        heard(response, None).await.map_err(Undelivered::Failed)
    }
}

/// The guard's own word somewhere below an error.
fn forbidden<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Forbidden> {
    let mut error = Some(error);
    while let Some(outer) = error {
        if let Some(found) = outer.downcast_ref() {
            return Some(found);
        }
        error = outer.source();
    }
    None
}

#[cfg(test)]
mod tests;
