//! HTTP/1.1: sockets to requests, replies to sockets.
//!
//! Owns the listener, connections, the bounds on heads and bodies, and `GET /metrics`. Refuses to
//! know routes: every other request goes to the guest of its partition as it came.
//!
//! What hyper itself refuses (a head that is no HTTP, two lengths, a head beyond 128 KiB) gets
//! hyper's own 4xx; never a 500.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use foldlog_core::driver::{OwnedBody, OwnedRequest, Reply};
use foldlog_core::errors::Code;
use foldlog_core::protocol::Live;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, EXPECT, HeaderName, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::body::{self, Answered, Outgoing, Received};
use crate::live::{self, Reader};
use crate::metrics::{Metrics, add};
use crate::partitions::Partitions;
use crate::wire::{Socket, Wire};
use crate::{import, log, shown};

/// A head has to arrive within this time; so has the next one on a connection kept alive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Twice what the contract allows, so that the guest can say by how much a head is too large.
const HEAD_BYTES_READ: usize = 128 * 1024;
/// hyper clears room for all of them with every request: more would cost each of them.
const HEADERS_MAX: usize = 256;
/// When no connection can be accepted, most often for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What every connection shares.
#[derive(Debug)]
pub struct Server {
    /// Where requests go.
    pub partitions: Arc<Partitions>,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// Longest body.
    pub body_bytes_max: u64,
    /// How often a live reader is told that it is not forgotten.
    pub live_heartbeat: Duration,
    /// How long one may take nothing while events wait.
    pub live_stall: Duration,
    /// A log of elsewhere is shown: nothing may be changed.
    pub shown: bool,
}

