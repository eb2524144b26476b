//! SHA-256 of random bytes, again and again: each digest goes into the next round's bytes. Check: the example of the
//! standard, and a second run of the last round.

use rust_workloads::sha256::{digest, hex};
use rust_workloads::{Given, Kind, Workload};

const PARAMETERS: &[(&str, Kind)] = &[
    ("kib", Kind::Number { least: 1, most: 4096, usual: 64 }),
    ("rounds", Kind::Number { least: 1, most: 200, usual: 16 }),
    ("seed", Kind::Number { least: 0, most: u32::MAX as u64, usual: 1 }),
];
/// FIPS 180-4, of `abc`.
const EXAMPLE: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn main() -> std::io::Result<()> {
    Workload { name: "hashing-rust", parameters: PARAMETERS, work }.serve()
}

fn work(given: &Given) -> Result<String, String> {
    if hex(&digest(b"abc")) != EXAMPLE {
        return Err("the example of FIPS 180-4 comes out wrong".into());
    }
    let (kib, rounds) = (given.number("kib"), given.number("rounds"));
    let mut data = bytes(kib << 10, given.number("seed"));
    let mut before = data.clone();
    let mut last = [0; 32];
    for _ in 0..rounds {
        before.copy_from_slice(&data);
        last = digest(&data);
        data[..32].copy_from_slice(&last);
    }
    if digest(&before) != last {
        return Err("the same bytes have two digests".into());
    }
    Ok(format!("{{\"bytes\":{},\"sha256\":\"{}\"}}", (kib << 10) * rounds, hex(&last)))
}

/// Bytes that depend on the seed alone (the generator splitmix64).
fn bytes(length: u64, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = (0..length / 8).flat_map(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    });
    words.collect()
}
