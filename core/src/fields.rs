//! Fields of a command's body: declared once, checked and published from the same table.
//!
//! Owns the closed field list: what a field is called, what it may hold, and the problem that
//! names it when it holds something else. Refuses to know commands and routes.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::errors::{Code, Problem};
use crate::ids::{is_email, is_header_id, is_id, is_topic};
use crate::json;
use crate::limits::{
    EMAIL_CHARS_MAX, EVENT_IDS_MAX, HEADER_ID_CHARS_MAX, ID_CHARS_MAX, INTEGER_MAX,
    TOPIC_CHARS_MAX, TOPIC_TYPES_MAX,
};

/// One field of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in JSON.
    pub name: &'static str,
    /// What it may hold.
    pub kind: FieldKind,
    /// Whether it may be left out.
    pub optional: bool,
    /// One line for the contract.
    pub doc: &'static str,
}

/// What a field may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// An id: `[A-Za-z0-9._:-]{1,128}`.
    Id,
    /// A JSON integer from `min` to 2^53−1, without fraction or exponent.
    Integer {
        /// Lowest value.
        min: u64,
    },
    /// Visible ASCII and space, 1 to 255 characters: what a header may hold too.
    HeaderId,
    /// A list of 1 to 1,000 ids, no two alike.
    Ids,
    /// An email address.
    Email,
    /// A list of 1 to so many email addresses.
    Emails {
        /// Most addresses.
        count_max: usize,
    },
    /// `true` or `false`.
    Flag,
    /// An object of 1 to so many topics, each with the id of an event or null.
    Places {
        /// Most topics.
        count_max: usize,
    },
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A topic's name: `[a-z][a-z0-9._-]{0,63}`, not `evt`.
    Topic,
    /// A list of schemas, each with an event type. What is wrong within is for the decision to say.
    Schemas,
    /// Text of at most so many characters.
    Text {
        /// Most characters.
        chars_max: usize,
    },
}

const EMAIL_SCHEMA: &str = r#"{"type":"string","maxLength":254,"format":"email""#;

/// What every command takes beside its own fields.
pub const COMMON: &[Field] = &[Field {
    name: "eventIds",
    kind: FieldKind::Ids,
    optional: true,
    doc: "Ids of the events that the command makes, one each. All known: those events are returned (200), whatever commits they are in; version, position and hash are then those of the newest of these. Some known: 409. Not of the form evt-<number>",
}];

/// Who; in a body that has it, in place of the header.
pub const ACTOR: Field =
    Field { name: "actor", kind: FieldKind::HeaderId, optional: true, doc: "Who, before X-Actor" };
/// What it belongs to; in a body that has it, in place of the header.
pub const CORRELATION_ID: Field = Field {
    name: "correlationId",
    kind: FieldKind::HeaderId,
    optional: true,
    doc: "What this belongs to, before X-Correlation-Id",
};
/// What led to it; in a body that has it, in place of the header.
pub const CAUSATION_ID: Field = Field {
    name: "causationId",
    kind: FieldKind::HeaderId,
    optional: true,
    doc: "What led to this, before X-Causation-Id",
};
/// The id of the one event that the command makes.
pub const EVENT_ID: Field = Field {
    name: "eventId",
    kind: FieldKind::Id,
    optional: true,
    doc: "Id of the event that the command makes: the same as eventIds with this one",
};

/// The members of a body that passed its field list.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Fields<'a> {
    /// Checks the minified JSON text of a command against its closed field list.
    pub fn parse(text: &'a str, fields: &[Field]) -> Result<Self, Problem> {
        Self::closed(text, &[fields, COMMON].concat())
    }

    /// Checks a minified JSON text against exactly these fields.
    pub fn closed(text: &'a str, fields: &[Field]) -> Result<Self, Problem> {
        let members = json::members(text).ok_or_else(|| {
            Problem::new(Code::InvalidField, "the body must be a JSON object").text("field", "")
        })?;
        for (name, token) in &members {
            match fields.iter().find(|field| field.name == name) {
                Some(field) => check(field, token)?,
                None => return Err(unknown(name, fields)),
            }
        }
        for field in fields.iter().filter(|field| !field.optional) {
            if !members.iter().any(|(name, _)| name == field.name) {
                let detail =
                    format!("field `{}` is missing: {}", field.name, expectation(field.kind));
                return Err(Problem::new(Code::InvalidField, detail).text("field", field.name));
            }
        }
        Ok(Self { members })
    }

    /// The value of a list of ids; empty when it is not there.
    pub fn ids(&self, name: &str) -> Vec<String> {
        let token = self.members.iter().find(|(n, _)| n == name).map(|(_, token)| *token);
        token.and_then(ids).unwrap_or_default()
    }

    /// The value of an object of topics; empty when it is not there.
    pub fn places(&self, name: &str) -> Vec<(String, Option<String>)> {
        let token = self.members.iter().find(|(n, _)| n == name).map(|(_, token)| *token);
        token.and_then(places).unwrap_or_default()
    }

    /// Whether a flag is there and set.
    pub fn flag(&self, name: &str) -> bool {
        self.members.iter().any(|(n, token)| n == name && *token == "true")
    }

    /// The value of a text field, when it is there.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let (_, token) = self.members.iter().find(|(n, _)| n == name)?;
        json::string(token)
    }
}