impl Server {
    /// Serves until `stop` turns true, then lets requests under way finish for at most `grace`.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        mut stop: watch::Receiver<bool>,
        grace: Duration,
    ) {
        // Each connection holds a sender: the channel closes with the last one.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    add(&self.metrics.connections, 1);
                    tokio::spawn(self.clone().connection(stream, stop.clone(), alive.clone()));
                }
                Err(error) => {
                    log::warn("connection not accepted").with("detail", error).write();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        drop(alive);
        if tokio::time::timeout(grace, all_gone.recv()).await.is_err() {
            log::warn("requests cut at the stop").write();
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        mut stop: watch::Receiver<bool>,
        alive: mpsc::Sender<()>,
    ) {
        // Answers are written whole: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let wire = Arc::new(Wire::new(stop.clone(), alive));
        let service = service_fn(|request| self.answer(request, &wire));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_READ);
        let io = TokioIo::new(Socket::new(stream, wire.clone()));
        let mut connection = pin!(http.serve_connection(io, service).with_upgrades());
        let stopped = tokio::select! {
            // Clients break connections all the time; that is no event.
            _ = connection.as_mut() => false,
            () = wire.is_cut() => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        if stopped {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ = connection => {}
                () = wire.is_cut() => {}
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>, wire: &Arc<Wire>) -> Answered {
        let response = if request.uri().path() == "/metrics"
            && matches!(*request.method(), Method::GET | Method::HEAD)
        {
            self.metrics()
        } else {
            self.pass_on(request, wire).await
        };
        self.metrics.answered(response.status().as_u16());
        Ok(response)
    }

    async fn pass_on(
        &self,
        mut request: Request<Incoming>,
        wire: &Arc<Wire>,
    ) -> Response<Outgoing> {
        if let Some(reply) = shown::refusal(request.method()).filter(|_| self.shown) {
            let close = !request.body().is_end_stream();
            return self.response("main", reply, close);
        }
        let upgrade =
            request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
        let (head, body) = request.into_parts();
        let expects_continue = head.headers.contains_key(EXPECT);
        let mut request = without_body(&head);
        let name = foldlog_core::http::partition_of(&request.target);
        if foldlog_core::http::is_import(&request.method, &request.target) {
            let (partitions, of) = (self.partitions.clone(), name.clone());
            let answer = import::answer(partitions, of, request, body, expects_continue);
            let (reply, close) = answer.await;
            return self.response(&name, reply, close);
        }
        let (method, target) = (&request.method, &request.target);
        let limit = foldlog_core::http::body_bytes_max(method, target, self.body_bytes_max);
        let (body, close) = match body::read(body, limit, expects_continue).await {
            Received::Complete(body) => (body, false),
            Received::Unread => (OwnedBody::TooLarge, true),
            Received::Late => return unread(StatusCode::REQUEST_TIMEOUT),
            Received::Broken => return unread(StatusCode::BAD_REQUEST),
        };
        request.body = body;
        let mut reply = self.partitions.run(&name, request).await;
        if let Some(listing) = reply.listing.take() {
            reply = self.partitions.list(reply, listing).await;
        }
        let live = reply.live.take().filter(|_| head.method == Method::GET);
        match live {
            Some(live) => self.follow(&name, reply, &live, (&head, upgrade), wire),
            None => self.response(&name, reply, close),
        }
    }

    /// An answer that goes on with what is stored, for as long as it is read.
    fn follow(
        &self,
        name: &str,
        mut reply: Reply,
        live: &Live,
        (head, upgrade): (&Parts, Option<OnUpgrade>),
        wire: &Arc<Wire>,
    ) -> Response<Outgoing> {
        let (stop, wire, metrics) = (wire.stop.clone(), wire.clone(), self.metrics.clone());
        let reader = Reader::new(&self.partitions, name, live, stop, self.live_heartbeat);
        let start = std::mem::take(&mut reply.response.body);
        let mut response = self.response(name, reply, false);
        match upgrade.filter(|_| live.socket) {
            None => {
                *response.body_mut() = live::body(start, reader, wire, self.live_stall, metrics);
            }
            Some(upgrade) => {
                live::accept(&head.headers, response.headers_mut());
                tokio::spawn(live::serve(upgrade, reader, wire, self.live_stall, metrics));
            }
        }
        response
    }

    fn response(&self, name: &str, reply: Reply, close: bool) -> Response<Outgoing> {
        let Reply { response: plain, export, .. } = reply;
        let body = match export {
            None => Outgoing::whole(plain.body),
            Some(export) => {
                let (partitions, name) = (self.partitions.clone(), name.to_string());
                Outgoing::export(partitions, name, plain.body, export)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(plain.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in plain.headers {
            let pair = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::try_from(value));
            match pair {
                (Ok(name), Ok(value)) => drop(response.headers_mut().append(name, value)),
                // The guest's contract is visible ASCII; leaving one out beats no answer.
                _ => log::error("a header of the guest is none").with("name", name).write(),
            }
        }
        if close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn metrics(&self) -> Response<Outgoing> {
        let (open, failed) = self.partitions.gauges();
        let text = self.metrics.text(&open, &failed);
        let mut response = Response::new(Outgoing::whole(text.into_bytes()));
        let form = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, form);
        response
    }
}

fn without_body(head: &Parts) -> OwnedRequest {
    // A target in absolute form loses its host; `CONNECT`'s and `*` have no path at all.
    let target = head.uri.path_and_query().map_or("", |target| target.as_str()).to_string();
    let headers = head.headers.iter();
    OwnedRequest {
        method: head.method.as_str().to_string(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_string(), value.as_bytes().to_vec()))
            .collect(),
        target,
        body: OwnedBody::Whole(Vec::new()),
    }
}

/// Of a request whose body did not arrive: nothing more can be read from the connection.
fn unread(status: StatusCode) -> Response<Outgoing> {
    let plain = Reply::problem(Code::MalformedJson, "the body did not arrive whole").response;
    let mut response = Response::new(Outgoing::whole(Vec::new()));
    if status == StatusCode::BAD_REQUEST {
        *response.body_mut() = Outgoing::whole(plain.body);
        let form = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, form);
    }
    *response.status_mut() = status;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
