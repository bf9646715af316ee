//! JSON objects for people's tools: log lines and the answers of `--json`.
//!
//! Owns commas and quotes, and keeps members in the order in which they were added.

use foldlog_core::json::push_string;

/// An object under construction.
#[derive(Clone, Debug, Default)]
pub struct Object(String);

impl Object {
    /// Adds a text.
    pub fn text(self, name: &str, value: &str) -> Self {
        let mut token = String::new();
        push_string(&mut token, value);
        self.token(name, &token)
    }

    /// Adds a token as it is: a number, `true`, another object.
    pub fn token(mut self, name: &str, token: impl std::fmt::Display) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        push_string(&mut self.0, name);
        self.0.push_str(&format!(":{token}"));
        self
    }

    /// The object's text.
    pub fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

/// An array of tokens.
pub fn array(tokens: &[String]) -> String {
    format!("[{}]", tokens.join(","))
}
