//! Files as an enemy, or a bad disk, would make them. Never a panic, never a damaged snapshot taken for good.

use super::prefix::Prefix;
use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;
use zerocopy::IntoBytes;

/// A good manifest's file.
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.put(&draft(), &memory()).unwrap().manifest.encode().unwrap()
});

/// The file with its digest and lengths made to fit, so that the body's decoder is reached.
fn resealed(body: &[u8]) -> Vec<u8> {
    [Prefix::new(Kind::Runtime, body).as_bytes(), body].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn flipped_bits_are_refused(at in 0..GOOD.len() * 8) {
        let mut file = GOOD.clone();
        file[at / 8] ^= 1 << (at % 8);
        prop_assert!(Manifest::decode(&file).is_err());
    }

    #[test]
    fn cut_files_are_refused(length in 0..GOOD.len(), more in any::<Vec<u8>>()) {
        prop_assert!(Manifest::decode(&GOOD[..length]).is_err());
        let replaced = [&GOOD[..length], &more].concat();
        prop_assert!(replaced == *GOOD || Manifest::decode(&replaced).is_err());
    }

    #[test]
    fn noise_is_refused(noise in any::<Vec<u8>>()) {
        prop_assert!(Manifest::decode(&noise).is_err());
        prop_assert!(Manifest::decode(&resealed(&noise)).is_err());
        prop_assert!(Manifest::decode(&[&GOOD[..64], &noise].concat()).is_err());
    }

    /// With a fitting digest the decoder itself is at work. What it accepts obeys all rules.
    #[test]
    fn damage_with_a_good_digest_never_breaks_a_rule(
        changes in prop::collection::vec((64..GOOD.len(), any::<u8>()), 1..8),
        cut in prop::option::of(64..GOOD.len()),
    ) {
        let mut file = GOOD.clone();
        for (at, value) in changes {
            file[at] = value;
        }
        file.truncate(cut.unwrap_or(file.len()));
        if let Ok(manifest) = Manifest::decode(&resealed(&file[64..])) {
            prop_assert!(manifest.encode().is_ok());
            prop_assert_eq!(manifest.chunk_table().unwrap().chunks().len(), manifest.chunks.len());
            manifest.working_set();
            let _ = manifest.check(&host(), &wanted());
        }
    }
}

#[test]
fn every_single_byte_matters() {
    for at in 0..GOOD.len() {
        let mut file = GOOD.clone();
        file[at] = !file[at];
        assert!(Manifest::decode(&file).is_err(), "byte {at}");
    }
}

/// Set in the process that measures what a claim costs.
const MEASURE: &str = "SPORE_TEST_CLAIMS";

/// Runs in a process of its own, whose memory nobody else takes; without an order it has nothing to do.
#[test]
fn child() {
    if std::env::var_os(MEASURE).is_none() {
        return;
    }
    let file = claiming(u64::MAX >> 1);
    let before = peak_kib();
    let refused = Manifest::decode(&file);
    let taken = peak_kib() - before;
    assert!(matches!(refused, Err(Refused::Body { .. })), "{refused:?}");
    assert!(taken < 1024, "{taken} KiB were taken");
}

/// A manifest whose list of CPUID leaves claims to have so many entries.
fn claiming(entries: u64) -> Vec<u8> {
    let manifest = Manifest::decode(&GOOD).unwrap();
    let whole = postcard::to_stdvec(&manifest).unwrap();
    let shorter = postcard::to_stdvec(&Manifest { cpuid: Vec::new(), ..manifest }).unwrap();
    let list = whole.iter().zip(&shorter).position(|(a, b)| a != b).unwrap();
    resealed(&[&whole[..list], &postcard::to_stdvec(&entries).unwrap(), &whole[list + 1..]].concat())
}

/// Most address space this process has ever had, in KiB: claims show here even if the memory is never touched.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn claims_of_length_take_no_memory() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "snapshot::tests::hostile::child"])
        .env(MEASURE, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for entries in [LEAVES_MAX as u64 + 1, 1 << 20, u64::MAX] {
        assert!(matches!(Manifest::decode(&claiming(entries)), Err(Refused::Body { .. })), "{entries}");
    }
}

#[test]
fn a_prefix_that_claims_more_than_the_file_has_takes_no_memory() {
    let mut file = GOOD.clone();
    file[24..32].copy_from_slice(&(60_u64 << 20).to_le_bytes());
    file[16..24].copy_from_slice(&((60_u64 << 20) + 64).to_le_bytes());
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    std::fs::write(store.manifest_path(digest("key")), file).unwrap();
    let why = refused(store.load(&host(), &wanted()).unwrap_err());
    assert!(matches!(why, Refused::Truncated { .. }), "{why}");
}
