//! What entry.mjs gets: replies, effects and listings as plain values of JavaScript.
//!
//! Owns which place of an array holds what. Refuses to know who asked.

use foldlog_core::driver::Reply;
use foldlog_core::protocol::{Listing, Response};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::export;

/// A reply, as [`crate::Shim::run`] says.
pub fn plain(reply: Reply) -> Array {
    let mut head = String::with_capacity(256);
    for (name, value) in &reply.response.headers {
        if !head.is_empty() {
            head.push('\n');
        }
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
    }
    let body = Uint8Array::from(reply.response.body.as_slice());
    let plain = Array::of3(&reply.response.status.into(), &head.into(), &body.into());
    if let Some(bounds) = reply.export {
        plain.push(&export::number(bounds.after).into());
        plain.push(&export::number(bounds.to).into());
    }
    if let Some(Listing { after, limit, link }) = reply.listing {
        plain.set(5, Array::of3(&after.into(), &limit.into(), &link.into()).into());
    }
    if let Some(token) = reply.import {
        plain.set(6, export::number(token).into());
    }
    if let Some(live) = reply.live {
        let (after, head) = (export::number(live.after), export::number(live.head));
        let (target, socket) = (live.target.into(), live.socket.into());
        plain.set(8, Array::of4(&target, &after.into(), &head.into(), &socket).into());
    }
    if reply.again {
        plain.set(9, true.into());
    }
    plain
}

/// Body and `Link` header, empty at the end, of a list of these partitions: see
/// [`Listing::fill`].
#[wasm_bindgen]
pub fn listed(after: String, limit: u32, link: String, names: Vec<String>) -> Array {
    let mut response = Response { status: 200, headers: Vec::new(), body: Vec::new() };
    Listing { after, limit, link }.fill(&mut response, &names);
    let link = response.headers.pop().map(|(_, link)| link).unwrap_or_default();
    Array::of2(&String::from_utf8_lossy(&response.body).as_ref().into(), &link.into())
}
