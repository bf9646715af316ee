//! Targets: the URLs that consumers are called at, and which of them may be called at all.
//!
//! Owns the strict form of a callback URL, the names that are refused, and [`is_public`], the one
//! predicate on addresses: registration asks it for literal addresses, the native host for every
//! address that a name resolves to, at each connection. Refuses to resolve a name.
//!
//! Invariant: what is accepted is read alike by every parser that it meets on its way (this one,
//! hyper's, the WHATWG one of a Worker's `fetch`). What one of them would read as an address and
//! another as a name, or would rewrite, is malformed: no setting lets it through.

use alloc::format;
use alloc::string::{String, ToString};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod addresses;
#[cfg(test)]
mod tests;

pub use addresses::{is_public, not_public};

/// Bytes of a callback URL.
pub const URL_BYTES_MAX: usize = 2_048;
/// Bytes of a host name, and of each of its labels.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Why a URL is not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It has not the form of a callback URL. Says what is wrong, to stand behind the field's name.
    #[error("{0}")]
    Malformed(&'static str),
    /// It leads, or by its name can only lead, to where the public network does not.
    #[error("forbidden target: {0}")]
    Forbidden(String),
}

/// Whom a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name, in lower case.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// A callback URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether it is `https`.
    pub tls: bool,
    /// Whom to call.
    pub host: Host,
    /// At which port.
    pub port: u16,
    /// Path and query; begins with `/`.
    pub path: String,
}

impl Target {
    /// Reads a URL, wherever it leads.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        if url.len() > URL_BYTES_MAX {
            return Err(Malformed("must be a URL of at most 2048 bytes"));
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Malformed(
                "must be visible ASCII, without spaces: other characters are percent-encoded in \
                 paths and are Punycode in host names",
            ));
        }
        if url.contains('\\') {
            return Err(Malformed("must not have a backslash"));
        }
        if url.contains('#') {
            return Err(Malformed("must not have a fragment: it would not be sent"));
        }
        let (tls, rest) = scheme(url)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(Malformed("must not have a user name or password"));
        }
        let (host, port) = host_and_port(authority)?;
        let port = port.map_or(Ok(if tls { 443 } else { 80 }), number)?;
        check_path(path)?;
        let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        Ok(Self { tls, host, port, path })
    }

    /// Why its host must not be called, if so: an address that is not public, or a name that can
    /// not lead to one.
    pub fn forbidden(&self) -> Option<String> {
        match &self.host {
            Host::Address(address) => {
                not_public(*address).map(|kind| format!("{address} is {kind}"))
            }
            Host::Name(name) => local_name(name).map(|why| format!("{name} is {why}")),
        }
    }

    /// The URL as it is called: scheme and host in lower case, no port that goes without saying.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let host = match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(IpAddr::V4(address)) => address.to_string(),
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
        };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => format!("{scheme}://{host}{}", self.path),
            (_, port) => format!("{scheme}://{host}:{port}{}", self.path),
        }
    }
}

/// Reads a URL that may be called: with `allow_private` also one that leads inside.
pub fn check(url: &str, allow_private: bool) -> Result<Target, TargetError> {
    let target = Target::parse(url)?;
    match target.forbidden() {
        Some(why) if !allow_private => Err(TargetError::Forbidden(why)),
        _ => Ok(target),
    }
}

/// Whether a settings member of the log lets consumers be called inside. It says so only when it
/// does.
pub fn allow_private(settings: &str) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Known {
        #[serde(default)]
        allow_private_callbacks: bool,
    }
    serde_json::from_str::<Known>(settings).is_ok_and(|known| known.allow_private_callbacks)
}

use TargetError::Malformed;

fn scheme(url: &str) -> Result<(bool, &str), TargetError> {
    let wrong = Malformed("must begin with `http://` or `https://`");
    let Some((scheme, rest)) = url.split_once("://") else { return Err(wrong) };
    if scheme.eq_ignore_ascii_case("https") {
        Ok((true, rest))
    } else if scheme.eq_ignore_ascii_case("http") {
        Ok((false, rest))
    } else {
        Err(wrong)
    }
}

