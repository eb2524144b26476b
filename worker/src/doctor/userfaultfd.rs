//! userfaultfd: needed to page parents in lazily.

use super::{Check, fail, ok, warn};
use rustix::process::geteuid;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;

const NAME: &str = "userfaultfd";
const DEVICE: &str = "/dev/userfaultfd";
const SWITCH: &str = "/proc/sys/vm/unprivileged_userfaultfd";

pub(super) fn check() -> Check {
    let device = OpenOptions::new().read(true).write(true).open(DEVICE).map(drop).map_err(|e| e.kind());
    let switch = fs::read_to_string(SWITCH).ok();
    judge(device, switch.as_deref().map(str::trim), geteuid().is_root())
}

fn judge(device: Result<(), ErrorKind>, switch: Option<&str>, root: bool) -> Check {
    match (device, switch) {
        (_, None) => fail(
            NAME,
            "not in this kernel",
            "use a kernel built with CONFIG_USERFAULTFD (all stock distribution kernels are)",
        ),
        (Ok(()), _) => ok(NAME, format!("{DEVICE} can be opened")),
        (_, Some("1")) => ok(NAME, "allowed for everybody (vm.unprivileged_userfaultfd = 1)"),
        _ if root => ok(NAME, "allowed for root"),
        (Err(ErrorKind::PermissionDenied), _) => warn(
            NAME,
            format!("{DEVICE} cannot be opened by this user"),
            format!("`sudo setfacl -m u:$USER:rw {DEVICE}`, or `sudo sysctl vm.unprivileged_userfaultfd=1`"),
        ),
        _ => warn(
            NAME,
            "no device, and not allowed for this user",
            "`sudo sysctl vm.unprivileged_userfaultfd=1`, or Linux 6.1 and newer for /dev/userfaultfd",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn any_way_to_it_will_do() {
        let denied = Err(ErrorKind::PermissionDenied);
        let absent = Err(ErrorKind::NotFound);
        for (device, switch, root, status) in [
            (Ok(()), Some("0"), false, Status::Ok),
            (denied, Some("1"), false, Status::Ok),
            (absent, Some("0"), true, Status::Ok),
            (denied, Some("0"), false, Status::Warn),
            (absent, Some("0"), false, Status::Warn),
            (absent, None, true, Status::Fail),
        ] {
            assert_eq!(judge(device, switch, root).status, status, "{device:?} {switch:?} {root}");
        }
    }
}
