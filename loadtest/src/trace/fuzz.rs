//! Traces that are damaged at random: they are read or refused, and an error names file, line and column.

use super::generate::{Shape, files, write_invocations};
use super::{azure_2019, azure_2021};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::path::Path;

/// Replaces, removes, doubles or cuts something of `text`.
fn damage(text: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    const WORDS: [&[u8]; 12] = [
        b"NaN",
        b"-1",
        b"inf",
        b"1e999",
        b"99999999999999999999",
        b"\"",
        b",",
        b"\n",
        b"\0",
        b"\xff\xfe",
        b"",
        b"0x1",
    ];
    let mut text = text.to_vec();
    for _ in 0..=rng.next_u32() % 3 {
        let at = rng.next_u32() as usize % text.len().max(1);
        let end = (at + rng.next_u32() as usize % 40).min(text.len());
        match rng.next_u32() % 4 {
            0 => text.truncate(at),
            1 => drop(text.splice(at..end, [])),
            2 => {
                let part = text[at..end].to_vec();
                drop(text.splice(at..at, part));
            }
            _ => {
                let word = WORDS[rng.next_u32() as usize % WORDS.len()];
                let upto = (at + word.len()).min(text.len());
                drop(text.splice(at..upto, word.iter().copied()));
            }
        }
    }
    text
}

fn check(result: Result<super::Trace, super::TraceError>, directory: &Path, refused: &mut u32) {
    match result {
        Ok(trace) => assert!(!trace.functions.is_empty()),
        Err(error) => {
            *refused += 1;
            let text = error.to_string();
            assert!(text.starts_with(directory.to_str().unwrap()), "{text}");
            assert!(text.contains(", line ") && text.contains(", column "), "{text}");
        }
    }
}

#[test]
fn damaged_tables_are_read_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let shape = Shape { functions: 12, minutes: 6 };
    files(shape, 5, directory.path()).unwrap();
    let mut single = Vec::new();
    write_invocations(shape, 5, &mut single).unwrap();
    let sound =
        ["invocations.csv", "durations.csv", "memory.csv"].map(|name| std::fs::read(path(name)).unwrap());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut refused = 0;
    for round in 0..600 {
        for (index, sound) in sound.iter().enumerate() {
            let text = if round % 3 == index { damage(sound, &mut rng) } else { sound.clone() };
            std::fs::write(path(&index.to_string()), text).unwrap();
        }
        let read = azure_2019::read(&path("0"), Some(&path("1")), Some(&path("2")));
        check(read, directory.path(), &mut refused);
        std::fs::write(path("single"), damage(&single, &mut rng)).unwrap();
        check(azure_2021::read(&path("single")), directory.path(), &mut refused);
    }
    // Damage that leaves a table a table is no error: then there is less, or something else, in it.
    assert!(refused > 300, "{refused}");
}