fn host_and_port(authority: &str) -> Result<(Host, Option<&str>), TargetError> {
    if let Some(inner) = authority.strip_prefix('[') {
        let closed = inner.split_once(']');
        let (text, rest) = closed.ok_or(Malformed("must close the bracket behind its host"))?;
        // No zone either: it would name an interface of this machine.
        let address = text.parse::<Ipv6Addr>();
        let address =
            address.map_err(|_| Malformed("must have an IPv6 address, without a zone, in `[]`"))?;
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            None => return Err(Malformed("must have nothing but a port behind `]`")),
            port => port,
        };
        return Ok((Host::Address(address.into()), port));
    }
    match authority.split_once(':') {
        Some((host, port)) => Ok((named(host)?, Some(port))),
        None => Ok((named(authority)?, None)),
    }
}

fn named(text: &str) -> Result<Host, TargetError> {
    if text.is_empty() {
        return Err(Malformed("must have a host"));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    if text.ends_with('.') {
        return Err(Malformed("must not have a host that ends in a dot"));
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(Malformed("must not have a host name of more than 253 characters"));
    }
    if !text.split('.').all(is_label) {
        return Err(Malformed(
            "must have a host name of labels of 1 to 63 letters, digits and inner hyphens, \
             or an address: IPv4 as four decimal numbers, IPv6 in `[]`",
        ));
    }
    if text.rsplit('.').next().is_some_and(is_numeric) {
        return Err(Malformed("must have an IPv4 address as four plain decimal numbers"));
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A last label that makes a WHATWG parser read the whole host as an IPv4 address, in whatever base
/// and however short: digits, or `0x` and hexadecimal digits, also none.
fn is_numeric(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    label.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn number(port: &str) -> Result<u16, TargetError> {
    let plain = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    let number = port.parse().ok().filter(|_| plain);
    number.ok_or(Malformed("must have a port from 1 to 65535, or none and no colon"))
}

/// Paths and queries of RFC 3986 that are sent as they are: a `fetch` encodes what else there is,
/// and takes `.` and `..` out; hyper does neither.
fn check_path(path: &str) -> Result<(), TargetError> {
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let fits = match byte {
            b'%' => [rest.next(), rest.next()]
                .iter()
                .all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
            byte => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?[]".contains(&byte),
        };
        if !fits {
            return Err(Malformed(
                "must have a path and query of letters, digits, `-._~!$&'()*+,;=:@/?[]` and \
                 percent-encoded bytes",
            ));
        }
    }
    let path = path.split('?').next().unwrap_or_default();
    let dots = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    if path.split('/').any(dots) {
        return Err(Malformed("must not have `.` or `..` as a part of its path"));
    }
    Ok(())
}

/// Names that lead to this machine or network by standard or habit, or nowhere. On a Worker, which
/// does not see what a name resolves to, they are all that is refused by us.
///
/// `test` is among them: only resolvers of one's own answer it (RFC 6761), so what it leads to is
/// inside. `example` and `invalid` are not: they lead nowhere (RFC 6761), which the delivery finds.
/// `onion` and `alt` are refused although they lead nowhere, since what answers them (RFC 7686, RFC
/// 9476) is a proxy on this machine or network.
fn local_name(name: &str) -> Option<&'static str> {
    let Some((_, last)) = name.rsplit_once('.') else {
        return Some(match name {
            "localhost" => "this machine",
            // Search lists of this machine complete it, with a domain that is its own.
            _ => "a name without a domain, which only a local network knows",
        });
    };
    if name == "home.arpa" || name.ends_with(".home.arpa") {
        return Some("a name of a home network");
    }
    match last {
        "localhost" | "localdomain" => Some("this machine"),
        // RFC 6762 (multicast DNS), ICANN (internal), and RFC 6762, appendix G (the rest).
        "local" | "internal" | "intranet" | "private" | "corp" | "home" | "lan" => {
            Some("a name of a private network")
        }
        "test" => Some("a name for tests, which only a local network knows"),
        "onion" | "alt" => Some("not a name of the public network"),
        _ => None,
    }
}
