//! Secrets: settings that no one may read but the outside that they are meant for.
//!
//! Owns that they are never shown. Refuses to know what they open.
//!
//! Invariant (law 11): the value leaves only through [`Secret::reveal`], which hosts call where a
//! request goes out, and comes out of no text that passed [`Secret::hide`].

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

/// A value that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What stands in its place.
const HIDDEN: &str = "[hidden]";

impl Secret {
    /// Fits a header: visible ASCII, without spaces.
    pub fn new(value: &str) -> Option<Self> {
        let fits = value.bytes().all(|byte| byte.is_ascii_graphic());
        (fits && (8..=1_024).contains(&value.len())).then(|| Self(value.to_string()))
    }

    /// The value, for the request that goes out.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The text without the value, also where a cut left only its beginning at the end.
    pub fn hide(&self, text: &str) -> String {
        let hidden = text.replace(&self.0, HIDDEN);
        // Shorter beginnings tell nothing, and many a text ends in one.
        let cut = (4..self.0.len()).rev().find_map(|length| {
            let start = self.0.get(..length)?;
            hidden.strip_suffix(start)
        });
        cut.map_or_else(|| hidden.clone(), |kept| format!("{kept}{HIDDEN}"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HIDDEN)
    }
}
