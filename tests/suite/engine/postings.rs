//! Lists of events: whatever filters, direction, limit and start, following `rel="next"` gives
//! exactly what a scan of the log gives.

use foldlog_core::chain;
use foldlog_core::driver::{MemoryStore, Store};
use foldlog_core::time::Time;
use serde_json::Value;

use super::kit::{
    self, Bank, NEW_YEAR_MS, Random, Setup, close, deposit, get, header, open_account, seed, with,
    withdraw,
};

/// An event as a scan sees it.
#[derive(Debug)]
struct Seen {
    position: u64,
    event_type: String,
    stream: String,
    version: u64,
    time: String,
    correlation: String,
}

fn scan(store: &MemoryStore) -> Vec<Seen> {
    let mut all = Vec::new();
    for line in kit::lines(store).iter().skip(1) {
        let value: Value = serde_json::from_str(line).expect("a line is JSON");
        let first = chain::position(line).expect("a line states its position");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let given = value["correlationId"].as_str();
        let correlation = given.map_or_else(|| format!("evt-{first:03}"), String::from);
        let events = value["events"].as_array().expect("events");
        all.extend(events.iter().zip(first..).map(|(event, position)| Seen {
            position,
            event_type: text(&event["type"]),
            stream: text(&event["stream"]),
            version: event["version"].as_u64().unwrap_or_default(),
            time: text(&value["time"]),
            correlation: correlation.clone(),
        }));
    }
    all
}

/// Positions of all pages of a list, and how many pages there were.
pub fn all_positions<T: Store>(bank: &mut Bank<T>, target: &str) -> (Vec<u64>, u64) {
    let (mut found, mut pages) = (Vec::new(), 0);
    let mut next = Some(target.to_string());
    while let Some(target) = next.take() {
        let reply = bank.run(vec![get(&target)]).remove(0);
        let (status, body) = kit::shown(&reply);
        assert_eq!(status, 200, "{target}: {body}");
        let events: Vec<Value> = serde_json::from_str(&body).expect("a list");
        found.extend(events.iter().map(|event| {
            event["metadata"]["position"].as_u64().expect("an event states its position")
        }));
        pages += 1;
        assert!(pages < 10_000, "{target}: pages without end");
        next = header(&reply, "Link").map(|link| {
            let inner = link.strip_prefix('<').and_then(|rest| rest.split_once('>'));
            let (target, rest) = inner.unwrap_or_else(|| panic!("a link: {link}"));
            assert_eq!(rest, "; rel=\"next\"", "{link}");
            target.to_string()
        });
    }
    (found, pages)
}

/// A bank with few accounts, many moves, and correlation ids given and not.
fn filled(setup: &Setup) -> Bank<MemoryStore> {
    let mut bank = setup.open(MemoryStore::default());
    let mut random = Random::new(11);
    for _ in 0..300 {
        let batch = (0..4).map(|_| {
            let id = format!("acc-{}", random.below(12));
            let command = match random.below(12) {
                0..=1 => open_account(&id, 9_000),
                2..=8 => deposit(&id, random.below(50) + 1),
                9..=10 => withdraw(&id, 1),
                _ => close(&id),
            };
            match random.below(3) {
                0 => with(command, "x-correlation-id", &format!("flow-{}", random.below(4))),
                // The form of a default id, of a commit that has been: both are found.
                1 if random.below(4) == 0 => with(command, "x-correlation-id", "evt-007"),
                _ => command,
            }
        });
        bank.run(batch.collect());
    }
    bank.checkpoint().expect("a checkpoint is stored");
    // Some records are in memory only, beyond the stored rows.
    for n in 0..40 {
        bank.run(vec![deposit(&format!("acc-{}", n % 12), 1)]);
    }
    bank
}

/// A filter: its query text, and whether an event passes.
type Filter = (String, Box<dyn Fn(&Seen) -> bool>);

