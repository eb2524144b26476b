//! The head of a datagram as ip(7) and ipv6(7) let programs write and read it: control messages `IP_PKTINFO`,
//! `IP_TTL`, `IP_TOS` and their IPv6 twins.

use super::address::Host;
use super::options::Options;
use crate::errno::{Errno, Result};
use alloc::vec::Vec;
use linux_raw_sys::net as c;

const IP: u32 = c::SOL_IP;
const IPV6: u32 = c::SOL_IPV6;

pub(super) const IP_TOS: u32 = 1;
pub(super) const IP_TTL: u32 = 2;
pub(super) const IP_PKTINFO: u32 = 8;
pub(super) const IP_RECVTTL: u32 = 12;
pub(super) const IP_RECVTOS: u32 = 13;

/// Index of the only interface.
pub const LOOPBACK: u32 = 1;
/// Hops of a packet if nobody says how many.
const HOPS: u8 = 64;

/// What the head says, and what its sender wants it to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Type of service, or traffic class.
    pub class: Option<u8>,
    /// Time to live, or hop limit.
    pub hops: Option<u8>,
    /// Where it comes from, if the sender says so.
    pub source: Option<Host>,
    /// Where it went.
    pub target: Option<Host>,
}

/// A control message: level, type and data.
pub type Told = (u32, u32, Vec<u8>);

fn int(data: &[u8]) -> Result<i32> {
    data.try_into().map(i32::from_ne_bytes).map_err(|_| Errno::EINVAL)
}

/// A number from 0 to 255; -1 stands for what is usual.
fn byte(value: i32) -> Result<Option<u8>> {
    if value == -1 { Ok(None) } else { u8::try_from(value).map(Some).map_err(|_| Errno::EINVAL) }
}

impl Packet {
    /// Takes what a control message of a sender says.
    pub fn read(&mut self, level: u32, kind: u32, data: &[u8]) -> Result<()> {
        match (level, kind) {
            (IP, IP_TOS) if data.len() == 1 => self.class = Some(data[0]),
            (IP, IP_TOS) => self.class = Some(u8::try_from(int(data)?).map_err(|_| Errno::EINVAL)?),
            (IP, IP_TTL) => {
                let hops = u8::try_from(int(data)?).ok().filter(|&hops| hops > 0);
                self.hops = Some(hops.ok_or(Errno::EINVAL)?);
            }
            (IP, IP_PKTINFO) => {
                let info: &[u8; 12] = data.try_into().map_err(|_| Errno::EINVAL)?;
                let source = *info[4..8].first_chunk().expect("4 of 12 bytes");
                self.send_from(&info[..4], Host::from_v4(source))?;
            }
            (IPV6, c::IPV6_TCLASS) => self.class = byte(int(data)?)?,
            (IPV6, c::IPV6_HOPLIMIT) => self.hops = byte(int(data)?)?,
            (IPV6, c::IPV6_PKTINFO) => {
                let info: &[u8; 20] = data.try_into().map_err(|_| Errno::EINVAL)?;
                let source = *info.first_chunk().expect("16 of 20 bytes");
                self.send_from(&info[16..], Host::from_v6(source))?;
            }
            (IP | IPV6, _) => return Err(Errno::EINVAL),
            _ => {}
        }
        Ok(())
    }

    fn send_from(&mut self, interface: &[u8], source: Host) -> Result<()> {
        let interface = int(interface)?.cast_unsigned();
        if !matches!(interface, 0 | LOOPBACK) {
            return Err(Errno::ENODEV);
        }
        if source == Host::Outside {
            return Err(Errno::EINVAL);
        }
        self.source = Some(source).filter(|source| !source.is_any());
        Ok(())
    }

    /// What is not said yet the options of the socket say.
    pub fn complete(&mut self, options: &Options, v6: bool) {
        let (class, hops) = if v6 {
            ((IPV6, c::IPV6_TCLASS), (IPV6, c::IPV6_UNICAST_HOPS))
        } else {
            ((IP, IP_TOS), (IP, IP_TTL))
        };
        let value = |(level, name)| options.changed(level, name).and_then(|value| u8::try_from(value).ok());
        self.class = self.class.or_else(|| value(class));
        self.hops = self.hops.or_else(|| value(hops));
    }

    /// The control messages a receiver with `options` wants to have of it.
    pub fn tell(&self, options: &Options) -> Vec<Told> {
        let mut told = Vec::new();
        let Some(target) = self.target else { return told };
        let (class, hops) = (self.class.unwrap_or(0), self.hops.unwrap_or(HOPS));
        let wants = |level, name| options.flag(level, name);
        if wants(IPV6, c::IPV6_RECVPKTINFO) {
            let info = [&target.octets_v6()[..], &LOOPBACK.to_ne_bytes()].concat();
            told.push((IPV6, c::IPV6_PKTINFO, info));
        }
        if target.is_v6() {
            if wants(IPV6, c::IPV6_RECVHOPLIMIT) {
                told.push((IPV6, c::IPV6_HOPLIMIT, i32::from(hops).to_ne_bytes().to_vec()));
            }
            if wants(IPV6, c::IPV6_RECVTCLASS) {
                told.push((IPV6, c::IPV6_TCLASS, i32::from(class).to_ne_bytes().to_vec()));
            }
            return told;
        }
        if wants(IP, IP_PKTINFO) {
            let address = target.octets_v4();
            told.push((IP, IP_PKTINFO, [LOOPBACK.to_ne_bytes(), address, address].concat()));
        }
        if wants(IP, IP_RECVTTL) {
            told.push((IP, IP_TTL, i32::from(hops).to_ne_bytes().to_vec()));
        }
        if wants(IP, IP_RECVTOS) {
            told.push((IP, IP_TOS, [class].to_vec()));
        }
        told
    }
}
