//! The newest part of what a filter lets through, kept for those who follow it.
//!
//! Owns which bytes come after a position. Refuses to wait and to ask for anything.
//!
//! Invariant: from `start` to `looked` nothing is missing. What is older is forgotten, chunk by
//! chunk; whoever is that far behind reads for himself.

use std::collections::VecDeque;

use hyper::body::Bytes;

/// So much is kept for those who are a little behind.
const KEPT_BYTES_MAX: usize = 128 << 10;

/// A page, cut into items.
#[derive(Debug)]
struct Chunk {
    to: u64,
    bytes: Bytes,
    /// Position of each item, and where it starts.
    items: Vec<(u64, usize)>,
}

/// What comes after a position.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing yet.
    Nothing,
    /// These items, and with them all up to this position.
    Items(Bytes, u64),
    /// That is forgotten.
    Forgotten,
}

/// See the module's description.
#[derive(Debug)]
pub struct Span {
    start: u64,
    looked: u64,
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

impl Span {
    /// Nothing, from this position on.
    pub const fn new(start: u64) -> Self {
        Self { start, looked: start, chunks: VecDeque::new(), bytes: 0 }
    }

    /// Up to this position nothing is missing.
    pub const fn looked(&self) -> u64 {
        self.looked
    }

    /// Adds the page that follows; true when something is in it.
    pub fn push(&mut self, bytes: Bytes, to: u64) -> bool {
        self.looked = self.looked.max(to);
        if bytes.is_empty() {
            return false;
        }
        let items = items(&bytes).filter_map(|(start, item)| Some((position(item)?, start)));
        let items = items.collect();
        self.bytes += bytes.len();
        self.chunks.push_back(Chunk { to, bytes, items });
        while self.bytes > KEPT_BYTES_MAX && self.chunks.len() > 1 {
            if let Some(oldest) = self.chunks.pop_front() {
                self.bytes -= oldest.bytes.len();
                self.start = oldest.to;
            }
        }
        true
    }

    /// What comes after a position.
    pub fn after(&self, position: u64) -> After {
        if position >= self.looked {
            return After::Nothing;
        }
        if position < self.start {
            return After::Forgotten;
        }
        for chunk in self.chunks.iter().filter(|chunk| chunk.to > position) {
            let next = chunk.items.partition_point(|(at, _)| *at <= position);
            if let Some((_, start)) = chunk.items.get(next) {
                return After::Items(chunk.bytes.slice(*start..), chunk.to);
            }
        }
        After::Nothing
    }
}

/// The items of a page, each with where it starts. An item ends in the only empty line it has.
pub fn items(page: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = page.get(at..).filter(|rest| !rest.is_empty())?;
        let end =
            rest.windows(2).position(|pair| pair == b"\n\n").map_or(rest.len(), |end| end + 2);
        let start = at;
        at += end;
        Some((start, &rest[..end]))
    })
}

fn position(item: &[u8]) -> Option<u64> {
    let line = item.strip_prefix(b"id: ")?.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(positions: &[u64]) -> Bytes {
        let item = |position| format!("id: {position}\nevent: E\ndata: {{}}\n\n");
        positions.iter().map(item).collect::<String>().into()
    }

    #[test]
    fn whoever_follows_finds_each_item_once_wherever_he_comes_in() {
        let mut span = Span::new(10);
        assert!(span.push(page(&[11, 13, 14]), 15));
        assert!(!span.push(Bytes::new(), 20));
        assert!(span.push(page(&[21]), 21));
        for (position, found) in [
            (9, After::Forgotten),
            (10, After::Items(page(&[11, 13, 14]), 15)),
            (11, After::Items(page(&[13, 14]), 15)),
            (12, After::Items(page(&[13, 14]), 15)),
            (14, After::Items(page(&[21]), 21)),
            (18, After::Items(page(&[21]), 21)),
            (21, After::Nothing),
            (99, After::Nothing),
        ] {
            assert_eq!(span.after(position), found, "{position}");
        }
    }

    #[test]
    fn what_is_old_is_forgotten_and_nothing_else() {
        let mut span = Span::new(0);
        for position in 1..=20_000 {
            span.push(page(&[position]), position);
        }
        assert!(span.bytes <= KEPT_BYTES_MAX);
        let first = (0..20_000).find(|at| span.after(*at) != After::Forgotten);
        assert_eq!(first, Some(span.start));
        for at in span.start..20_000 {
            assert_eq!(span.after(at), After::Items(page(&[at + 1]), at + 1));
        }
    }

    #[test]
    fn a_gap_without_items_is_nothing_new() {
        let mut span = Span::new(5);
        span.push(Bytes::new(), 9);
        assert_eq!((span.after(5), span.looked()), (After::Nothing, 9));
    }
}
