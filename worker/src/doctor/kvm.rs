//! The KVM device: can it be opened, and can it do what a VM needs.

use super::{Check, fail, ok};
use std::path::Path;
use vmm::{Kvm, OpenError};

const NAME: &str = "KVM";

pub(super) fn check(device: &Path) -> Check {
    judge(device, Kvm::open(device).map(|_| Kvm::kind()))
}

fn judge(device: &Path, opened: Result<String, OpenError>) -> Check {
    match opened {
        Ok(kind) => ok(NAME, format!("{} works ({kind}, API version 12)", device.display())),
        Err(error) => {
            // The error's text is `what is wrong: what to do`.
            let text = crate::chain(&error);
            match text.split_once(": ") {
                Some((found, remedy)) => fail(NAME, found, remedy),
                None => fail(NAME, text, "use a machine whose KVM and processor have it"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn every_way_to_fail_has_a_remedy_of_its_own() {
        let path = || "/dev/kvm".to_owned();
        for (error, found, remedy) in [
            (OpenError::Absent { path: path() }, "/dev/kvm does not exist", "load the KVM module"),
            (OpenError::Denied { path: path() }, "may not be opened", "add this user to the group kvm"),
            (OpenError::NotKvm { path: "/dev/kvm".to_owned(), version: 1 }, "got 1", "use /dev/kvm"),
            (OpenError::Missing { what: "x" }, "lacks x", "use Linux"),
            (OpenError::Processor { what: "sse9" }, "lacks sse9", "use a machine"),
        ] {
            let check = judge(Path::new("/dev/kvm"), Err(error));
            assert_eq!(check.status, Status::Fail);
            assert!(check.found.contains(found), "{check:?}");
            assert!(check.remedy.contains(remedy), "{check:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_device_is_refused() {
        let check = check(Path::new("/dev/null"));
        assert_eq!(check.status, Status::Fail);
        assert!(check.found.contains("not a KVM device"), "{check:?}");
    }

    #[test]
    fn a_working_device_names_its_kind() {
        let check = judge(Path::new("/dev/kvm"), Ok("kvm_amd".to_owned()));
        assert_eq!(check, ok(NAME, "/dev/kvm works (kvm_amd, API version 12)"));
    }
}
