//! A process that holds live children, as a cell does: a thread and a VM each.

use super::protocol::{Answer, Order, Setup, Usage, read, write};
use crate::bench::BenchError;
use crate::bench::clock::Clock;
use crate::bench::function::{Function, Parts};
use crate::bench::host::{kilobytes, open_files, read as read_text, threads};
use crate::cell::SHELL_STACK_BYTES;
use std::fs::File;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use vmm::{Kvm, Parent, ParentMemory};

/// Runs a helper until the measuring process is gone. The binary calls this for its hidden subcommand
/// `bench-children`.
pub fn children_main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-children: {error}; it is started by `spore bench density`");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let (mut orders, mut answers) = (io::stdin().lock(), io::stdout().lock());
    let setup = read::<Setup>(&mut orders)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut children = match prepare(setup) {
        Ok(function) => Children { function: Arc::new(function), alive: Vec::new() },
        Err(error) => return write(&mut answers, &Answer::Failed(crate::chain(&error))),
    };
    write(&mut answers, &Answer::Ready)?;
    while let Some(order) = read(&mut orders)? {
        let answer = match order {
            Order::Fork(count) => children.fork(count),
            Order::Measure => Answer::Used(usage()),
        };
        write(&mut answers, &answer)?;
    }
    Ok(())
}

fn prepare(setup: Setup) -> Result<Function, BenchError> {
    let open = |path| File::open(path).map_err(BenchError::host("opening what is shared"));
    let memory = ParentMemory::from_fd(open(&setup.memory)?.into(), None);
    let memory = memory.map_err(BenchError::host("mapping the parent"))?;
    let parent = Parent::new(memory, *setup.entry).map_err(BenchError::host("joining the parent"))?;
    Function::join(Parts {
        kvm: Kvm::open(&setup.kvm).map_err(BenchError::host("opening KVM"))?,
        root: open(&setup.root)?,
        package: open(&setup.package)?,
        parent: Arc::new(parent),
        name: setup.name,
        request: setup.request,
        answer: setup.answer,
    })
}

struct Children {
    function: Arc<Function>,
    /// A child ends when its sender is dropped.
    alive: Vec<Sender<()>>,
}

impl Children {
    fn fork(&mut self, count: u32) -> Answer {
        let mut times = Vec::new();
        for _ in 0..count {
            match self.fork_one() {
                Ok(time) => times.push(time),
                Err(error) => return Answer::Forked { times, stopped: Some(crate::chain(&error)) },
            }
        }
        Answer::Forked { times, stopped: None }
    }

    fn fork_one(&mut self) -> Result<u64, BenchError> {
        let (keep, end) = channel();
        let (tell, told) = channel();
        let function = Arc::clone(&self.function);
        let builder = thread::Builder::new().name("child".to_owned()).stack_size(SHELL_STACK_BYTES);
        let spawned = builder.spawn(move || live(&function, &tell, &end));
        spawned.map_err(BenchError::host("starting a thread"))?;
        let time = told.recv().map_err(BenchError::host("waiting for a child"))??;
        self.alive.push(keep);
        Ok(time)
    }
}

/// One child: answers once, then stays until its keeper is gone.
fn live(function: &Function, tell: &Sender<Result<u64, BenchError>>, end: &Receiver<()>) {
    let mut clock = Clock::new();
    let forked = function.fork().and_then(|mut machine| {
        // Making the VM belongs to this step here; only the total is told.
        clock.mark(crate::bench::clock::Step::Create);
        function.invoke(&mut machine, &mut clock).map(|()| machine)
    });
    let (machine, told) = match forked {
        Ok(machine) => (Some(machine), Ok(u64::try_from(clock.total().as_nanos()).unwrap_or(u64::MAX))),
        Err(error) => (None, Err(error)),
    };
    // Either fails only when the process ends.
    let _ = tell.send(told);
    let _ = end.recv();
    drop(machine);
}

fn usage() -> Usage {
    let rollup = read_text("/proc/self/smaps_rollup");
    let field = |name| kilobytes(&rollup, name).unwrap_or(0);
    Usage {
        anonymous: field("Anonymous"),
        pss: field("Pss"),
        pss_shared: field("Pss_File") + field("Pss_Shmem"),
        shared: field("Rss").saturating_sub(field("Anonymous")),
        threads: threads(),
        open_files: open_files(),
    }
}
