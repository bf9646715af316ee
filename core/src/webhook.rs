//! Webhooks: how a delivery is signed, by the scheme of Standard Webhooks.
//!
//! Owns keys, their text for receivers, and signatures. For hosts alone: the guest knows no secret
//! and makes no hash. Refuses to know what is delivered, and when.
//!
//! Invariant (law 11): a consumer's key follows from the host's secret and is stored nowhere. It is
//! told once, in the answer that made it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::chain::sha256;
use crate::settings::Secret;

/// The header with the delivery's id: the same for each attempt at it, and without a `.`, which is
/// what separates it from the rest that is signed.
pub const ID: &str = "webhook-id";
/// The header with the attempt's time, in seconds of Unix time.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";
/// Not of the specification: how many deliveries led to this one, itself included.
pub const HOPS: &str = "foldlog-hops";

/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;

/// What a consumer's deliveries are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of a consumer; another generation is another key.
    pub fn derive(secret: &Secret, consumer: &str, generation: u32) -> Self {
        let generation = generation.to_string();
        let parts = [b"consumer\0", consumer.as_bytes(), b"\0", generation.as_bytes()];
        Self(hmac_sha256(secret.reveal().as_bytes(), &parts))
    }

    /// As the libraries of Standard Webhooks take it. For the one answer that tells it.
    pub fn text(&self) -> String {
        secret_text(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[hidden]")
    }
}

/// The value of [`SIGNATURE`]: one for each key, so that receivers may go on with an older one for
/// a while.
pub fn signatures(keys: &[Key], id: &str, timestamp_s: u64, body: &[u8]) -> String {
    let all: Vec<String> = keys.iter().map(|key| sign(&key.0, id, timestamp_s, body)).collect();
    all.join(" ")
}

/// One signature: HMAC-SHA256 over id, time and body.
pub fn sign(secret: &[u8], id: &str, timestamp_s: u64, body: &[u8]) -> String {
    let time = timestamp_s.to_string();
    let mac = hmac_sha256(secret, &[id.as_bytes(), b".", time.as_bytes(), b".", body]);
    let mut text = String::from("v1,");
    push_base64(&mut text, &mac);
    text
}

/// A secret as its receiver is told it.
pub fn secret_text(secret: &[u8]) -> String {
    let mut text = String::from("whsec_");
    push_base64(&mut text, secret);
    text
}

/// RFC 2104, over the hash that the chain has: a crate for it would be the larger part to trust.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let hashed = sha256(&[key]);
    let key = if key.len() > BLOCK_BYTES { &hashed } else { key };
    let padded = |with: u8| {
        let mut block = [with; BLOCK_BYTES];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let (inner, outer) = (padded(0x36), padded(0x5c));
    let all: Vec<&[u8]> = core::iter::once(&inner[..]).chain(parts.iter().copied()).collect();
    sha256(&[&outer, &sha256(&all)])
}

/// RFC 4648, section 4, with padding.
fn push_base64(text: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or_default());
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for (n, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = usize::try_from((bits >> shift) & 63).ok().and_then(|n| ALPHABET.get(n));
            // Three bytes make four digits, two make three, one makes two.
            let filled = n <= chunk.len();
            text.push(digit.filter(|_| filled).map_or('=', |digit| char::from(*digit)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::hex;

    fn base64(bytes: &[u8]) -> String {
        let mut text = String::new();
        push_base64(&mut text, bytes);
        text
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf, 0xfe]), "+/+//g==");
    }

    #[test]
    fn hmac_is_that_of_the_rfc() {
        // RFC 4231, cases 1, 2, 6: a short key, a shorter one, one longer than a block.
        let long = [0xaa; 131];
        for (key, data, wanted) in [
            (
                &[0x0b; 20][..],
                &b"Hi There"[..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &long,
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex(&hmac_sha256(key, &[data])), wanted);
            let (start, end) = data.split_at(3);
            assert_eq!(hex(&hmac_sha256(key, &[start, b"", end])), wanted, "in parts");
        }
    }

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // What `MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw` is in base64.
        let secret = [
            0x31, 0xf2, 0x90, 0xf6, 0xbf, 0x06, 0x29, 0x8a, 0xab, 0x4f, 0x08, 0xd4, 0x3c, 0x3f,
            0x08, 0x2c, 0xf6, 0x48, 0xa3, 0x62, 0xda, 0x2d, 0xa4, 0xb0,
        ];
        assert_eq!(secret_text(&secret), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn keys_differ_by_secret_consumer_and_generation() {
        let secret = |text: &str| Secret::new(text).expect("a secret");
        let one = secret("sixteen-planted-1");
        let keys = [
            Key::derive(&one, "consumer-1", 1),
            Key::derive(&one, "consumer-1", 2),
            Key::derive(&one, "consumer-11", 1),
            Key::derive(&one, "consumer-2", 1),
            Key::derive(&secret("sixteen-planted-2"), "consumer-1", 1),
        ];
        let mut texts: Vec<String> = keys.iter().map(Key::text).collect();
        assert_eq!(texts[0], Key::derive(&one, "consumer-1", 1).text(), "the same each time");
        assert_eq!(texts[0].len(), "whsec_".len() + 44);
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), keys.len());
        assert_eq!(alloc::format!("{:?}", keys[0]), "[hidden]");
        let both = signatures(&keys[..2], "a", 1, b"b");
        let single = |n: usize| sign(&keys[n].0, "a", 1, b"b");
        assert_eq!(both, [single(0), single(1)].join(" "));
    }
}
