//! Logs carried from one place to another by `pull`, `push`, `export`, `import` and `truncate`: byte
//! for byte, in spite of breaks, and never over what is there.
//!
//! Symptom to look for: a file that is no good log after a break, a part taken twice, another log
//! taken for the same one. Owns the breaks: a relay that cuts connections.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::scratch::Scratch;

use super::adopt;
use super::sources::{contents, replayed, run, text};

/// Passes connections on, and cuts the first ones after so many bytes of one direction.
struct Relay {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Relay {
    fn to(host: SocketAddr, cuts: usize, bytes: usize, upwards: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(host)) = (client, TcpStream::connect(host)) else { return };
                let room =
                    if count.fetch_add(1, Ordering::SeqCst) < cuts { bytes } else { usize::MAX };
                let (up, down) = if upwards { (room, usize::MAX) } else { (usize::MAX, room) };
                let (from, to) = (client.try_clone().expect("a socket"), host.try_clone());
                let to = to.expect("a socket");
                thread::spawn(move || pass(&from, &to, up));
                thread::spawn(move || pass(&host, &client, down));
            }
        });
        Self { address, connections }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Lets in who has the key, as a proxy before a host does.
fn door(host: SocketAddr, key: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(mut client), Ok(mut host)) = (client, TcpStream::connect(host)) else { return };
            let mut head = Vec::new();
            let mut piece = [0; 4 << 10];
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                let Ok(bytes @ 1..) = client.read(&mut piece) else { break };
                head.extend_from_slice(&piece[..bytes]);
            }
            let wanted = format!("\r\nauthorization: Bearer {key}\r\n");
            if !String::from_utf8_lossy(&head).contains(&wanted) {
                let answer =
                    "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = client.write_all(answer.as_bytes());
                continue;
            }
            host.write_all(&head).expect("passed on");
            let (from, to) = (client.try_clone().expect("a socket"), host.try_clone());
            let to = to.expect("a socket");
            thread::spawn(move || pass(&from, &to, usize::MAX));
            thread::spawn(move || pass(&host, &client, usize::MAX));
        }
    });
    url
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, mut room: usize) {
    let mut piece = [0; 16 << 10];
    while let Ok(bytes @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..bytes.min(room)]).is_err() || bytes >= room {
            break;
        }
        room -= bytes;
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

fn url(host: &Host) -> String {
    format!("http://{}", host.address())
}

/// An account and so many large events of a topic: half a megabyte a commit.
fn filled(kind: Kind, large: usize) -> Host {
    let mut host = Setup::new(kind).start();
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"a"}"#).status, 201);
    let topic = r#"{"name":"t","schemas":[{"type":"x"}]}"#;
    assert_eq!(host.post("/topics", topic).status, 201);
    more(&mut host, large);
    host
}

