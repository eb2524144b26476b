//! What comes from Debian's packages: QEMU (installed), kernel and busybox (unpacked, not installed).

use crate::apt::{Apt, capture, provide};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const QEMU: &str = "qemu-system-x86_64";
const QEMU_PACKAGE: &str = "qemu-system-x86";
/// Depends on the current kernel.
const KERNEL_META: &str = "linux-image-amd64";
/// What the second host needs of it: its file system, and its KVM.
const MODULES: [&str; 5] = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "kvm-amd"];

/// The second host's own software.
pub(super) struct Debian {
    /// The kernel.
    pub(super) kernel: PathBuf,
    /// Kernel modules by name, in the order to load them.
    pub(super) modules: Vec<(String, PathBuf)>,
    /// A static shell with all tools.
    pub(super) busybox: PathBuf,
    /// The emulator.
    pub(super) qemu: PathBuf,
}

impl Debian {
    /// Gets what is missing and says so.
    pub(super) fn fetch(home: &Path) -> Result<Self, String> {
        let apt = Apt::default();
        let qemu = provide(&apt, QEMU, QEMU_PACKAGE)?;
        let busybox = unpack(&apt, &home.join("busybox"), "busybox-static")?.join("bin/busybox");
        let linux = home.join("linux");
        if !linux.join("boot").is_dir() {
            unpack(&apt, &linux, &kernel_package(&apt)?)?;
        }
        let kernel = files(&linux.join("boot")).into_iter().find(|p| name(p).starts_with("vmlinuz-"));
        let kernel =
            kernel.ok_or_else(|| format!("no kernel in {}; delete it and try again", linux.display()))?;
        let mut modules = Vec::new();
        let (found, mut seen) = (files(&linux.join("lib/modules")), BTreeSet::new());
        for module in MODULES {
            load_order(&found, module, &mut seen, &mut modules)?;
        }
        Ok(Self { kernel, modules, busybox, qemu })
    }
}

fn kernel_package(apt: &Apt) -> Result<String, String> {
    let show = || {
        let mut command = Command::new("apt-cache");
        command.args(["show", "--no-all-versions", KERNEL_META]);
        command
    };
    let shown = apt.run(show)?;
    let shown = String::from_utf8_lossy(&shown);
    dependency(&shown).ok_or_else(|| format!("{KERNEL_META} names no kernel package"))
}

/// The kernel package in the `Depends` field.
fn dependency(shown: &str) -> Option<String> {
    let field = shown.lines().find_map(|l| l.strip_prefix("Depends:"))?;
    let words = field.split([',', ' ', '|']).map(str::trim);
    words.into_iter().find(|w| w.starts_with("linux-image-")).map(str::to_owned)
}

/// Fetches a package and unpacks it into `directory`, complete or not at all.
fn unpack(apt: &Apt, directory: &Path, package: &str) -> Result<PathBuf, String> {
    if directory.is_dir() {
        return Ok(directory.to_owned());
    }
    eprintln!("portability: fetching the Debian package {package} (apt-get download, not installed)");
    let draft = directory.with_extension("draft");
    let failed = |e: std::io::Error| format!("cannot prepare {}: {e}", draft.display());
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(failed)?;
    }
    fs::create_dir_all(draft.join("root")).map_err(failed)?;
    apt.run(|| {
        let mut command = Command::new("apt-get");
        // Without a user of its own for downloads: that user may not write to this directory.
        command.args(["download", "-qq", "-o", "APT::Sandbox::User=root", package]).current_dir(&draft);
        command
    })?;
    let deb = files(&draft).into_iter().find(|p| p.extension().is_some_and(|e| e == "deb"));
    let deb = deb.ok_or_else(|| format!("apt-get download {package} brought nothing"))?;
    capture(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(draft.join("root")))?;
    fs::rename(draft.join("root"), directory).map_err(failed)?;
    fs::remove_dir_all(&draft).map_err(failed)?;
    Ok(directory.to_owned())
}

/// Puts a module behind all modules it needs.
fn load_order(
    files: &[PathBuf],
    module: &str,
    seen: &mut BTreeSet<String>,
    order: &mut Vec<(String, PathBuf)>,
) -> Result<(), String> {
    if !seen.insert(module.replace('-', "_")) {
        return Ok(());
    }
    let wanted = format!("{module}.ko").replace('-', "_");
    let Some(path) = files.iter().find(|p| name(p).replace('-', "_") == wanted) else {
        return Err(format!("the kernel package has no module {module} (or a compressed one)"));
    };
    let bytes = fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    for needed in depends(&bytes) {
        load_order(files, &needed, seen, order)?;
    }
    order.push((module.to_owned(), path.clone()));
    Ok(())
}

/// The modules a module needs, from its `.modinfo`.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|w| w == KEY) else { return Vec::new() };
    let value = module[at + KEY.len()..].split(|b| *b == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value);
    names.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_package_is_read_from_the_meta_package() {
        let shown = "Package: linux-image-amd64\nDepends: linux-image-6.1.0-9-amd64 (= 6.1.27-1)\n";
        assert_eq!(dependency(shown).as_deref(), Some("linux-image-6.1.0-9-amd64"));
        assert_eq!(dependency("Package: x\n"), None);
    }

    #[test]
    fn modules_name_what_they_need() {
        assert_eq!(depends(b"license=GPL\0depends=kvm,ccp\0intree=Y\0"), ["kvm", "ccp"]);
        assert!(depends(b"license=GPL\0depends=\0").is_empty());
        assert!(depends(b"").is_empty());
    }
}
