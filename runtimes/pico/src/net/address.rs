//! Internet socket addresses: their wire form, and which ones exist in a VM that has only a loopback interface.

use crate::errno::{Errno, Result};
use alloc::vec::Vec;
use linux_raw_sys::net::{AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, AF_UNSPEC};

/// Address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `AF_UNIX`.
    Unix,
    /// `AF_INET`.
    Inet,
    /// `AF_INET6`.
    Inet6,
    /// `AF_NETLINK`.
    Netlink,
}

impl Family {
    /// Its `AF_*` number.
    pub fn number(self) -> u32 {
        match self {
            Self::Unix => AF_UNIX,
            Self::Inet => AF_INET,
            Self::Inet6 => AF_INET6,
            Self::Netlink => AF_NETLINK,
        }
    }
}

/// Bytes of a `sockaddr_in`.
const V4_LEN: usize = 16;
/// Least bytes of a `sockaddr_in6` (without the scope, which old programs leave out).
const V6_LEN_MIN: usize = 24;

/// An IP address and a port. IPv4 addresses are kept as such, whatever form they were given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The host.
    pub host: Host,
    /// The port, in host byte order.
    pub port: u16,
}

/// The hosts that can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// `0.0.0.0`.
    AnyV4,
    /// `::`.
    AnyV6,
    /// In `127.0.0.0/8`.
    LoopbackV4([u8; 4]),
    /// `::1`.
    LoopbackV6,
    /// Anything else: outside of this VM.
    Outside,
}

impl Host {
    pub(super) fn from_v4(octets: [u8; 4]) -> Self {
        match octets {
            [0, 0, 0, 0] => Self::AnyV4,
            [127, ..] => Self::LoopbackV4(octets),
            _ => Self::Outside,
        }
    }

    pub(super) fn from_v6(octets: [u8; 16]) -> Self {
        let address = core::net::Ipv6Addr::from(octets);
        match address.to_ipv4_mapped() {
            Some(v4) => Self::from_v4(v4.octets()),
            None if address.is_unspecified() => Self::AnyV6,
            None if address.is_loopback() => Self::LoopbackV6,
            None => Self::Outside,
        }
    }

    /// The IPv4 address it is, or none.
    pub(super) fn octets_v4(self) -> [u8; 4] {
        if let Self::LoopbackV4(octets) = self { octets } else { [0; 4] }
    }

    /// The IPv6 address it is, or is mapped to.
    pub(super) fn octets_v6(self) -> [u8; 16] {
        match self {
            Self::LoopbackV6 => core::net::Ipv6Addr::LOCALHOST.octets(),
            Self::LoopbackV4(octets) => core::net::Ipv4Addr::from(octets).to_ipv6_mapped().octets(),
            Self::AnyV4 | Self::AnyV6 | Self::Outside => [0; 16],
        }
    }

    /// Whether it stands for all addresses.
    pub fn is_any(self) -> bool {
        matches!(self, Self::AnyV4 | Self::AnyV6)
    }

    /// Whether it is an IPv6 address proper.
    pub fn is_v6(self) -> bool {
        matches!(self, Self::AnyV6 | Self::LoopbackV6)
    }

    /// What a connection to this host arrives at: the loopback address for the wildcards.
    pub fn concrete(self) -> Self {
        match self {
            Self::AnyV4 => LOCALHOST,
            Self::AnyV6 => Self::LoopbackV6,
            other => other,
        }
    }

    /// Whether a socket bound here receives what is sent to `other`. `dual`: an IPv6 wildcard takes IPv4 as well.
    pub fn covers(self, other: Host, dual: bool) -> bool {
        match self {
            Self::AnyV6 => dual || other.is_v6(),
            Self::AnyV4 => !other.is_v6(),
            _ => self == other,
        }
    }
}

/// `127.0.0.1`.
pub const LOCALHOST: Host = Host::LoopbackV4([127, 0, 0, 1]);

impl Address {
    /// The wildcard address of `family` with port 0.
    pub fn any(family: Family) -> Self {
        Self { host: if family == Family::Inet6 { Host::AnyV6 } else { Host::AnyV4 }, port: 0 }
    }

