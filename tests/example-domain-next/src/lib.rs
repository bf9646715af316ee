//! The library that lends books, a year later: it has branches, overdue books cost a fee, loans can
//! be renewed. It goes on with the log that the first module wrote.
//!
//! Owns what this module is made of. Refuses to know hosts.

mod book;
mod loans;
mod reminders;

pub use book::{Book, BookCommand, BookEvent, BookState};
pub use loans::Loans;
pub use reminders::Reminders;

use foldlog_core::registry::Registry;

/// All of the module.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_VERSION"))
        .aggregate::<Book>()
        .projection::<Loans>()
        .manager::<Reminders>()
}

foldlog_guest::export!(registry);
