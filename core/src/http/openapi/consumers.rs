//! What the contract says of consumers.

use alloc::format;
use alloc::string::{String, ToString};

use crate::http::routes::Of;

/// Schemas of their answers.
pub const SCHEMAS: &str = r##""Consumer":{"type":"object","required":["consumerId","callback","topics","onFailure","status"],"additionalProperties":false,"properties":{"consumerId":{"type":"string","format":"uuid"},"callback":{"type":"string"},"topics":{"type":"object","description":"Of each topic the id of the last event delivered","additionalProperties":{"type":["string","null"]}},"onFailure":{"enum":["remove","retry"]},"status":{"enum":["active","retrying"]}}},"ConsumerSecret":{"type":"object","required":["ok","consumerId","secret","version","position","hash"],"additionalProperties":false,"properties":{"ok":{"const":true},"consumerId":{"type":"string","format":"uuid"},"secret":{"type":"string","description":"Signs deliveries by Standard Webhooks; told here and nowhere else","pattern":"^whsec_[A-Za-z0-9+/]{43}=$"},"version":{"type":"integer"},"position":{"type":"integer"},"hash":{"$ref":"#/components/schemas/Hash"}}}"##;

/// The schema of an answer.
pub fn answer(of: Of) -> String {
    match of {
        Of::List => r##"{"type":"array","items":{"$ref":"#/components/schemas/Consumer"}}"##,
        _ => r##"{"$ref":"#/components/schemas/ConsumerSecret"}"##,
    }
    .to_string()
}

/// What follows the responses' brace for those that change something.
pub fn push_success(out: &mut String, of: Of, content: &str) {
    let string = "{\"schema\":{\"type\":\"string\"}}";
    let headers = format!(
        "\"headers\":{{\"ETag\":{string},\"Foldlog-Position\":{string},\"Foldlog-Hash\":{string},\"Idempotency-Replayed\":{string}}}"
    );
    let (known, content) = (
        "\"200\":{\"description\":\"The event that it names is there\",",
        format!("{headers},{content}"),
    );
    out.push_str(&match of {
        Of::Register => {
            format!("{known}{content}}},\"201\":{{\"description\":\"It is registered\",{content}}}")
        }
        Of::Remove => format!("\"204\":{{\"description\":\"It is gone\",{headers}}}"),
        Of::Rotate | Of::List => format!("\"200\":{{\"description\":\"Done\",{content}}}"),
    });
}
