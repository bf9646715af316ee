//! Addresses: which of them belong to the public network.
//!
//! Owns the registries of special addresses (IANA's, RFC 6890 and its successors) as a list, and
//! the addresses that carry others within them. Refuses names.
//!
//! Invariant: what is public here is so for Python's `ipaddress` too (`is_global`, no multicast);
//! the test suite compares both. Where this list is stricter, it says why.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// First address, length of the prefix, what it is.
type V4 = (Ipv4Addr, u32, &'static str);
type V6 = (Ipv6Addr, u32, &'static str);

const fn v4(a: u8, b: u8, c: u8, length: u32, what: &'static str) -> V4 {
    (Ipv4Addr::new(a, b, c, 0), length, what)
}

const fn v6(start: [u16; 3], length: u32, what: &'static str) -> V6 {
    let [a, b, c] = start;
    (Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length, what)
}

const PRIVATE: &str = "a private address";
const LINK_LOCAL: &str = "a link-local address, where clouds serve their metadata";
const DOCUMENTATION: &str = "an address for documentation";
const PROTOCOLS: &str = "an address for protocols";
const CARRIES: &str = "an address that carries an IPv4 address";

/// The first that fits counts.
const V4: [V4; 16] = [
    v4(0, 0, 0, 8, "an unspecified address, which is this machine"),
    v4(10, 0, 0, 8, PRIVATE),
    v4(100, 64, 0, 10, "a private address of a carrier"),
    v4(127, 0, 0, 8, "a loopback address"),
    v4(169, 254, 0, 16, LINK_LOCAL),
    v4(172, 16, 0, 12, PRIVATE),
    // Stricter: all of it. 192.0.0.9 and 192.0.0.10 are global by the registry, and are whatever
    // router or relay of the own network answers them.
    v4(192, 0, 0, 24, PROTOCOLS),
    v4(192, 0, 2, 24, DOCUMENTATION),
    // Stricter: relays of 6to4 are no more (RFC 7526); what answers is near.
    v4(192, 88, 99, 24, PROTOCOLS),
    v4(192, 168, 0, 16, PRIVATE),
    v4(198, 18, 0, 15, "an address for benchmarks of networks"),
    v4(198, 51, 100, 24, DOCUMENTATION),
    v4(203, 0, 113, 24, DOCUMENTATION),
    v4(224, 0, 0, 4, "a multicast address"),
    (Ipv4Addr::BROADCAST, 32, "the broadcast address"),
    v4(240, 0, 0, 4, "a reserved address"),
];

/// The first that fits counts.
const V6: [V6; 14] = [
    (Ipv6Addr::UNSPECIFIED, 128, "an unspecified address, which is this machine"),
    (Ipv6Addr::LOCALHOST, 128, "a loopback address"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, CARRIES),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, CARRIES),
    (Ipv6Addr::UNSPECIFIED, 96, CARRIES),
    // Teredo: it carries two, of which the host's is scrambled.
    v6([0x2001, 0, 0], 32, CARRIES),
    // Stricter: all of it, as with 192.0.0.0/24. What of it is global by the registry are anycast
    // addresses of the own network, AS112 and AMT, and identifiers that are not routed (ORCHID).
    v6([0x2001, 0, 0], 23, PROTOCOLS),
    v6([0x2001, 0xdb8, 0], 32, DOCUMENTATION),
    v6([0x2002, 0, 0], 16, CARRIES),
    // Stricter than a Python from before it was registered (RFC 9637).
    v6([0x3fff, 0, 0], 20, DOCUMENTATION),
    v6([0xfc00, 0, 0], 7, PRIVATE),
    v6([0xfe80, 0, 0], 10, LINK_LOCAL),
    v6([0xfec0, 0, 0], 10, PRIVATE),
    v6([0xff00, 0, 0], 8, "a multicast address"),
];

/// Where all of IPv6 is that is given out (RFC 4291).
const UNICAST: V6 = v6([0x2000, 0, 0], 3, "");
/// The translation to IPv4 of a network without it (RFC 6052). Every name that has IPv4 addresses
/// alone resolves to these there, so they are as public as what they carry.
const NAT64: V6 = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, "");

/// Whether it is an address of the public network.
pub fn is_public(address: IpAddr) -> bool {
    not_public(address).is_none()
}

/// What an address is that is not of the public network.
pub fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            let within =
                |(start, length, _): &&V4| (start.to_bits() ^ bits).leading_zeros() >= *length;
            V4.iter().find(within).map(|(_, _, what)| *what)
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let within =
                |(start, length, _): &V6| (start.to_bits() ^ bits).leading_zeros() >= *length;
            if within(&NAT64) {
                let [.., a, b, c, d] = address.octets();
                return not_public(Ipv4Addr::new(a, b, c, d).into());
            }
            let special = V6.iter().find(|special| within(special)).map(|(_, _, what)| *what);
            // Stricter: Python takes for global what nobody was given yet.
            let unknown = "not an address of the public network";
            special.or_else(|| (!within(&UNICAST)).then_some(unknown))
        }
    }
}
