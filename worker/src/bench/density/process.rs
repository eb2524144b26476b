//! A helper process, seen from the measuring one.

use super::DensityOptions;
use super::protocol::{Answer, Order, Setup, Usage, read, write};
use crate::bench::BenchError;
use crate::bench::function::Function;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(super) struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    answers: ChildStdout,
    /// Live children.
    pub(super) children: usize,
    /// What it used before the first of them.
    pub(super) before: Usage,
}

impl Process {
    /// Starts a helper that forks the parent of this process.
    pub(super) fn start(function: &Function, options: &DensityOptions) -> Result<Self, BenchError> {
        let failed = BenchError::host("starting a helper process");
        let (program, arguments) = options.helper.split_first().ok_or_else(|| BenchError::Host {
            what: "starting a helper process",
            why: "there is no command for it".to_owned(),
        })?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(&failed)?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let mut process = Self { child, orders, answers, children: 0, before: Usage::default() };
        process.send(&setup(function, options))?;
        match process.receive()? {
            Answer::Ready => {}
            other => return Err(unexpected(other)),
        }
        process.before = process.measure()?;
        Ok(process)
    }

    /// Forks up to `count` more children: how long each took, and why there are not more.
    pub(super) fn fork(&mut self, count: u32) -> Result<(Vec<u64>, Option<String>), BenchError> {
        self.send(&Order::Fork(count))?;
        match self.receive()? {
            Answer::Forked { times, stopped } => {
                self.children += times.len();
                Ok((times, stopped))
            }
            other => Err(unexpected(other)),
        }
    }

    pub(super) fn measure(&mut self) -> Result<Usage, BenchError> {
        self.send(&Order::Measure)?;
        match self.receive()? {
            Answer::Used(usage) => Ok(usage),
            other => Err(unexpected(other)),
        }
    }

    fn send(&mut self, message: &impl serde::Serialize) -> Result<(), BenchError> {
        let orders = self.orders.as_mut().ok_or_else(|| io::ErrorKind::BrokenPipe.into());
        orders
            .and_then(|orders| write(orders, message))
            .map_err(BenchError::host("talking to a helper process"))
    }

    fn receive(&mut self) -> Result<Answer, BenchError> {
        let answer = read(&mut self.answers)
            .and_then(|answer| answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()));
        answer.map_err(BenchError::host("listening to a helper process"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends when there are no more orders.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// Descriptors are passed by their name in `/proc`: a child may open what its parent has open.
fn setup(function: &Function, options: &DensityOptions) -> Setup {
    let pid = std::process::id();
    let path = |fd: std::os::fd::BorrowedFd<'_>| PathBuf::from(format!("/proc/{pid}/fd/{}", fd.as_raw_fd()));
    Setup {
        name: function.name.clone(),
        kvm: options.kvm.clone(),
        memory: path(function.parent.memory.as_fd()),
        root: path(function.root.as_fd()),
        package: path(function.package.as_fd()),
        entry: Box::new(function.parent.entry.clone()),
        request: function.request.clone(),
        answer: function.answer.clone(),
    }
}

fn unexpected(answer: Answer) -> BenchError {
    let why = match answer {
        Answer::Failed(why) => why,
        Answer::Ready | Answer::Forked { .. } | Answer::Used(_) => "it said the wrong thing".to_owned(),
    };
    BenchError::Host { what: "a helper process", why }
}
