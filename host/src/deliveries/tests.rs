//! Deliveries over real sockets: who is never connected to, and the bounds of a call.
//!
//! The consumer is a listener on this machine: it counts what reaches it. Names mean what a test
//! says.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;

use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Public, and nobody's.
const ELSEWHERE: &str = "2000::1";
const DEADLINE: Duration = Duration::from_millis(400);

/// What a consumer does with a request.
#[derive(Clone, Copy, Debug)]
enum Say {
    Status(&'static str),
    Endless(&'static str),
    /// A byte of the answer's body now and then; of its head.
    Trickle(&'static str),
    Nothing,
}

/// A consumer that counts connections and keeps what it reads of the last.
struct Consumer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    read: Arc<Mutex<Vec<u8>>>,
}

impl Consumer {
    async fn start(say: Say) -> Self {
        // On all addresses of this machine: whichever is connected to, it counts.
        let listener = TcpListener::bind("[::]:0").await;
        let listener = match listener {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind("0.0.0.0:0").await.unwrap(),
        };
        let address = SocketAddr::new(LOOPBACK, listener.local_addr().unwrap().port());
        let (connections, read) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<u8>>>::default());
        let (counted, kept) = (connections.clone(), read.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(stream, say, kept.clone()));
            }
        });
        Self { address, connections, read }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read.lock().unwrap()).into_owned()
    }

    fn port(&self) -> u16 {
        self.address.port()
    }
}

async fn answer(mut stream: TcpStream, say: Say, kept: Arc<Mutex<Vec<u8>>>) {
    let mut bytes = vec![0; 8_192];
    let mut read = Vec::new();
    // A request whose body ends in `!`, or the first that a TLS client says.
    while !(read.ends_with(b"!") || read.starts_with(&[0x16]) && read.len() > 100) {
        match stream.read(&mut bytes).await {
            Ok(count) if count > 0 => read.extend_from_slice(&bytes[..count]),
            _ => return,
        }
    }
    kept.lock().unwrap().clone_from(&read);
    let head = |status: &str, more: &str| format!("HTTP/1.1 {status}\r\n{more}\r\n");
    let done = match say {
        Say::Status(status) => {
            let head = head(status, "content-length: 2\r\nlocation: http://127.0.0.1/x\r\n");
            stream.write_all(format!("{head}no").as_bytes()).await
        }
        Say::Nothing => std::future::pending().await,
        Say::Endless(status) => {
            let mut written = stream.write_all(head(status, "").as_bytes()).await;
            while written.is_ok() {
                written = stream.write_all(&[b'x'; 4_096]).await;
            }
            written
        }
        Say::Trickle(text) => {
            let mut written = stream.write_all(text.as_bytes()).await;
            while written.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                written = stream.write_all(b"x").await;
            }
            written
        }
    };
    drop(done);
}

fn trusted() -> rustls::ClientConfig {
    crate::trust::tls(None).expect("the built-in certificates")
}

