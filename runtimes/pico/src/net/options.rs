//! Socket options: one table of integers that are kept and shown, and the few that mean something here.

use super::address::Family;
use super::packet::{IP_PKTINFO, IP_RECVTOS, IP_RECVTTL, IP_TOS, IP_TTL};
use super::socket::Kind;
use crate::clock::SECOND;
use crate::errno::{Errno, Result};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use linux_raw_sys::net as c;

/// What values an option takes.
#[derive(Clone, Copy)]
enum Rule {
    /// Anything but 0 becomes 1.
    Flag,
    /// The range, else `EINVAL`.
    Range(i32, i32),
    /// Buffer size: doubled and clamped, as socket(7) says.
    Buffer,
    /// Bytes of a datagram that are covered by its checksum: all (0), or a part that has at least the head.
    Coverage,
    /// Can be read only.
    Fixed,
}

/// Buffer limits, with the doubling of socket(7).
const BUFFER_MIN: i32 = 4608;
const BUFFER_MAX: i32 = 425_984;

/// Level, name, initial value, rule.
type Row = (u32, u32, i32, Rule);

const TCP: u32 = c::SOL_TCP;
const UDP: u32 = c::SOL_UDP;
/// Protocol and level of UDP-Lite: udplite(7).
pub const UDP_LITE: u32 = 136;
const IP: u32 = c::SOL_IP;
const IPV6: u32 = c::SOL_IPV6;
const SOCKET: u32 = c::SOL_SOCKET;

const ROWS: &[Row] = &[
    (SOCKET, c::SO_DEBUG, 0, Rule::Flag),
    (SOCKET, c::SO_REUSEADDR, 0, Rule::Flag),
    (SOCKET, c::SO_REUSEPORT, 0, Rule::Flag),
    (SOCKET, c::SO_DONTROUTE, 0, Rule::Flag),
    (SOCKET, c::SO_BROADCAST, 0, Rule::Flag),
    (SOCKET, c::SO_KEEPALIVE, 0, Rule::Flag),
    (SOCKET, c::SO_OOBINLINE, 0, Rule::Flag),
    (SOCKET, c::SO_PASSCRED, 0, Rule::Flag),
    (SOCKET, c::SO_PRIORITY, 0, Rule::Range(0, 6)),
    (SOCKET, c::SO_SNDBUF, 212_992, Rule::Buffer),
    (SOCKET, c::SO_RCVBUF, 212_992, Rule::Buffer),
    (SOCKET, c::SO_RCVLOWAT, 1, Rule::Range(1, i32::MAX)),
    (SOCKET, c::SO_SNDLOWAT, 1, Rule::Fixed),
    (SOCKET, c::SO_BUSY_POLL, 0, Rule::Range(0, i32::MAX)),
    (TCP, c::TCP_NODELAY, 0, Rule::Flag),
    (TCP, c::TCP_CORK, 0, Rule::Flag),
    (TCP, c::TCP_QUICKACK, 1, Rule::Flag),
    (TCP, c::TCP_THIN_LINEAR_TIMEOUTS, 0, Rule::Flag),
    (TCP, c::TCP_MAXSEG, 32_741, Rule::Range(88, 32_767)),
    (TCP, c::TCP_KEEPIDLE, 7200, Rule::Range(1, 32_767)),
    (TCP, c::TCP_KEEPINTVL, 75, Rule::Range(1, 32_767)),
    (TCP, c::TCP_KEEPCNT, 9, Rule::Range(1, 127)),
    (TCP, c::TCP_SYNCNT, 6, Rule::Range(1, 127)),
    (TCP, c::TCP_LINGER2, 60, Rule::Range(i32::MIN, i32::MAX)),
    (TCP, c::TCP_DEFER_ACCEPT, 0, Rule::Range(0, i32::MAX)),
    (TCP, c::TCP_WINDOW_CLAMP, 0, Rule::Range(0, i32::MAX)),
    (TCP, c::TCP_USER_TIMEOUT, 0, Rule::Range(0, i32::MAX)),
    (TCP, c::TCP_FASTOPEN, 0, Rule::Range(0, i32::MAX)),
    (TCP, c::TCP_FASTOPEN_CONNECT, 0, Rule::Flag),
    (TCP, c::TCP_NOTSENT_LOWAT, 0, Rule::Range(i32::MIN, i32::MAX)),
    (UDP_LITE, UDPLITE_SEND_CSCOV, 0, Rule::Coverage),
    (UDP_LITE, UDPLITE_RECV_CSCOV, 0, Rule::Coverage),
    (IP, IP_TOS, 0, Rule::Range(0, 255)),
    (IP, IP_TTL, 64, Rule::Range(1, 255)),
    (IP, IP_PKTINFO, 0, Rule::Flag),
    (IP, IP_RECVTTL, 0, Rule::Flag),
    (IP, IP_RECVTOS, 0, Rule::Flag),
    (IP, IP_MTU_DISCOVER, 1, Rule::Range(0, 5)),
    (IP, IP_RECVERR, 0, Rule::Flag),
    (IP, IP_FREEBIND, 0, Rule::Flag),
    (IP, IP_BIND_ADDRESS_NO_PORT, 0, Rule::Flag),
    (IPV6, c::IPV6_V6ONLY, 0, Rule::Flag),
    (IPV6, c::IPV6_UNICAST_HOPS, 64, Rule::Range(-1, 255)),
    (IPV6, c::IPV6_TCLASS, 0, Rule::Range(-1, 255)),
    (IPV6, c::IPV6_MTU_DISCOVER, 1, Rule::Range(0, 5)),
    (IPV6, c::IPV6_RECVERR, 0, Rule::Flag),
    (IPV6, c::IPV6_RECVPKTINFO, 0, Rule::Flag),
    (IPV6, c::IPV6_RECVTCLASS, 0, Rule::Flag),
    (IPV6, c::IPV6_RECVHOPLIMIT, 0, Rule::Flag),
];

