//! What apt says about packages: names, sizes, digests.

use crate::image::error::{Context, ImageError};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// One package file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deb {
    /// Package name.
    pub(crate) package: String,
    /// File name in the archive.
    pub(crate) file: String,
    /// Size.
    pub(crate) bytes: u64,
    /// SHA-256, hex.
    pub(crate) sha256: String,
    /// Host it comes from.
    pub(crate) host: String,
    directory: PathBuf,
}

impl Deb {
    /// Where the file is kept.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(&self.file)
    }

    /// Whether the file is there and is what the index promised.
    pub(crate) fn is_intact(&self) -> bool {
        let path = self.path();
        fs::metadata(&path).is_ok_and(|m| m.len() == self.bytes)
            && sha256_of_file(&path).is_ok_and(|digest| digest == self.sha256)
    }

    /// Removes the file and fails if it is not what the index promised.
    pub(crate) fn verify(&self) -> Result<(), ImageError> {
        if self.is_intact() {
            return Ok(());
        }
        let path = self.path();
        fs::remove_file(&path).on("remove the damaged package", &path)?;
        Err(ImageError::Damaged {
            file: self.file.clone(),
            detail: "its size or SHA-256 digest is not that of Debian's index".to_owned(),
        })
    }
}

/// SHA-256 of a file, hex.
pub(crate) fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(crate::hex(&digest.finalize())),
            n => digest.update(&buffer[..n]),
        }
    }
}

/// Reads the output of `apt-get download --print-uris`: one line `'URI' FILE SIZE SHA256:HEX` for each package.
pub(crate) fn parse(listing: &str, names: &[&str], directory: &Path) -> Result<Vec<Deb>, String> {
    let found: Vec<Deb> = listing
        .lines()
        .filter(|line| line.starts_with('\''))
        .map(|line| parse_line(line, directory))
        .collect::<Result<_, _>>()?;
    names
        .iter()
        .map(|name| {
            found
                .iter()
                .find(|deb| deb.package == *name)
                .cloned()
                .ok_or_else(|| format!("it named no file for package {name}"))
        })
        .collect()
}

fn parse_line(line: &str, directory: &Path) -> Result<Deb, String> {
    let bad = |what: &str| format!("{what} in the line `{line}`");
    let mut fields = line.split(' ');
    let uri = fields.next().unwrap_or_default().trim_matches('\'');
    let file = fields.next().ok_or_else(|| bad("no file name"))?;
    let size = fields.next().ok_or_else(|| bad("no size"))?;
    let digest =
        fields.next().and_then(|field| field.strip_prefix("SHA256:")).ok_or_else(|| bad("no SHA-256"))?;
    let package = file.split('_').next().unwrap_or_default();
    if package.is_empty() || file.contains('/') || file.starts_with('.') {
        return Err(bad("an impossible file name"));
    }
    Ok(Deb {
        package: package.to_owned(),
        file: file.to_owned(),
        bytes: size.parse().map_err(|_| bad("no size"))?,
        sha256: digest.to_owned(),
        host: uri.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or(uri).to_owned(),
        directory: directory.to_owned(),
    })
}

/// The release name in `/etc/os-release`.
pub(crate) fn codename(os_release: &str) -> Option<&str> {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"'))
}

/// Package names in apt's complaint.
pub(crate) fn unknown_packages(detail: &str) -> String {
    let mut names: Vec<&str> = detail
        .split(';')
        .filter_map(|part| part.split_once("locate package ").or_else(|| part.split_once("Package ")))
        .filter_map(|(_, rest)| rest.split_whitespace().next())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// Bytes as megabytes, for people.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    // Two steps: the thousands fit into f64 exactly for any size a disk can have.
    u32::try_from(bytes / 1000).map_or(f64::INFINITY, f64::from) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "WARNING: something\n\
        'http://deb.debian.org/debian/pool/main/z/zlib/zlib1g_1%3a1.2.13_amd64.deb' zlib1g_1%3a1.2.13_amd64.deb 5 SHA256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n\
        'http://deb.debian.org/x/netbase_6.4_all.deb' netbase_6.4_all.deb 12800 SHA256:29b2\n";

    #[test]
    fn a_listing_is_read_in_the_order_asked_for() {
        let debs = parse(LISTING, &["netbase", "zlib1g"], Path::new("/p")).unwrap();
        assert_eq!(debs[0].package, "netbase");
        assert_eq!(debs[1].bytes, 5);
        assert_eq!(debs[1].host, "deb.debian.org");
        assert_eq!(debs[1].path(), Path::new("/p/zlib1g_1%3a1.2.13_amd64.deb"));
    }

    #[test]
    fn a_listing_that_lacks_something_is_refused() {
        let no_such = parse(LISTING, &["bash"], Path::new("/p")).unwrap_err();
        assert!(no_such.contains("bash"), "{no_such}");
        for bad in [
            "'http://h/a_1.deb' ../a_1.deb 5 SHA256:aa",
            "'http://h/a_1.deb' a_1.deb x SHA256:aa",
            "'u' a_1.deb 5 MD5Sum:aa",
            "'u'",
        ] {
            assert!(parse(bad, &["a"], Path::new("/p")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_damaged_file_is_removed_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let deb = parse(LISTING, &["zlib1g"], directory.path()).unwrap().remove(0);
        assert!(!deb.is_intact());
        fs::write(deb.path(), "hello").unwrap();
        deb.verify().unwrap();
        fs::write(deb.path(), "jello").unwrap();
        let error = deb.verify().unwrap_err().to_string();
        assert!(error.contains("zlib1g") && !deb.path().exists(), "{error}");
    }

    #[test]
    fn the_release_name_and_unknown_packages_are_found() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(codename("ID=x\n"), None);
        let detail = "exit status: 100: E: Unable to locate package foo; E: Unable to locate package bar";
        assert_eq!(unknown_packages(detail), "bar, foo");
    }
}
