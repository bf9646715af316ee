//! The module that both hosts run: the domains that this repository ships, and the guest's ABI.
//!
//! Owns the choice of the registry, nothing else.

use foldlog_core::registry::Registry;

foldlog_guest::export!(Registry::standard);
