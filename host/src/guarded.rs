//! Connections to consumers: to the public network, and nowhere else.
//!
//! Owns resolving a name and connecting to what it resolved to. Refuses to know what is sent: TLS,
//! with the name of the URL, and HTTP lie above.
//!
//! Invariant: a socket is connected only to an address that was checked, of an answer all of whose
//! addresses were, unless addresses inside are allowed. A name is resolved once for a connection:
//! an answer that differs a moment later is of no use to whoever gives it.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use foldlog_core::targets::{is_public, not_public};
use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

/// How long one of several addresses may take to answer.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

type Soon<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Says which addresses a name has.
pub trait Resolve: Send + Sync + 'static {
    /// All of them, in the order to try them in.
    fn resolve(&self, name: String) -> Soon<io::Result<Vec<IpAddr>>>;
}

/// The resolver of the system.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Resolve for System {
    fn resolve(&self, name: String) -> Soon<io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Why nothing was connected to: what was asked for lies inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden(pub String);

impl fmt::Display for Forbidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "forbidden target: {}", self.0)
    }
}

impl Error for Forbidden {}

/// Makes connections.
#[derive(Clone)]
pub struct Guarded {
    resolver: Arc<dyn Resolve>,
    allow_private: bool,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guarded").field("allow_private", &self.allow_private).finish()
    }
}

type Failure = Box<dyn Error + Send + Sync>;

impl Guarded {
    /// With `allow_private` all addresses will do.
    pub fn new(resolver: Arc<dyn Resolve>, allow_private: bool) -> Self {
        Self { resolver, allow_private }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, Failure> {
        let host = uri.host().ok_or("the URL has no host")?;
        let tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let mut failure = io::Error::other("the name has no addresses");
        for address in self.addresses(host).await? {
            let connecting = TcpStream::connect(SocketAddr::new(address, port));
            match tokio::time::timeout(CONNECT_MAX, connecting).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failure.into())
    }

    /// What may be connected to.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            let refused = not_public(address).filter(|_| !self.allow_private);
            return match refused {
                Some(what) => Err(Forbidden(format!("{address} is {what}")).into()),
                None => Ok(vec![address]),
            };
        }
        let mut found = self.resolver.resolve(host.to_string()).await?;
        // One is enough: whoever mixes them in wants them tried. Which it is stays here: who may
        // register a consumer is not told what names mean in this network.
        if !self.allow_private && found.iter().any(|address| !is_public(*address)) {
            return Err(Forbidden(format!("{host} resolves to a private address")).into());
        }
        found.truncate(ADDRESSES_MAX);
        Ok(found)
    }
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = Failure;
    type Future = Soon<Result<Self::Response, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
