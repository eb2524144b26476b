//! Histograms as text: HdrHistogram's V2 encoding, compressed, in base64, as its log format has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Read;

/// A histogram of nanoseconds.
#[derive(Clone, PartialEq)]
pub struct Packed(pub Histogram<u64>);

impl Packed {
    /// Adds its values to `sum`, whose bounds may be others.
    pub(crate) fn add_to(&self, sum: &mut Histogram<u64>) {
        if sum.add(&self.0).is_ok() {
            return;
        }
        for value in self.0.iter_recorded() {
            sum.saturating_record_n(value.value_iterated_to(), value.count_at_value());
        }
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Packed({} values)", self.0.len())
    }
}

impl Serialize for Packed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Packed, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > TEXT_MAX {
            return Err(D::Error::custom(format!("a histogram of more than {TEXT_MAX} characters")));
        }
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        unpack(&bytes).map(Packed).map_err(|why| D::Error::custom(format!("not a histogram: {why}")))
    }
}

/// Characters of a histogram.
const TEXT_MAX: usize = 512 << 10;
/// Bytes of an unpacked histogram: nine for each of 30,000 counts, and more.
const PLAIN_MAX: u64 = 512 << 10;
/// Values of a histogram: sums of as many histograms as a document may have stay countable.
const VALUES_MAX: u64 = 1 << 48;
/// First bytes of HdrHistogram's V2 encodings, compressed and plain.
const COMPRESSED: u32 = 0x1c84_9314;
const PLAIN: u32 = 0x1c84_9313;
/// Greatest value a histogram may be made for, in nanoseconds: 18 minutes.
const HIGH_MAX: u64 = 1 << 40;

/// Reads a compressed histogram whose header asks for no more memory than one of ours has.
fn unpack(bytes: &[u8]) -> Result<Histogram<u64>, String> {
    let (head, deflated) = bytes.split_first_chunk::<8>().ok_or("it is too short")?;
    if head[..4] != COMPRESSED.to_be_bytes() {
        return Err("it is in another encoding".to_owned());
    }
    let mut plain = Vec::new();
    let inflated = ZlibDecoder::new(deflated).take(PLAIN_MAX + 1).read_to_end(&mut plain);
    inflated.map_err(|error| error.to_string())?;
    if plain.len() as u64 > PLAIN_MAX {
        return Err(format!("it is larger than {} KiB", PLAIN_MAX >> 10));
    }
    check_header(&plain)?;
    let histogram: Histogram<u64> =
        Deserializer::new().deserialize(&mut &plain[..]).map_err(|error| format!("{error:?}"))?;
    if histogram.len() > VALUES_MAX {
        return Err(format!("{} values are too many", histogram.len()));
    }
    Ok(histogram)
}

/// The header: magic, bytes that follow it, offset, digits, least and greatest value, factor.
fn check_header(plain: &[u8]) -> Result<(), String> {
    let word = |at: usize| Some(u32::from_be_bytes(*plain.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(u64::from_be_bytes(*plain.get(at..)?.first_chunk()?));
    let (Some(magic), Some(length), Some(digits), Some(low), Some(high)) =
        (word(0), word(4), word(12), long(16), long(24))
    else {
        return Err("its header is cut short".to_owned());
    };
    if magic != PLAIN || u64::from(length) > plain.len() as u64 {
        return Err("its header does not fit its length".to_owned());
    }
    if digits > 3 || low == 0 || high > HIGH_MAX {
        return Err(format!("{digits} digits of values from {low} to {high} are out of bounds"));
    }
    // Counts have seven bits a byte. The library stumbles over the greatest number of 64 bits.
    if plain.windows(8).any(|bytes| bytes.iter().all(|byte| *byte >= 0x80)) {
        return Err("a count is too large".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::histogram;
    use std::io::Write;

    #[test]
    fn a_histogram_comes_back_as_it_was() {
        let mut one = histogram();
        for value in [1, 1000, 5_000_000, 90_000_000_000] {
            one.record(value).unwrap();
        }
        let text = serde_json::to_string(&Packed(one.clone())).unwrap();
        assert_eq!(serde_json::from_str::<Packed>(&text).unwrap(), Packed(one));
        for text in ["\"\"", "\"AAAA\"", "\"not base64!\"", "3"] {
            assert!(serde_json::from_str::<Packed>(text).is_err(), "{text}");
        }
    }
    /// A header, what follows it, compressed, as text.
    fn text(digits: u32, high: u64, length: u32, rest: &[u8]) -> String {
        let mut plain = Vec::new();
        for word in [PLAIN, length, 0, digits] {
            plain.extend(word.to_be_bytes());
        }
        for long in [1, high, 1_f64.to_bits()] {
            plain.extend(long.to_be_bytes());
        }
        plain.extend(rest);
        let mut bytes = COMPRESSED.to_be_bytes().to_vec();
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&plain).unwrap();
        let deflated = encoder.finish().unwrap();
        bytes.extend(u32::try_from(deflated.len()).unwrap().to_be_bytes());
        bytes.extend(deflated);
        format!("\"{}\"", STANDARD.encode(bytes))
    }

    #[test]
    fn hostile_histograms_are_refused_before_they_take_memory() {
        let error = |text: &str| serde_json::from_str::<Packed>(text).unwrap_err().to_string();
        assert_eq!(serde_json::from_str::<Packed>(&text(3, 1000, 0, b"")).unwrap().0.len(), 0);
        for (text, why) in [
            (text(5, u64::MAX, 0, b""), "out of bounds"),
            (text(3, u64::MAX, 0, b""), "out of bounds"),
            (text(3, 1000, u32::MAX, b""), "does not fit"),
            (text(3, 1000, 0, &[0; 5_000_000]), "larger than"),
            (text(3, 1000, 9, &[0x80; 9]), "a count is too large"),
            (text(3, 1000, 9, &[0xff; 9]), "a count is too large"),
            (text(3, 1000, 8, b"\xfe\xff\xff\xff\xff\xff\xff\x7f"), "values are too many"),
            (format!("\"{}\"", "A".repeat(TEXT_MAX + 1)), "characters"),
        ] {
            assert!(error(&text).contains(why), "{why}: {}", error(&text));
        }
    }

    #[test]
    fn the_fullest_histogram_is_within_the_bounds() {
        let mut full = histogram();
        let mut value = 1;
        while value < 100_000_000_000 {
            full.record_n(value, value % 1_000_003 + 1).unwrap();
            value = full.next_non_equivalent(value);
        }
        let text = serde_json::to_string(&Packed(full.clone())).unwrap();
        assert_eq!(serde_json::from_str::<Packed>(&text).unwrap(), Packed(full));
    }
}
