//! What else starts a Python handler, interleaved with forks of VMs in one run.

mod zygote;

use super::BenchError;
use super::clock::Clock;
use super::figures::Figures;
use super::function::Function;
use super::kinds::{Kind, Starter};
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};
use zygote::{Zygote, execute, python};

/// Rounds before measuring.
const WARM_UP: usize = 3;
/// What is quick is done this often in a row, so that it does not only meet cold caches.
const QUICK: usize = 10;

/// All contenders of one run.
#[derive(Clone, Debug, Serialize)]
pub struct BaselineReport {
    /// Rounds measured; each ran every contender.
    pub rounds: usize,
    /// Rounds before those.
    pub warm_up: usize,
    /// What was left out, and why; empty if nothing was.
    pub left_out: Vec<String>,
    /// The contender all others are compared with.
    pub reference: String,
    /// In the order they ran.
    pub contenders: Vec<Contender>,
}

/// One way to run something.
#[derive(Clone, Debug, Serialize)]
pub struct Contender {
    /// What it does.
    pub what: String,
    /// How often it runs in a row in a round.
    pub in_a_row: usize,
    /// How long it took.
    #[serde(flatten)]
    pub time: Figures,
    /// Its median as a multiple of the reference's.
    pub ratio: f64,
}

/// Runs `rounds` rounds of everything. `python` is the function whose handler the zygote runs too, and `source` its
/// module.
pub fn baseline(
    native: &Function,
    python_function: &Function,
    source: &str,
    rounds: usize,
) -> Result<BaselineReport, BenchError> {
    let interpreter = python();
    let mut left_out = Vec::new();
    if interpreter.is_none() {
        left_out.push("this machine has no python3, so there is nothing of it to compare with".to_owned());
    }
    let (request, answer) = (&python_function.request, &python_function.answer);
    let mut runs = match &interpreter {
        Some(interpreter) => of_python(interpreter, source, request, answer)?,
        None => Vec::new(),
    };
    runs.push(Run::new("thread, started and joined", QUICK, threads));
    let reference = runs.len();
    for kind in Kind::ALL {
        for function in [python_function, native] {
            runs.push(of_function(kind, function));
        }
    }
    for round in 0..WARM_UP + rounds {
        for run in &mut runs {
            run.round(round >= WARM_UP)?;
        }
    }
    Ok(report(rounds, left_out, reference, &runs))
}

fn report(rounds: usize, left_out: Vec<String>, reference: usize, runs: &[Run<'_>]) -> BaselineReport {
    let figures: Vec<Figures> = runs.iter().map(|run| Figures::of(run.times.iter().copied())).collect();
    #[expect(clippy::cast_precision_loss, reason = "a ratio is shown with a few digits")]
    let ratio = |time: Figures| time.p50_ns as f64 / figures[reference].p50_ns.max(1) as f64;
    let contender = |(run, time): (&Run<'_>, &Figures)| Contender {
        what: run.what.clone(),
        in_a_row: run.in_a_row,
        time: *time,
        ratio: ratio(*time),
    };
    BaselineReport {
        rounds,
        warm_up: WARM_UP,
        left_out,
        reference: runs[reference].what.clone(),
        contenders: runs.iter().zip(&figures).map(contender).collect(),
    }
}

/// A contender while it runs. Its step says how long it took, because not all of it may count.
struct Run<'a> {
    what: String,
    in_a_row: usize,
    step: Box<dyn FnMut() -> Result<Duration, BenchError> + 'a>,
    times: Vec<Duration>,
}

impl<'a> Run<'a> {
    fn new(
        what: impl Into<String>,
        in_a_row: usize,
        step: impl FnMut() -> Result<Duration, BenchError> + 'a,
    ) -> Self {
        Self { what: what.into(), in_a_row, step: Box::new(step), times: Vec::new() }
    }

    fn round(&mut self, measured: bool) -> Result<(), BenchError> {
        for _ in 0..self.in_a_row {
            let time = (self.step)()?;
            if measured {
                self.times.push(time);
            }
        }
        Ok(())
    }
}

fn of_python<'a>(
    interpreter: &'a Path,
    source: &str,
    request: &'a [u8],
    answer: &'a [u8],
) -> Result<Vec<Run<'a>>, BenchError> {
    let name = interpreter.display();
    let mut zygote = Zygote::start(interpreter, source)?;
    Ok(vec![
        Run::new(format!("fork+exec of {name} -c pass"), 1, || timed(|| execute(interpreter, "pass", b""))),
        Run::new(format!("fork+exec of {name} -c 'print(1)'"), 1, || {
            timed(|| execute(interpreter, "print(1)", b"1\n"))
        }),
        Run::new("os.fork of a warm python3 with the same handler", QUICK, move || {
            timed(|| zygote.ask(request, answer))
        }),
    ])
}

fn of_function(kind: Kind, function: &Function) -> Run<'_> {
    let in_a_row = if kind == Kind::Recycled { QUICK } else { 1 };
    let mut starter = kind.starter(function);
    let what = format!("{} fork of {}", kind.name(), function.name);
    Run::new(what, in_a_row, move || invocation(function, starter.as_mut()))
}

fn invocation(function: &Function, starter: &mut dyn Starter) -> Result<Duration, BenchError> {
    let mut clock = Clock::new();
    let mut shell = starter.acquire(&mut clock)?;
    function.invoke(&mut shell.machine, &mut clock)?;
    starter.release(shell, &mut clock)?;
    Ok(clock.total())
}

fn threads() -> Result<Duration, BenchError> {
    timed(|| {
        let thread =
            std::thread::Builder::new().spawn(|| ()).map_err(BenchError::host("starting a thread"))?;
        thread
            .join()
            .map_err(|_| BenchError::Host { what: "joining a thread", why: "it panicked".to_owned() })
    })
}

fn timed(step: impl FnOnce() -> Result<(), BenchError>) -> Result<Duration, BenchError> {
    let begun = Instant::now();
    step()?;
    Ok(begun.elapsed())
}
