//! Names in a package: pure checks on bytes of unknown origin.

use super::error::PackageError;
use super::unpack::{DEPTH_MAX, NAME_MAX_BYTES, PATH_MAX_BYTES};

/// Checks the path of an entry and returns it in its one normal form, `a/b/c`; empty for the root itself.
pub(super) fn clean(raw: &[u8]) -> Result<String, PackageError> {
    let shown = || String::from_utf8_lossy(&raw[..raw.len().min(PATH_MAX_BYTES)]).into_owned();
    let bad = |why| Err(PackageError::BadPath { path: shown(), why });
    if raw.len() > PATH_MAX_BYTES {
        return Err(PackageError::NameTooLong { path: shown() });
    }
    let Ok(text) = std::str::from_utf8(raw) else { return bad("the path is not UTF-8") };
    if text.is_empty() {
        return bad("the path is empty");
    }
    if text.starts_with('/') {
        return bad("the path is absolute");
    }
    if text.contains('\0') {
        return bad("the path has a NUL byte in it");
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return bad("the path has `..` in it");
    }
    if parts.iter().any(|part| part.len() > NAME_MAX_BYTES) {
        return Err(PackageError::NameTooLong { path: shown() });
    }
    if parts.len() > DEPTH_MAX {
        return Err(PackageError::TooDeep { path: shown() });
    }
    Ok(parts.join("/"))
}

/// Checks the target of the symbolic link at `path`.
///
/// `..` may stand at the start only and may not climb above the package. With links below links refused as well,
/// no chain of links can then leave the package.
pub(super) fn check_link(path: &str, target: &[u8]) -> Result<String, PackageError> {
    let outside = || PackageError::LinkOutside {
        path: path.to_owned(),
        target: String::from_utf8_lossy(&target[..target.len().min(PATH_MAX_BYTES)]).into_owned(),
    };
    let text = std::str::from_utf8(target).map_err(|_| outside())?;
    if text.is_empty() || text.starts_with('/') || text.contains('\0') || text.len() > PATH_MAX_BYTES {
        return Err(outside());
    }
    let depth = path.split('/').count() - 1;
    let mut parts = text.split('/').filter(|part| !part.is_empty() && *part != ".").peekable();
    let mut climbs = 0;
    while parts.next_if_eq(&"..").is_some() {
        climbs += 1;
    }
    if climbs > depth || parts.any(|part| part == "..") {
        return Err(outside());
    }
    Ok(text.to_owned())
}

/// The proper parents of a clean path, outermost first.
pub(super) fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}