fn ids(token: &str) -> Option<Vec<String>> {
    let tokens = json::elements(token)?;
    tokens.into_iter().map(|token| json::string(token).map(Cow::into_owned)).collect()
}

fn places(token: &str) -> Option<Vec<(String, Option<String>)>> {
    let one = |(topic, token): (Cow<'_, str>, &str)| {
        let id = if token == "null" { None } else { Some(json::string(token)?.into_owned()) };
        let fits = is_id(topic.strip_prefix('@').unwrap_or(&topic));
        (fits && id.as_deref().is_none_or(is_id)).then(|| (topic.into_owned(), id))
    };
    json::members(token)?.into_iter().map(one).collect()
}

fn check(field: &Field, token: &str) -> Result<(), Problem> {
    let ok = match field.kind {
        FieldKind::Id => {
            let Some(text) = json::string(token) else { return Err(invalid(field)) };
            if !is_id(&text) {
                let detail = format!("field `{}` must be {}", field.name, expectation(field.kind));
                let problem = Problem::new(Code::InvalidId, detail).text("field", field.name);
                return Err(problem.number("limit", ID_CHARS_MAX as u64));
            }
            true
        }
        FieldKind::Integer { min } => {
            json::unsigned(token).is_some_and(|n| n >= min && n <= INTEGER_MAX)
        }
        FieldKind::HeaderId => json::string(token).is_some_and(|text| is_header_id(&text)),
        FieldKind::Ids => ids(token).is_some_and(|ids| {
            let count = ids.len();
            let formed = ids.iter().all(|id| is_id(id));
            let mut each: Vec<&str> = ids.iter().map(String::as_str).collect();
            each.sort_unstable();
            each.dedup();
            formed && each.len() == count && (1..=EVENT_IDS_MAX).contains(&count)
        }),
        FieldKind::Email => json::string(token).is_some_and(|text| is_email(&text)),
        FieldKind::Emails { count_max } => ids(token).is_some_and(|all| {
            (1..=count_max).contains(&all.len()) && all.iter().all(|text| is_email(text))
        }),
        FieldKind::Flag => matches!(token, "true" | "false"),
        FieldKind::Places { count_max } => {
            places(token).is_some_and(|all| (1..=count_max).contains(&all.len()))
        }
        FieldKind::OneOf(words) => json::string(token).is_some_and(|text| words.contains(&&*text)),
        FieldKind::Topic => json::string(token).is_some_and(|text| is_topic(&text)),
        FieldKind::Schemas => token.starts_with('['),
        FieldKind::Text { chars_max } => {
            json::string(token).is_some_and(|text| text.chars().count() <= chars_max)
        }
    };
    if ok { Ok(()) } else { Err(invalid(field)) }
}

fn invalid(field: &Field) -> Problem {
    let detail = format!("field `{}` must be {}", field.name, expectation(field.kind));
    let problem = Problem::new(Code::InvalidField, detail).text("field", field.name);
    let limit = match field.kind {
        FieldKind::Id => ID_CHARS_MAX as u64,
        FieldKind::Integer { .. } => INTEGER_MAX,
        FieldKind::HeaderId => HEADER_ID_CHARS_MAX as u64,
        FieldKind::Ids => EVENT_IDS_MAX as u64,
        FieldKind::Text { chars_max } => chars_max as u64,
        FieldKind::Email => EMAIL_CHARS_MAX as u64,
        FieldKind::Emails { count_max } => count_max as u64,
        FieldKind::Places { count_max } => count_max as u64,
        FieldKind::Flag | FieldKind::OneOf(_) => return problem,
        FieldKind::Topic => TOPIC_CHARS_MAX as u64,
        FieldKind::Schemas => TOPIC_TYPES_MAX as u64,
    };
    problem.number("limit", limit)
}

