//! What is in `/proc` and `/sys`: names and who knows what they tell.

use super::{RELEASE, process, system, task};
use crate::fs::notify;
use crate::kernel::Kernel;
use crate::net::ports::BACKLOG_MAX;
use crate::process::{GROUPS_MAX, View};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A name in a generated tree.
pub struct Entry {
    pub(super) name: &'static str,
    pub(super) what: What,
}

/// What a name in a generated tree is.
pub(super) enum What {
    Dir(&'static [Entry]),
    Text(fn(&Kernel) -> Vec<u8>),
    Link(fn(&Kernel) -> Vec<u8>),
    /// `/proc`: its entries, and a directory for every process.
    Processes(&'static [Entry]),
    /// A text about a process.
    TextOf(fn(&Kernel, u32, &View<'_>) -> Vec<u8>),
    /// The same, of a text that may be long: at most how long is told first.
    LongTextOf(fn(&View<'_>) -> usize, fn(&View<'_>, &mut String)),
    /// A link of a process.
    LinkOf(fn(&Kernel, &View<'_>) -> Vec<u8>),
    /// A text about a thread.
    TextOfTask(fn(&Kernel, u32, &View<'_>, u32) -> Vec<u8>),
    /// `/proc/PID/task`: its threads.
    Tasks,
    /// `/proc/PID/fdinfo`.
    DescriptorTexts,
    /// One of the texts in there.
    DescriptorText,
    /// `/proc/PID/fd`.
    Descriptors,
    /// One of the links in there.
    Descriptor,
}

const fn dir(name: &'static str, entries: &'static [Entry]) -> Entry {
    Entry { name, what: What::Dir(entries) }
}

const fn file(name: &'static str, text: fn(&Kernel) -> Vec<u8>) -> Entry {
    Entry { name, what: What::Text(text) }
}

const fn link(name: &'static str, target: fn(&Kernel) -> Vec<u8>) -> Entry {
    Entry { name, what: What::Link(target) }
}

const fn file_of(name: &'static str, text: fn(&Kernel, u32, &View<'_>) -> Vec<u8>) -> Entry {
    Entry { name, what: What::TextOf(text) }
}

const fn file_of_task(name: &'static str, text: fn(&Kernel, u32, &View<'_>, u32) -> Vec<u8>) -> Entry {
    Entry { name, what: What::TextOfTask(text) }
}

const fn link_of(name: &'static str, target: fn(&Kernel, &View<'_>) -> Vec<u8>) -> Entry {
    Entry { name, what: What::LinkOf(target) }
}

const MAPS: Entry = Entry { name: "maps", what: What::LongTextOf(process::maps_len, process::maps) };

/// `/proc`.
pub static PROC: Entry = Entry {
    name: "proc",
    what: What::Processes(&[
        link("self", |kernel| kernel.pid().to_string().into_bytes()),
        link("thread-self", |kernel| format!("{}/task/{}", kernel.pid(), kernel.threads.tid()).into_bytes()),
        link("mounts", |_| b"self/mounts".into()),
        file("cpuinfo", system::cpuinfo),
        file("filesystems", |_| {
            b"\terofs\nnodev\ttmpfs\nnodev\tproc\nnodev\tsysfs\nnodev\tdevtmpfs\n".into()
        }),
        file("loadavg", |_| b"0.00 0.00 0.00 1/1 1\n".into()),
        file("locks", |kernel| kernel.locks.report().into_bytes()),
        file("meminfo", system::meminfo),
        file("stat", system::stat),
        dir("spore", &[file("system_calls", system::system_calls)]),
        file("uptime", system::uptime),
        file("version", system::version),
        dir(
            "sys",
            &[
                dir(
                    "fs",
                    &[
                        file("file-max", |_| b"1024\n".into()),
                        dir(
                            "inotify",
                            &[
                                file("max_queued_events", |_| system::number(notify::EVENTS_MAX)),
                                file("max_user_instances", |_| system::number(notify::INSTANCES_MAX)),
                                file("max_user_watches", |_| system::number(notify::WATCHES_MAX)),
                            ],
                        ),
                        file("nr_open", |_| b"1024\n".into()),
                    ],
                ),
                dir(
                    "kernel",
                    &[
                        file("cap_last_cap", |_| b"40\n".into()),
                        file("domainname", system::domainname),
                        file("hostname", system::hostname),
                        file("ngroups_max", |_| system::number(GROUPS_MAX)),
                        file("osrelease", |_| [RELEASE.as_bytes(), b"\n"].concat()),
                        file("ostype", |_| b"Linux\n".into()),
                        file("pid_max", |_| b"4194304\n".into()),
                        dir(
                            "random",
                            &[
                                file("boot_id", system::boot_id),
                                file("entropy_avail", |_| b"256\n".into()),
                                file("poolsize", |_| b"256\n".into()),
                                file("uuid", system::uuid),
                            ],
                        ),
                    ],
                ),
                dir("net", &[dir("core", &[file("somaxconn", |_| format!("{BACKLOG_MAX}\n").into_bytes())])]),
                dir(
                    "vm",
                    &[
                        file("max_map_count", |_| b"65530\n".into()),
                        // Strict: what is mapped is there.
                        file("overcommit_memory", |_| b"2\n".into()),
                    ],
                ),
            ],
        ),
    ]),
};

const PROCESS: &[Entry] = &[
    file("cgroup", |_| b"0::/\n".into()),
    file_of("cmdline", |_, _, view| view.place.program.arguments.to_vec()),
    file_of("comm", process::comm),
    link_of("cwd", |kernel, view| {
        let cwd = &view.place.cwd;
        cwd.path(kernel).unwrap_or_else(|_| cwd.path_then().into())
    }),
    file_of("environ", |_, _, view| view.place.program.environment.to_vec()),
    link_of("exe", process::exe),
    Entry { name: "fd", what: What::Descriptors },
    Entry { name: "fdinfo", what: What::DescriptorTexts },
    file_of("limits", process::limits),
    MAPS,
    file("mountinfo", process::mountinfo),
    file("mounts", process::mounts),
    file("oom_score_adj", |_| b"0\n".into()),
    link("root", |_| b"/".into()),
    file_of("stat", process::stat),
    file_of("statm", process::statm),
    file_of("status", process::status),
    Entry { name: "task", what: What::Tasks },
];

pub(super) static TASK: Entry = dir(
    "task",
    &[
        file_of_task("comm", task::comm),
        MAPS,
        file_of_task("stat", task::stat),
        file_of("statm", process::statm),
        file_of_task("status", task::status),
    ],
);

pub(super) static PROCESS_DIR: Entry = dir("process", PROCESS);

/// `/sys`.
pub static SYS: Entry = dir(
    "sys",
    &[dir(
        "devices",
        &[dir(
            "system",
            &[dir(
                "cpu",
                &[
                    dir("cpu0", &[]),
                    file("kernel_max", |_| b"0\n".into()),
                    file("online", |_| b"0\n".into()),
                    file("possible", |_| b"0\n".into()),
                    file("present", |_| b"0\n".into()),
                ],
            )],
        )],
    )],
);

pub(super) static DESCRIPTOR_TEXT: Entry = Entry { name: "", what: What::DescriptorText };
pub(super) static DESCRIPTOR: Entry = Entry { name: "", what: What::Descriptor };
