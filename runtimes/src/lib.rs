//! Language runtimes: what turns a function's files into a program that pico can run.
//!
//! | module | what it knows |
//! |---|---|
//! | [`image`] | root images (`/` of a function), built from Debian's packages and cached |
//! | [`package`] | function packages: a hostile tar becomes a checked tree, then an image |
//! | [`detect`] | guessing runtime and handler from the files |
//! | [`launch`] | the program, arguments and environment a function is started with |
//! | [`elf`] | what an ELF header says |
#![forbid(unsafe_code)]

pub mod detect;
pub mod elf;
pub mod image;
pub mod launch;
pub mod package;
mod pico;

pub use pico::PICO;

use std::fmt::Write;
use std::path::PathBuf;

/// Where runtimes are kept between runs: `$SPORE_CACHE`, else `$XDG_CACHE_HOME/spore`, else `~/.cache/spore`.
pub fn cache_dir() -> PathBuf {
    cache_dir_from(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn cache_dir_from(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    // A relative XDG path is to be ignored, says the specification.
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    variable("SPORE_CACHE")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|base| base.join("spore")))
        .or_else(|| absolute("HOME").map(|home| home.join(".cache/spore")))
        .unwrap_or_else(|| std::env::temp_dir().join("spore-cache"))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_directory_follows_the_environment_in_order() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> =
                set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            cache_dir_from(move |name| set.iter().find(|(k, _)| k == name).map(|(_, v)| PathBuf::from(v)))
        };
        let home = ("HOME", "/home/u");
        assert_eq!(with(&[home]), PathBuf::from("/home/u/.cache/spore"));
        assert_eq!(with(&[home, ("XDG_CACHE_HOME", "/x")]), PathBuf::from("/x/spore"));
        assert_eq!(with(&[home, ("XDG_CACHE_HOME", "relative")]), PathBuf::from("/home/u/.cache/spore"));
        assert_eq!(with(&[home, ("XDG_CACHE_HOME", "/x"), ("SPORE_CACHE", "/s")]), PathBuf::from("/s"));
        assert!(with(&[]).is_absolute());
    }

    #[test]
    fn hexadecimal_is_lower_case_and_padded() {
        assert_eq!(hex(&[0, 0xab, 0x7]), "00ab07");
    }
}