fn random_filters(random: &mut Random, head: u64) -> Vec<Filter> {
    let mut filters: Vec<Filter> = Vec::new();
    if random.below(2) == 0 {
        let types =
            ["AccountOpened", "MoneyDeposited", "MoneyWithdrawn", "AccountClosed", "Nothing"];
        let wanted = types[random.below(5) as usize];
        filters.push((format!("type={wanted}"), Box::new(move |e| e.event_type == wanted)));
    }
    if random.below(3) == 0 {
        let wanted = ["BankAccount", "Other"][random.below(8) as usize / 7];
        let prefix = format!("{wanted}:");
        let passes = move |e: &Seen| e.stream.starts_with(&prefix);
        filters.push((format!("category={wanted}"), Box::new(passes)));
    }
    if random.below(3) == 0 {
        let wanted = match random.below(3) {
            0 => format!("flow-{}", random.below(5)),
            1 => "evt-007".to_string(),
            _ => format!("evt-{:03}", random.below(head + 5) + 1),
        };
        let text = format!("correlationId={wanted}");
        filters.push((text, Box::new(move |e| e.correlation == wanted)));
    }
    let at = |random: &mut Random| {
        Time(NEW_YEAR_MS + random.below(head + 20) * 1_000 + random.below(3) * 500).to_iso()
    };
    if random.below(4) == 0 {
        let from = at(random);
        filters.push((format!("from={from}"), Box::new(move |e| e.time >= from)));
    }
    if random.below(4) == 0 {
        let to = at(random);
        filters.push((format!("to={to}"), Box::new(move |e| e.time <= to)));
    }
    filters
}

#[test]
fn pages_of_any_filter_are_what_a_scan_finds() {
    let mut random = Random::new(seed(12));
    for row_cache_max in [64 << 20, 24 << 10] {
        let setup = Setup { row_cache_max, ..Setup::default() };
        let mut bank = filled(&setup);
        let all = scan(bank.store());
        let head = all.len() as u64;
        assert!(head > 600, "{head} records");
        for _ in 0..150 {
            let filters = random_filters(&mut random, head);
            let descending = random.below(2) == 0;
            let limit = [1, 2, 7, 50, 127, 128, 129, 1_000][random.below(8) as usize];
            // A page of one takes as many rounds as there are records: look at the end only.
            let narrow = limit < 50 || random.below(2) == 0;
            let after = match (narrow, descending) {
                (false, _) => None,
                (true, false) => Some(head - random.below(60.min(head))),
                (true, true) => Some(random.below(60) + 1),
            };
            let mut target = format!("/events/stream?limit={limit}");
            target += if descending { "&order=desc" } else { "&order=asc" };
            for (text, _) in &filters {
                target += &format!("&{text}");
            }
            if let Some(after) = after {
                target += &format!("&after={after}");
            }
            let start = |e: &&Seen| match (after, descending) {
                (None, _) => true,
                (Some(after), false) => e.position > after,
                (Some(after), true) => e.position < after,
            };
            let passing = all.iter().filter(start).filter(|e| filters.iter().all(|(_, f)| f(e)));
            let mut expected: Vec<u64> = passing.map(|e| e.position).collect();
            if descending {
                expected.reverse();
            }
            let (found, pages) = all_positions(&mut bank, &target);
            assert_eq!(found, expected, "{target} (cache {row_cache_max})");
            let needed = (expected.len() as u64).div_ceil(limit).max(1);
            assert!(pages <= needed + 1, "{target}: {pages} pages for {} events", expected.len());
        }
    }
}

#[test]
fn pages_of_a_stream_are_what_a_scan_finds() {
    let mut random = Random::new(seed(13));
    let mut bank = filled(&Setup::default());
    let all = scan(bank.store());
    for _ in 0..120 {
        let account = format!("acc-{}", random.below(12));
        let stream = format!("BankAccount:{account}");
        let own = all.iter().filter(|e| e.stream == stream);
        let count = own.clone().count() as u64;
        let from_version = random.below(count + 3);
        let descending = random.below(2) == 0;
        let mut target = format!("/events/account/{account}?limit={}", random.below(30) + 1);
        target += if descending { "&order=desc" } else { "" };
        if from_version > 0 {
            target += &format!("&fromVersion={from_version}");
        }
        let own = own.filter(|e| e.version >= from_version);
        let mut expected: Vec<u64> = own.map(|e| e.position).collect();
        if descending {
            expected.reverse();
        }
        assert_eq!(all_positions(&mut bank, &target).0, expected, "{target}");
    }
}