/// Names as a test has them: an answer for each time that one is asked for, the last one for ever.
struct Names {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Names {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let addresses = |answer: &&[&str]| answer.iter().map(|a| a.parse().unwrap()).collect();
        let answers = answers.iter().map(addresses).collect();
        Arc::new(Self { answers, asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Names {
    fn resolve(
        &self,
        _: String,
    ) -> std::pin::Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        let nth = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        let answer = self.answers[nth].clone();
        Box::pin(async move { Ok(answer) })
    }
}

fn delivery(url: &str) -> Delivery {
    let headers = vec![("webhook-id", "msg-1".to_string())];
    Delivery { url: url.to_string(), headers, body: Bytes::from_static(b"[]!") }
}

/// A list of the test suite, with its escapes, and the consumer's port wherever none is given.
fn spellings(list: &str, port: u16) -> Vec<String> {
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let escapes = [("\\t", "\t"), ("\\n", "\n"), ("\\r", "\r"), ("\\0", "\0")];
    let plain = lines.map(|line| {
        escapes.iter().fold(line.to_string(), |line, (from, to)| line.replace(from, to))
    });
    plain
        .flat_map(|url| {
            let host = url.find("://").map_or(0, |at| at + 3);
            let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
            let with_port = format!("{}:{port}{}", &url[..end], &url[end..]);
            [url, with_port]
        })
        .collect()
}

const FORBIDDEN: &str = include_str!("../../../tests/targets/forbidden.txt");
const MALFORMED: &str = include_str!("../../../tests/targets/malformed.txt");

#[tokio::test]
async fn no_spelling_leads_inside() {
    let consumer = Consumer::start(Say::Status("200 OK")).await;
    // Whatever is taken for a name leads to the consumer.
    let names = Names::new(&[&["127.0.0.1"]]);
    let deliveries = Deliveries::with(trusted(), names.clone(), false);
    let (mut tried, mut connected) = (0, 0);
    for url in spellings(FORBIDDEN, consumer.port())
        .into_iter()
        .chain(spellings(MALFORMED, consumer.port()))
    {
        let refused = deliveries.deliver(delivery(&url), DEADLINE).await;
        assert!(matches!(refused, Err(Undelivered::Forbidden(_))), "{url:?}: {refused:?}");
        tried += 1;
        // The connector by itself, which does not count on what is before it.
        let Ok(uri) = url.parse::<hyper::Uri>() else { continue };
        if uri.host().is_none() {
            continue;
        }
        let refused = Guarded::new(names.clone(), false).call(uri).await;
        let refused = refused.err().unwrap_or_else(|| panic!("{url:?}: connected"));
        let forbidden = refused.downcast_ref::<Forbidden>();
        assert!(forbidden.is_some(), "{url:?}: {refused}");
        connected += 1;
    }
    assert!(tried > 900 && connected > 500, "{tried} delivered, {connected} connected");
    assert_eq!(consumer.connections(), 0);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused() {
    let consumer = Consumer::start(Say::Status("200 OK")).await;
    let url = format!("http://hooks.example.com:{}/", consumer.port());
    let why = "forbidden target: hooks.example.com resolves to a private address";
    for answer in [
        &["127.0.0.1"][..],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["::127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["0.0.0.0"],
        &["169.254.169.254"],
        // One among others, wherever it stands.
        &["127.0.0.1", ELSEWHERE],
        &[ELSEWHERE, "127.0.0.1"],
        &[ELSEWHERE, "2000::2", "::1", "2000::3"],
    ] {
        let names = Names::new(&[answer]);
        let deliveries = Deliveries::with(trusted(), names.clone(), false);
        let refused = deliveries.deliver(delivery(&url), DEADLINE).await;
        assert_eq!(refused, Err(Undelivered::Forbidden(why.into())), "{answer:?}");
        assert_eq!(names.asked(), 1, "{answer:?}");
    }
    assert_eq!(consumer.connections(), 0);
}

#[tokio::test]
async fn an_answer_that_changes_leads_nowhere_else() {
    let consumer = Consumer::start(Say::Status("200 OK")).await;
    let url = format!("http://hooks.example.com:{}/", consumer.port());
    let names = Names::new(&[&[ELSEWHERE], &["127.0.0.1"]]);
    let deliveries = Deliveries::with(trusted(), names.clone(), false);
    // What was checked is tried, and no one is asked again who would now say something else.
    let failed = deliveries.deliver(delivery(&url), DEADLINE).await;
    assert!(matches!(failed, Err(Undelivered::Failed(_))), "{failed:?}");
    assert_eq!(names.asked(), 1);
    for _ in 0..3 {
        let refused = deliveries.deliver(delivery(&url), DEADLINE).await;
        assert!(matches!(refused, Err(Undelivered::Forbidden(_))), "{refused:?}");
    }
    assert_eq!((consumer.connections(), names.asked()), (0, 4));
}

#[tokio::test]
async fn inside_is_reached_when_it_is_allowed() {
    let consumer = Consumer::start(Say::Status("204 No Content")).await;
    let port = consumer.port();
    let deliveries = Deliveries::with(trusted(), Names::new(&[&["127.0.0.1"]]), true);
    for url in
        [format!("http://127.0.0.1:{port}/a?b"), format!("http://Hooks.Example.com:{port}/a?b")]
    {
        assert_eq!(deliveries.deliver(delivery(&url), DEADLINE).await, Ok(()));
    }
    let heard = consumer.text().to_lowercase();
    for part in [
        "post /a?b http/1.1\r\n".to_string(),
        format!("host: hooks.example.com:{port}\r\n"),
        "content-type: application/json\r\n".to_string(),
        "webhook-id: msg-1\r\n".to_string(),
        "user-agent: foldlog/".to_string(),
        "\r\n\r\n[]!".to_string(),
    ] {
        assert!(heard.contains(&part), "{part} in {heard}");
    }
    assert_eq!(consumer.connections(), 2);
    // Without a resolver of the test's, and the name of this machine.
    let local = Deliveries::new(trusted(), true);
    let url = format!("http://localhost:{port}/");
    assert_eq!(local.deliver(delivery(&url), DEADLINE).await, Ok(()));
    let refused = Deliveries::new(trusted(), false).deliver(delivery(&url), DEADLINE).await;
    let why = "forbidden target: localhost is this machine";
    assert_eq!(refused, Err(Undelivered::Forbidden(why.into())));
    // What is malformed stays so.
    let refused = local.deliver(delivery(&format!("http://127.1:{port}/")), DEADLINE).await;
    assert!(matches!(refused, Err(Undelivered::Forbidden(_))), "{refused:?}");
    assert_eq!(consumer.connections(), 3);
}

#[tokio::test]
async fn the_certificate_is_asked_for_by_the_name_of_the_url() {
    let consumer = Consumer::start(Say::Nothing).await;
    let deliveries = Deliveries::with(trusted(), Names::new(&[&["127.0.0.1"]]), true);
    let url = format!("https://hooks.example.com:{}/", consumer.port());
    let failed = deliveries.deliver(delivery(&url), DEADLINE).await;
    assert_eq!(failed, Err(Undelivered::Failed("no answer in 400 ms".into())));
    let hello = consumer.text();
    assert!(hello.contains("hooks.example.com"), "no server name in {hello:?}");
    assert!(!hello.contains("msg-1"));
}

#[tokio::test]
async fn a_call_has_its_bounds() {
    for (say, came_to) in [
        (Say::Status("200 OK"), Ok(())),
        (Say::Status("202 Accepted"), Ok(())),
        (Say::Status("500 Oh"), Err("answered 500: no")),
        (Say::Status("404 Not Found"), Err("answered 404: no")),
        (Say::Status("302 Found"), Err("answered 302, redirects are not followed: no")),
        (Say::Status("307 Elsewhere"), Err("answered 307, redirects are not followed: no")),
        (Say::Endless("500 Oh"), Err("answered 500: xxxx")),
        (Say::Endless("200 OK"), Ok(())),
        (Say::Nothing, Err("no answer in 400 ms")),
        (Say::Trickle("HTTP/1.1 500 Oh\r\n\r\n"), Err("no answer in 400 ms")),
        (Say::Trickle("HTTP/1.1 200 OK\r\nX-"), Err("no answer in 400 ms")),
        (Say::Trickle("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"), Ok(())),
    ] {
        let consumer = Consumer::start(say).await;
        let deliveries = Deliveries::with(trusted(), Names::new(&[&["127.0.0.1"]]), true);
        let url = format!("http://hooks.example.com:{}/", consumer.port());
        let started = Instant::now();
        let deadline = if came_to.is_ok() { Duration::from_secs(5) } else { DEADLINE };
        let found = deliveries.deliver(delivery(&url), deadline).await;
        match (&found, came_to) {
            (Ok(()), Ok(())) => {}
            (Err(Undelivered::Failed(why)), Err(wanted)) => {
                assert!(why.starts_with(wanted) && why.len() < 1_000, "{say:?}: {why}");
            }
            _ => panic!("{say:?}: {found:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(3), "{say:?}: {:?}", started.elapsed());
        assert_eq!(consumer.connections(), 1, "{say:?}");
    }
}