    /// Reads a `sockaddr` for a socket of `family`: `EINVAL` if it is too short, `EAFNOSUPPORT` if it is of another
    /// family.
    pub fn parse(bytes: &[u8], family: Family) -> Result<Self> {
        let number = family_of(bytes)?;
        match family {
            Family::Inet if bytes.len() < V4_LEN => Err(Errno::EINVAL),
            Family::Inet if number == AF_INET => Ok(parse_v4(bytes)),
            // Linux takes a wildcard without a family, for the sake of old programs.
            Family::Inet if number == AF_UNSPEC && bytes[4..8] == [0; 4] => Ok(parse_v4(bytes)),
            Family::Inet6 if number == AF_INET && bytes.len() >= V4_LEN => Err(Errno::EAFNOSUPPORT),
            Family::Inet6 if bytes.len() < V6_LEN_MIN => Err(Errno::EINVAL),
            Family::Inet6 if number == AF_INET6 => {
                let octets = bytes[8..24].try_into().expect("16 bytes");
                Ok(Self { host: Host::from_v6(octets), port: port_of(bytes) })
            }
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// The `sockaddr` a socket of `family` shows.
    pub fn encode(self, family: Family) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(28);
        let number = if family == Family::Inet6 { AF_INET6 } else { AF_INET };
        bytes.extend(u16::try_from(number).expect("a small number").to_le_bytes());
        bytes.extend(self.port.to_be_bytes());
        let v4 = match self.host {
            Host::LoopbackV4(octets) => octets,
            _ => [0; 4],
        };
        if family == Family::Inet6 {
            let host = match self.host {
                Host::AnyV6 | Host::Outside => core::net::Ipv6Addr::UNSPECIFIED,
                Host::LoopbackV6 => core::net::Ipv6Addr::LOCALHOST,
                Host::AnyV4 | Host::LoopbackV4(_) => core::net::Ipv4Addr::from(v4).to_ipv6_mapped(),
            };
            bytes.extend([0; 4]);
            bytes.extend(host.octets());
            bytes.extend([0; 4]);
        } else {
            bytes.extend(v4);
            bytes.extend([0; 8]);
        }
        bytes
    }
}

/// The family a `sockaddr` says it is of; `EINVAL` if it is too short to say.
pub fn family_of(bytes: &[u8]) -> Result<u32> {
    let number: [u8; 2] = bytes.get(..2).and_then(|b| b.try_into().ok()).ok_or(Errno::EINVAL)?;
    Ok(u32::from(u16::from_le_bytes(number)))
}

fn port_of(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[2], bytes[3]])
}

fn parse_v4(bytes: &[u8]) -> Address {
    let octets = [bytes[4], bytes[5], bytes[6], bytes[7]];
    Address { host: Host::from_v4(octets), port: port_of(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(octets: [u8; 4], port: u16) -> Vec<u8> {
        let mut bytes = std::vec![2, 0];
        bytes.extend(port.to_be_bytes());
        bytes.extend(octets);
        bytes.extend([0; 8]);
        bytes
    }

    #[test]
    fn ipv4_addresses_survive_a_round_trip() {
        for (octets, host) in [
            ([0, 0, 0, 0], Host::AnyV4),
            ([127, 0, 0, 1], LOCALHOST),
            ([127, 1, 2, 3], Host::LoopbackV4([127, 1, 2, 3])),
        ] {
            let bytes = v4(octets, 8080);
            let address = Address::parse(&bytes, Family::Inet).expect("valid");
            assert_eq!(address, Address { host, port: 8080 });
            assert_eq!(address.encode(Family::Inet), bytes);
        }
    }

    #[test]
    fn ipv6_addresses_survive_a_round_trip_and_mapped_ones_are_ipv4() {
        let mut bytes = std::vec![10, 0, 0x1f, 0x90];
        bytes.extend([0; 24]);
        assert_eq!(Address::parse(&bytes, Family::Inet6), Ok(Address { host: Host::AnyV6, port: 8080 }));
        bytes[23] = 1;
        let loopback = Address::parse(&bytes, Family::Inet6).expect("valid");
        assert_eq!(loopback.host, Host::LoopbackV6);
        assert_eq!(loopback.encode(Family::Inet6), bytes);
        bytes[18..24].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
        let mapped = Address::parse(&bytes, Family::Inet6).expect("valid");
        assert_eq!(mapped.host, LOCALHOST);
        assert_eq!(mapped.encode(Family::Inet6), bytes);
    }

    #[test]
    fn short_and_foreign_addresses_are_refused() {
        let bytes = v4([127, 0, 0, 1], 80);
        for len in 0..16 {
            assert_eq!(Address::parse(&bytes[..len], Family::Inet), Err(Errno::EINVAL), "{len}");
        }
        assert_eq!(Address::parse(&bytes, Family::Inet6), Err(Errno::EAFNOSUPPORT));
        let mut unix = bytes.clone();
        unix[0] = 1;
        assert_eq!(Address::parse(&unix, Family::Inet), Err(Errno::EAFNOSUPPORT));
        assert_eq!(Address::parse(&v4([8, 8, 8, 8], 53), Family::Inet).map(|a| a.host), Ok(Host::Outside));
    }
}