const UDPLITE_SEND_CSCOV: u32 = 10;
const UDPLITE_RECV_CSCOV: u32 = 11;
/// Bytes of the head of a UDP datagram.
const UDP_HEAD: i32 = 8;
const IP_MTU_DISCOVER: u32 = 10;
const IP_RECVERR: u32 = 11;
const IP_FREEBIND: u32 = 15;
const IP_BIND_ADDRESS_NO_PORT: u32 = 24;

/// What an option may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Address family.
    pub family: Family,
    /// Type.
    pub kind: Kind,
    /// Has a local address.
    pub bound: bool,
    /// Listens.
    pub listening: bool,
    /// Speaks UDP-Lite.
    pub lite: bool,
}

/// The options of one socket.
#[derive(Clone, Default)]
pub struct Options {
    changed: BTreeMap<(u32, u32), i32>,
    linger: [u8; 8],
    /// `SO_RCVTIMEO` in ns.
    pub receive_timeout: Option<u64>,
    /// `SO_SNDTIMEO` in ns.
    pub send_timeout: Option<u64>,
}

impl Options {
    /// Sets an option from the bytes the program gave.
    pub fn set(&mut self, facts: &Facts, level: u32, name: u32, bytes: &[u8]) -> Result<()> {
        match (level, name) {
            (SOCKET, c::SO_LINGER) => {
                self.linger = *bytes.first_chunk().ok_or(Errno::EINVAL)?;
                return Ok(());
            }
            (SOCKET, c::SO_RCVTIMEO | c::SO_RCVTIMEO_NEW) => {
                self.receive_timeout = parse_timeout(bytes)?;
                return Ok(());
            }
            (SOCKET, c::SO_SNDTIMEO | c::SO_SNDTIMEO_NEW) => {
                self.send_timeout = parse_timeout(bytes)?;
                return Ok(());
            }
            (IPV6, c::IPV6_V6ONLY) if facts.bound => return Err(Errno::EINVAL),
            _ => {}
        }
        let unknown = if facts.family == Family::Unix { Errno::EOPNOTSUPP } else { Errno::ENOPROTOOPT };
        let &(.., rule) = row(facts, level, name, unknown)?;
        let value = i32::from_ne_bytes(*bytes.first_chunk().ok_or(Errno::EINVAL)?);
        let value = match rule {
            Rule::Flag => i32::from(value != 0),
            Rule::Range(min, max) if (min..=max).contains(&value) => value,
            Rule::Range(..) => return Err(Errno::EINVAL),
            Rule::Buffer => value.clamp(0, BUFFER_MAX / 2).saturating_mul(2).max(BUFFER_MIN),
            Rule::Coverage if value == 0 => 0,
            Rule::Coverage => value.clamp(UDP_HEAD, u16::MAX.into()),
            Rule::Fixed => return Err(Errno::ENOPROTOOPT),
        };
        self.changed.insert((level, name), value);
        Ok(())
    }