fn unknown(name: &str, fields: &[Field]) -> Problem {
    let name: String = name.chars().take(ID_CHARS_MAX).collect();
    let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
    let known = match known.as_slice() {
        [] => "there are none".into(),
        known => format!("known: {}", known.join(", ")),
    };
    let detail = format!("field `{name}` is not known here; {known}");
    Problem::new(Code::UnknownField, detail).text("field", &name)
}

fn expectation(kind: FieldKind) -> String {
    match kind {
        FieldKind::Id => {
            format!("a string of 1 to {ID_CHARS_MAX} characters from A-Z a-z 0-9 . _ : -")
        }
        FieldKind::Integer { min } => {
            format!("a JSON integer from {min} to {INTEGER_MAX}, without fraction or exponent")
        }
        FieldKind::HeaderId => {
            format!(
                "a string of 1 to {HEADER_ID_CHARS_MAX} visible ASCII characters or spaces, not starting with ~"
            )
        }
        FieldKind::Ids => format!(
            "a list of 1 to {EVENT_IDS_MAX} different strings, each of 1 to {ID_CHARS_MAX} characters from A-Z a-z 0-9 . _ : -"
        ),
        FieldKind::Email => {
            format!(
                "an email address of at most {EMAIL_CHARS_MAX} characters, such as ann@example.com"
            )
        }
        FieldKind::Emails { count_max } => format!(
            "a list of 1 to {count_max} email addresses, each of at most {EMAIL_CHARS_MAX} characters"
        ),
        FieldKind::Flag => "true or false".into(),
        FieldKind::Places { count_max } => {
            format!("an object of 1 to {count_max} topics, each with the id of an event or null")
        }
        FieldKind::OneOf(words) => format!("one of {}", words.join(", ")),
        FieldKind::Topic => format!(
            "a string of 1 to {TOPIC_CHARS_MAX} characters from a-z 0-9 . _ -, starting with a-z, other than evt"
        ),
        FieldKind::Schemas => format!("a list of 1 to {TOPIC_TYPES_MAX} schemas"),
        FieldKind::Text { chars_max } => format!("a string of at most {chars_max} characters"),
    }
}

/// The JSON Schema of a field, for the contract.
pub fn schema(field: &Field) -> String {
    let mut out = String::new();
    match field.kind {
        FieldKind::Id => {
            out.push_str("{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9._:-]{1,128}$\"");
        }
        FieldKind::Integer { min } => {
            out.push_str(&format!(
                "{{\"type\":\"integer\",\"minimum\":{min},\"maximum\":{INTEGER_MAX}"
            ));
        }
        FieldKind::HeaderId => {
            out.push_str("{\"type\":\"string\",\"pattern\":\"^[ -}][ -~]{0,254}$\"");
        }
        FieldKind::Ids => {
            out.push_str(&format!("{{\"type\":\"array\",\"minItems\":1,\"maxItems\":{EVENT_IDS_MAX},\"uniqueItems\":true,\"items\":{{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9._:-]{{1,128}}$\"}}"));
        }
        FieldKind::Email => out.push_str(EMAIL_SCHEMA),
        FieldKind::Emails { count_max } => {
            out.push_str(&format!("{{\"type\":\"array\",\"minItems\":1,\"maxItems\":{count_max},\"items\":{EMAIL_SCHEMA}}}"));
        }
        FieldKind::Flag => out.push_str("{\"type\":\"boolean\""),
        FieldKind::Places { count_max } => out.push_str(&format!("{{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":{count_max},\"propertyNames\":{{\"pattern\":\"^@?[A-Za-z0-9._:-]{{1,128}}$\"}},\"additionalProperties\":{{\"type\":[\"string\",\"null\"],\"pattern\":\"^[A-Za-z0-9._:-]{{1,128}}$\"}}")),
        FieldKind::OneOf(words) => {
            out.push_str(&format!("{{\"enum\":[\"{}\"]", words.join("\",\"")));
        }
        FieldKind::Topic => out.push_str(
            "{\"type\":\"string\",\"pattern\":\"^[a-z][a-z0-9._-]{0,63}$\",\"not\":{\"const\":\"evt\"}",
        ),
        FieldKind::Schemas => out.push_str(&format!("{{\"type\":\"array\",\"minItems\":1,\"maxItems\":{TOPIC_TYPES_MAX},\"items\":{{\"type\":\"object\",\"required\":[\"type\"],\"properties\":{{\"type\":{{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9._:-]{{1,128}}$\"}}}}}}")),
        FieldKind::Text { chars_max } => {
            out.push_str(&format!("{{\"type\":\"string\",\"maxLength\":{chars_max}"));
        }
    }
    out.push_str(",\"description\":");
    json::push_string(&mut out, field.doc);
    out.push('}');
    out
}
