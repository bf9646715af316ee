//! Live readers: who follows what a partition stores, over HTTP and WebSocket.
//!
//! ```text
//!   actor ─ stored ─▶ Feed ─▶ Channel (one per filter) ─▶ Reader ─▶ sse, ws
//!                              renders a range once        one per connection
//! ```
//!
//! A range in which a filter finds nothing is not even rendered when its bytes tell: see `recent`.
//!
//! Owns the way from "something was stored" to bytes in a socket. Refuses to know what events look
//! like and which ones a filter lets through: the guest renders pages, and says up to where.
//!
//! Invariants. A page is a read like any other, so it shows only what is stored (law 3). The
//! writer never waits for a reader: it tells a number and goes on. A partition may close while it
//! is followed: its readers wait at the feed, which outlives it, and only a commit opens it again.

mod channel;
mod feed;
mod reader;
mod recent;
mod span;
mod sse;
mod ws;

pub use feed::{Feed, Feeds};
pub use reader::Reader;
pub use sse::body;
pub use ws::{accept, serve};