fn more(host: &mut Host, large: usize) {
    let filling = "lorem ipsum ".repeat(3_500);
    let event = format!(r#"{{"topic":"t","type":"x","payload":{{"filling":"{filling}"}}}}"#);
    let batch = format!("[{}]", vec![event; 12].join(","));
    for _ in 0..large {
        assert_eq!(host.post("/events", &batch).status, 201);
    }
    assert_eq!(host.post("/commands/deposit", r#"{"accountId":"a","amount":5}"#).status, 200);
}

fn pulled(from: &str, file: &Path) -> String {
    let (code, said) = run(&["pull", from, "-o", text(file)]);
    assert_eq!(code, Some(0), "{said}");
    said
}

fn head(host: &mut Host) -> String {
    let head = host.get("/log/head").json();
    format!("{}:{}", head["position"], head["hash"].as_str().expect("a hash"))
}

#[test]
fn a_pull_goes_on_after_breaks_and_later() {
    for kind in Kind::PROCESSES {
        let mut host = filled(kind, 4);
        let here = Scratch::new("pull");
        let (file, ndjson) = (here.path().join("log.sqlite"), here.path().join("log.ndjson"));
        for path in [&file, &ndjson] {
            let relay = Relay::to(host.address(), 3, 700 << 10, false);
            let said = pulled(&relay.url(), path);
            let head = head(&mut host);
            assert!(said.contains(&head), "{kind:?}: {said}, not {head}");
            assert!(relay.connections.load(Ordering::SeqCst) > 3, "{kind:?}: nothing was cut");
            let (code, said) = run(&["verify", text(path), "--expect-head", &head]);
            assert_eq!(code, Some(0), "{kind:?}: {said}");
        }
        assert_eq!(fs::read(&ndjson).expect("read"), host.get("/log/export").body, "{kind:?}");
        // A pull that was killed within a line.
        let whole = fs::read(&ndjson).expect("read");
        fs::write(&ndjson, &whole[..whole.len() - 100]).expect("written");
        more(&mut host, 1);
        let events = r#""events":13"#;
        let (_, said) = run(&["pull", &url(&host), "-o", text(&file), "--json"]);
        assert!(said.contains(events), "{kind:?}: only what came since: {said}");
        pulled(&url(&host), &ndjson);
        assert_eq!(fs::read(&ndjson).expect("read"), host.get("/log/export").body, "{kind:?}");
        assert_eq!(replayed(&[text(&file)]), replayed(&[text(&ndjson)]), "{kind:?}");
        let again = pulled(&url(&host), &file);
        assert!(again.contains(": 0 events"), "{kind:?}: {again}");
        for left in ["log.sqlite-wal", "log.sqlite-shm"] {
            assert!(!here.path().join(left).exists(), "{left} is left");
        }
    }
}

#[test]
fn a_host_behind_a_door_is_asked_with_its_key() {
    let mut host = filled(Kind::Native, 1);
    let url = door(host.address(), "open-sesame");
    let here = Scratch::new("door");
    let file = here.path().join("log.sqlite");
    for key in [&[][..], &["--key", "let-me-in"]] {
        let (code, said) = run(&[&["pull", &url, "-o", text(&file)], key].concat());
        assert_eq!(code, Some(2), "{key:?}: {said}");
        assert!(said.contains("401") && !said.contains("let-me-in"), "{said}");
    }
    let (code, said) = run(&["pull", &url, "-o", text(&file), "--key", "no spaces"]);
    assert!(code == Some(2) && said.contains("--key must be visible ASCII"), "{said}");
    assert!(!file.exists(), "nothing came");
    let key = ["--key", "open-sesame"];
    let (code, said) = run(&[&["pull", &url, "-o", text(&file)], &key[..]].concat());
    assert!(code == Some(0) && said.contains(&head(&mut host)), "{said}");
    let (code, said) = run(&[&["rejected", &url], &key[..]].concat());
    assert!(code == Some(0) && said.contains("kept      0\n"), "{said}");
    let other = [text(&file), &url, "--partition", "copy"];
    let (code, said) = run(&[&["push"], &other[..], &key].concat());
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn another_log_is_not_pulled_into_a_file() {
    let mut host = filled(Kind::Native, 1);
    let here = Scratch::new("pull-other");
    let (file, ndjson) = (here.path().join("log.sqlite"), here.path().join("log.ndjson"));
    for path in [&file, &ndjson] {
        pulled(&url(&host), path);
        let before = contents(here.path());
        // The same positions, fewer, and more.
        for commands in [Some(0), None, Some(1)] {
            let mut other = match commands {
                Some(large) => filled(Kind::Native, 1 + large),
                None => Setup::new(Kind::Native).start(),
            };
            let deposit = r#"{"accountId":"a"}"#;
            let _ = other.post("/commands/open-account", deposit);
            let (code, said) = run(&["pull", &url(&other), "-o", text(path)]);
            assert_eq!(code, Some(1), "{commands:?}: {said}");
            assert_eq!(contents(here.path()), before, "{commands:?}: {said}");
        }
    }
    let (code, said) = run(&["pull", &url(&host), "--partition", "none", "-o", text(&file)]);
    assert!(code == Some(2) && said.contains("no log to pull"), "{said}");
    for name in ["new.sqlite", "new.ndjson"] {
        let new = here.path().join(name);
        let (code, said) = run(&["pull", &url(&host), "--partition", "none", "-o", text(&new)]);
        assert!(code == Some(2) && !new.exists(), "nothing came: {said}");
    }
    let (code, said) = run(&["pull", &url(&host), "-o", text(&host.data().join("x.sqlite"))]);
    assert!(code == Some(2) && said.contains("a host serves the directory"), "{said}");
    host.stop();
    let own = host.data().join("main.sqlite");
    let (code, said) = run(&["pull", "http://127.0.0.1:9", "-o", text(&own)]);
    assert!(code == Some(2) && said.contains("it has an owner"), "{said}");
}

#[test]
fn a_log_is_pushed_into_empty_partitions_of_both_hosts() {
    let mut origin = filled(Kind::Native, 3);
    let here = Scratch::new("push");
    let file = here.path().join("log.sqlite");
    pulled(&url(&origin), &file);
    let (expected, lines) = (head(&mut origin), origin.get("/log/export").text());
    for kind in Kind::PROCESSES {
        let mut host = Setup::new(kind).start();
        let relay = Relay::to(host.address(), 2, 600 << 10, true);
        let (code, said) = run(&["push", text(&file), &relay.url()]);
        assert_eq!(code, Some(0), "{kind:?}: {said}");
        assert!(said.contains(&expected) && said.contains("held"), "{kind:?}: {said}");
        assert!(relay.connections.load(Ordering::SeqCst) > 2, "{kind:?}: nothing was cut");
        assert_eq!(host.get("/log/export").text(), lines, "{kind:?}");
        adopt::is_held(&mut host);
        let (code, said) = run(&["push", text(&file), &url(&host)]);
        assert!(code == Some(2) && said.contains("holds a log already"), "{kind:?}: {said}");
        // One that somebody began, of this log and of another one.
        for (partition, same) in [("half", true), ("other", false)] {
            let begun =
                if same { lines.clone() } else { filled(kind, 1).get("/log/export").text() };
            let begun: String = begun.lines().take(3).map(|line| format!("{line}\n")).collect();
            let target = format!("/p/{partition}/log/import");
            let request = Request { body: begun.into(), ..Request::post(&target, "") };
            let headers = vec![("Content-Type".into(), "application/x-ndjson".into())];
            assert_eq!(host.send(&Request { headers, ..request }).status, 200);
            let base = url(&host);
            let push = ["push", text(&file), &base, "--partition", partition];
            let (code, said) = run(&push);
            assert_eq!(code == Some(0), same, "{kind:?}, {partition}: {said}");
            if !same {
                assert!(said.contains("--anew"), "{kind:?}: {said}");
                let (code, said) = run(&[&push[..], &["--anew"]].concat());
                assert_eq!(code, Some(0), "{kind:?}: {said}");
            }
            let target = format!("/p/{partition}/log/export");
            assert_eq!(host.get(&target).text(), lines, "{kind:?}, {partition}");
        }
    }
}

#[test]
fn exports_and_imports_are_the_same_bytes() {
    let mut host = filled(Kind::Worker, 1);
    let here = Scratch::new("export");
    let (file, ndjson) = (here.path().join("log.sqlite"), here.path().join("log.ndjson"));
    let (data, lines) = (host.data(), host.get("/log/export").text());
    let wrangler = ["export", "--wrangler", text(&data)];
    let (code, said) = run(&wrangler);
    assert!(code == Some(0) && said == lines, "{said:.200}");
    for path in [&file, &ndjson] {
        let (code, said) = run(&[&wrangler[..], &["-o", text(path)]].concat());
        assert!(code == Some(0) && said.contains(&head(&mut host)), "{said}");
        let (code, said) = run(&[&wrangler[..], &["-o", text(path)]].concat());
        assert!(code == Some(2) && said.contains("it is there already"), "{said}");
        assert_eq!(run(&["export", text(path)]).1, lines);
    }
    assert_eq!(fs::read_to_string(&ndjson).expect("read"), lines);
    let mut target = Setup::new(Kind::Native).start();
    target.stop();
    let data = target.data();
    for (source, partition) in [(&file, "main"), (&ndjson, "copy")] {
        let import = ["import", text(source), "--data", text(&data), "--partition", partition];
        let (code, said) = run(&import);
        assert!(code == Some(0) && said.contains("foldlog adopt"), "{said}");
        let (code, said) = run(&import);
        assert!(code == Some(2) && said.contains("holds a log already"), "{said}");
    }
    target.restart();
    adopt::is_held(&mut target);
    assert_eq!(target.get("/p/copy/log/export").text(), lines);
    let (code, said) = run(&["import", text(&file), "--data", text(&data), "--partition", "third"]);
    assert!(code == Some(2) && said.contains("another foldlog"), "{said}");
    target.stop();
    let (code, said) = run(&["adopt", text(&data)]);
    assert_eq!(code, Some(0), "{said}");
    target.restart();
    assert_eq!(target.post("/commands/deposit", r#"{"accountId":"a","amount":1}"#).status, 200);
    // A broken log is not exported, and nothing of a file is left.
    let broken = lines.replacen("\"amount\":5", "\"amount\":6", 1);
    fs::write(&ndjson, broken).expect("written");
    let to = here.path().join("broken.sqlite");
    let (code, said) = run(&["export", text(&ndjson), "-o", text(&to)]);
    assert!(code == Some(1) && said.contains("broken at position"), "{said}");
    assert!(!to.exists());
}

#[test]
fn a_truncated_log_says_so_and_is_held_wherever_it_lies() {
    let mut host = filled(Kind::Native, 1);
    more(&mut host, 0);
    let (here, lines) = (Scratch::new("truncate"), host.get("/log/export").text());
    host.stop();
    let (data, path) = (host.data(), host.data().join("main.sqlite"));
    let before = contents(&data);
    let (file, ndjson) = (here.path().join("cut.sqlite"), here.path().join("cut.ndjson"));
    for (to, after) in [(&file, "14"), (&ndjson, "13")] {
        let (code, said) = run(&["truncate", text(&data), "--after", after, "--to", text(to)]);
        assert_eq!(code, Some(0), "{said}");
        // Position 13 lies within the publication, which goes up to 14: only whole commits count.
        let kept = if after == "14" { 14 } else { 2 };
        assert!(said.contains(&format!("after position {kept}")), "{said}");
        let (code, said) = run(&["verify", text(to)]);
        assert_eq!(code, Some(0), "{said}");
        let cut = run(&["export", text(to)]).1;
        let (whole, last) = cut.trim_end().rsplit_once('\n').expect("lines");
        assert!(lines.starts_with(&format!("{whole}\n")), "what is kept is unchanged");
        let told = format!(r#""after":{kept},"head":16}}}}],"hash""#);
        assert!(last.contains("Partition.Truncated") && last.contains(&told), "{last}");
    }
    let (code, said) = run(&["truncate", text(&data), "--after", "16", "--to", text(&file)]);
    assert!(code == Some(2) && said.contains("nothing comes after 16"), "{said}");
    assert_eq!(contents(&data), before, "what it is cut from stays as it is");
    // In the place of the whole log, whose owner this host is.
    fs::copy(&file, &path).expect("copied");
    host.restart();
    adopt::is_held(&mut host);
    adopt::adopt(&mut host);
    host.stop();
    let (code, said) = run(&["verify", text(&data)]);
    assert_eq!(code, Some(0), "{said}");
    // What is bad is not kept.
    fs::write(&ndjson, lines.replacen("\"amount\":5", "\"amount\":6", 1)).expect("written");
    let to = here.path().join("good.sqlite");
    let (code, said) = run(&["truncate", text(&ndjson), "--after", "15", "--to", text(&to)]);
    assert!(code == Some(1) && said.contains("--after 14 at most"), "{said}");
    let (code, said) = run(&["truncate", text(&ndjson), "--after", "14", "--to", text(&to)]);
    assert_eq!(code, Some(0), "{said}");
}
