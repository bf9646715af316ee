//! A library that lends books: a domain outside of Foldlog, as docs/your-domain.md builds it.
//!
//! Owns what this module is made of. Refuses to know hosts.

mod book;
mod loans;

pub use book::{Book, BookCommand, BookEvent, BookState};
pub use loans::Loans;

use foldlog_core::registry::Registry;

/// All of the module.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_VERSION")).aggregate::<Book>().projection::<Loans>()
}

foldlog_guest::export!(registry);
