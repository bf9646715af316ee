//! Topics in the contract: what is published, what its answers look like.
//!
//! Owns the schemas of bodies and answers that are no command's.

use alloc::format;
use alloc::string::String;

use crate::limits::PUBLISH_EVENTS_MAX;

/// The name of a topic that is published to.
const NAME: &str = r#"{"type":"string","pattern":"^[a-z][a-z0-9._-]{0,63}$"}"#;
const ID: &str = r#"{"type":"string","pattern":"^[A-Za-z0-9._:-]{1,128}$"}"#;
/// The name of a topic that is read, in paths.
pub(super) const PATH_NAME: &str = r#"{"type":"string","pattern":"^@?[A-Za-z0-9._:-]{1,128}$"}"#;

/// The body of a publication.
pub(super) fn push_body(out: &mut String) {
    out.push_str(&format!(
        r#","requestBody":{{"required":true,"content":{{"application/json":{{"schema":{{"type":"array","minItems":1,"maxItems":{PUBLISH_EVENTS_MAX},"items":{{"type":"object","required":["topic","type","payload"],"additionalProperties":false,"properties":{{"topic":{NAME},"type":{ID},"payload":{{"description":"What the type's schema allows; kept as it was sent"}}}}}}}}}}}}}}"#
    ));
}

/// The answer to a publication.
pub(super) const PUBLISHED: &str = r##"{"type":"object","required":["eventIds","position","hash"],"additionalProperties":false,"properties":{"eventIds":{"type":"array","description":"In the order of the body: <topic>-<n>","items":{"type":"string"}},"position":{"type":"integer"},"hash":{"$ref":"#/components/schemas/Hash"}}}"##;

/// The events of a topic.
pub(super) const EVENTS: &str = r##"{"type":"array","items":{"type":"object","required":["id","timestamp","type","payload","metadata"],"additionalProperties":false,"properties":{"id":{"type":"string"},"timestamp":{"type":"string","format":"date-time"},"type":{"type":"string"},"payload":{},"metadata":{"type":"object"}}}}"##;

/// What the answer to creating a topic has beside what every command's has.
pub(super) const CREATED: &str = r#"{"type":"object","required":["schemas","createdAt"],"properties":{"schemas":{"type":"array","items":{"type":"object","required":["type","version","schema"],"additionalProperties":false,"properties":{"type":{"type":"string"},"version":{"const":1},"schema":{"type":["object","boolean"]}}}},"createdAt":{"type":"string","format":"date-time"}}}"#;

/// What is wrong with payloads, in a Problem.
pub(super) const ERRORS: &str = r#""errors":{"type":"array","items":{"type":"object","required":["pointer","message"],"additionalProperties":false,"properties":{"index":{"type":"integer","description":"Which event of a publication, from 0"},"pointer":{"type":"string","description":"JSON Pointer (RFC 6901): into the event's payload, or into the body"},"message":{"type":"string"}}}}"#;