    /// The value of an option as bytes.
    pub fn get(&self, facts: &Facts, level: u32, name: u32) -> Result<Vec<u8>> {
        let number = match (level, name) {
            (SOCKET, c::SO_LINGER) => return Ok(self.linger.to_vec()),
            (SOCKET, c::SO_RCVTIMEO | c::SO_RCVTIMEO_NEW) => return Ok(show_timeout(self.receive_timeout)),
            (SOCKET, c::SO_SNDTIMEO | c::SO_SNDTIMEO_NEW) => return Ok(show_timeout(self.send_timeout)),
            (SOCKET, c::SO_TYPE) => facts.kind.number(),
            (SOCKET, c::SO_DOMAIN) => facts.family.number(),
            (SOCKET, c::SO_PROTOCOL) if matches!(facts.family, Family::Unix | Family::Netlink) => 0,
            (SOCKET, c::SO_PROTOCOL) if facts.lite => UDP_LITE,
            (SOCKET, c::SO_PROTOCOL) if facts.kind == Kind::Datagram => UDP,
            (SOCKET, c::SO_PROTOCOL) => TCP,
            (SOCKET, c::SO_ACCEPTCONN) => u32::from(facts.listening),
            _ => {
                let (_, _, initial, _) = row(facts, level, name, Errno::EOPNOTSUPP)?;
                let value = self.changed.get(&(level, name)).unwrap_or(initial);
                return Ok(value.to_ne_bytes().to_vec());
            }
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    /// Bytes a socket may have waiting for it (`SO_RCVBUF`).
    pub fn receive_buffer(&self) -> usize {
        let value = self.changed.get(&(SOCKET, c::SO_RCVBUF)).copied();
        value.and_then(|value| usize::try_from(value).ok()).unwrap_or(super::socket::BUFFER)
    }

    /// Whether closing resets a connection: `SO_LINGER` for 0 seconds.
    pub fn aborts(&self) -> bool {
        let [on, seconds] = [0, 4].map(|at| &self.linger[at..at + 4]);
        on != [0; 4] && seconds == [0; 4]
    }

    /// The value of an option that was set.
    pub fn changed(&self, level: u32, name: u32) -> Option<i32> {
        self.changed.get(&(level, name)).copied()
    }

    /// Whether a flag of the table is set.
    pub fn flag(&self, level: u32, name: u32) -> bool {
        self.changed.get(&(level, name)).is_some_and(|&value| value != 0)
    }
}

/// The row of an option this kind of socket has: `ENOPROTOOPT` if there is none, `no_level` if the socket has no such
/// level.
fn row(facts: &Facts, level: u32, name: u32, no_level: Errno) -> Result<&'static Row> {
    let is_inet = matches!(facts.family, Family::Inet | Family::Inet6);
    let exists = match level {
        SOCKET => true,
        TCP => is_inet && facts.kind == Kind::Stream,
        UDP_LITE => facts.lite,
        IP => is_inet,
        IPV6 => facts.family == Family::Inet6,
        _ => false,
    };
    if !exists {
        return Err(no_level);
    }
    ROWS.iter().find(|row| (row.0, row.1) == (level, name)).ok_or(Errno::ENOPROTOOPT)
}

/// A `timeval` as ns; nothing (wait for ever) if it is 0.
fn parse_timeout(bytes: &[u8]) -> Result<Option<u64>> {
    let bytes: &[u8; 16] = bytes.first_chunk().ok_or(Errno::EINVAL)?;
    let number = |at: usize| i64::from_ne_bytes(*bytes[at..].first_chunk().expect("16 bytes"));
    let micros = u64::try_from(number(8)).ok().filter(|&micros| micros < 1_000_000).ok_or(Errno::EDOM)?;
    // A negative number of seconds means not to wait at all.
    let Ok(seconds) = u64::try_from(number(0)) else { return Ok(Some(0)) };
    let nanos = seconds.saturating_mul(SECOND).saturating_add(micros * 1000);
    Ok(Some(nanos).filter(|&nanos| nanos != 0))
}

fn show_timeout(timeout: Option<u64>) -> Vec<u8> {
    let nanos = timeout.unwrap_or(0);
    let mut bytes = (nanos / SECOND).to_ne_bytes().to_vec();
    bytes.extend((nanos % SECOND / 1000).to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts =
        Facts { family: Family::Inet, kind: Kind::Stream, bound: false, listening: true, lite: false };

    fn int(options: &Options, level: u32, name: u32) -> Result<i32> {
        let bytes = options.get(&FACTS, level, name)?;
        Ok(i32::from_ne_bytes(bytes.try_into().expect("an int")))
    }

    #[test]
    fn flags_ranges_and_buffers_are_kept_as_linux_keeps_them() {
        let mut options = Options::default();
        options.set(&FACTS, TCP, c::TCP_NODELAY, &7i32.to_ne_bytes()).expect("known");
        assert_eq!(int(&options, TCP, c::TCP_NODELAY), Ok(1));
        options.set(&FACTS, SOCKET, c::SO_RCVBUF, &10_000i32.to_ne_bytes()).expect("known");
        assert_eq!(int(&options, SOCKET, c::SO_RCVBUF), Ok(20_000));
        options.set(&FACTS, SOCKET, c::SO_RCVBUF, &i32::MIN.to_ne_bytes()).expect("known");
        assert_eq!(int(&options, SOCKET, c::SO_RCVBUF), Ok(BUFFER_MIN));
        assert_eq!(options.set(&FACTS, TCP, c::TCP_KEEPCNT, &0i32.to_ne_bytes()), Err(Errno::EINVAL));
        assert_eq!(int(&options, TCP, c::TCP_KEEPCNT), Ok(9));
    }

    #[test]
    fn unknown_read_only_and_short_options_are_refused() {
        let mut options = Options::default();
        let one = 1i32.to_ne_bytes();
        assert_eq!(options.set(&FACTS, SOCKET, 9999, &one), Err(Errno::ENOPROTOOPT));
        assert_eq!(options.set(&FACTS, 9999, 1, &one), Err(Errno::ENOPROTOOPT));
        assert_eq!(options.set(&FACTS, SOCKET, c::SO_TYPE, &one), Err(Errno::ENOPROTOOPT));
        assert_eq!(options.set(&FACTS, IPV6, c::IPV6_V6ONLY, &one), Err(Errno::ENOPROTOOPT));
        assert_eq!(options.set(&FACTS, SOCKET, c::SO_REUSEADDR, &one[..3]), Err(Errno::EINVAL));
        assert_eq!(options.get(&FACTS, TCP, c::TCP_INFO), Err(Errno::ENOPROTOOPT));
    }

    #[test]
    fn facts_are_told() {
        let options = Options::default();
        assert_eq!(int(&options, SOCKET, c::SO_TYPE), Ok(1));
        assert_eq!(int(&options, SOCKET, c::SO_DOMAIN), Ok(2));
        assert_eq!(int(&options, SOCKET, c::SO_PROTOCOL), Ok(6));
        assert_eq!(int(&options, SOCKET, c::SO_ACCEPTCONN), Ok(1));
    }

    #[test]
    fn timeouts_are_times() {
        let mut options = Options::default();
        let timeval = |seconds: i64, micros: i64| [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat();
        options.set(&FACTS, SOCKET, c::SO_RCVTIMEO, &timeval(2, 500_000)).expect("valid");
        assert_eq!(options.receive_timeout, Some(2_500_000_000));
        assert_eq!(options.get(&FACTS, SOCKET, c::SO_RCVTIMEO), Ok(timeval(2, 500_000)));
        assert_eq!(options.set(&FACTS, SOCKET, c::SO_RCVTIMEO, &timeval(0, 1_000_000)), Err(Errno::EDOM));
        options.set(&FACTS, SOCKET, c::SO_RCVTIMEO, &timeval(-1, 0)).expect("valid");
        assert_eq!(options.receive_timeout, Some(0));
        options.set(&FACTS, SOCKET, c::SO_RCVTIMEO, &timeval(0, 0)).expect("valid");
        assert_eq!(options.receive_timeout, None);
    }
}
