//! Single calls whose kind of start is arranged beforehand.
//!
//! The platform says `new` of every VM that has not served before. Whether it was made ahead (a spare), for the request, or
//! for a parent that was not in memory, shows in the list of VMs just before the call.

use super::caller::{Answered, Caller};
use crate::engine::Stop;
use crate::tally::Start;
use crate::target::Target;
use serde_json::Value;
use std::io;
use std::time::{Duration, Instant};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(40);
/// Time between two looks at the VMs.
const LOOK: Duration = Duration::from_millis(5);
/// Failures to arrange a start after which it is given up: the platform makes and gives up VMs when it likes.
pub const TRIES: usize = 3;
/// How long a call holds its VM that only keeps it from others, in seconds. It is broken off before.
const HOLD: u32 = 50;
/// VMs that are held at most.
const HELD_MAX: usize = 64;

/// What came of calls that were to be arranged.
#[derive(Clone, Debug, Default)]
pub struct Called {
    /// Greetings whose VMs came to be as was asked for.
    pub answers: Vec<Answered>,
    /// Why the last of those that failed did, if one failed.
    pub error: Option<String>,
}

/// Calls one function.
pub struct Stage {
    target: Target,
    function: String,
    stop: Stop,
}

/// A VM in the list.
#[derive(Clone, Debug, PartialEq)]
struct Vm {
    id: String,
    idle: bool,
    served: u64,
}

impl Stage {
    /// Of a function on the platform at `target`. Nothing is waited for any more once `stop` is set.
    pub fn new(target: &Target, function: &str, stop: &Stop) -> Stage {
        Stage { target: target.clone(), function: function.to_owned(), stop: stop.clone() }
    }

    /// Greetings whose VMs came to be as `start` says. Fewer than `count` if the others could not be arranged, or failed: one
    /// failure does not take back what was answered before.
    pub fn calls(&self, start: Start, count: usize) -> Called {
        self.tried(start, count, TRIES)
    }

    /// One such greeting, which is tried once.
    pub fn call(&self, start: Start) -> Called {
        self.tried(start, 1, 1)
    }

    fn tried(&self, start: Start, count: usize, tries: usize) -> Called {
        let (mut called, mut failures) = (Called::default(), 0);
        // Those who keep VMs from the calls, from one call to the next.
        let mut held = Vec::new();
        while called.answers.len() < count && failures < tries && !self.stop.is_set() {
            let answer = match start {
                Start::Recycled => self.recycled(),
                Start::Remapped => self.remapped(),
                Start::New => self.new_one(&mut held),
                Start::Spare => self.spare(&mut held),
                Start::Cold => self.cold(),
                Start::None | Start::Other => return called,
            };
            match answer.map(|answer| answer.filter(|answer| answer.start() == start.name())) {
                Ok(Some(answer)) => called.answers.push(answer),
                Ok(None) => failures += 1,
                Err(error) => {
                    failures += 1;
                    called.error = Some(error.to_string());
                }
            }
        }
        called
    }

    /// Waits until nothing of the function is in memory; false if that does not come.
    pub fn wait_until_gone(&self) -> io::Result<bool> {
        self.wait(<[Vm]>::is_empty)
    }

    /// After another request.
    fn recycled(&self) -> io::Result<Option<Answered>> {
        self.hello()?;
        if !self.wait(|vms| vms.iter().any(|vm| vm.idle && vm.served > 0))? {
            return Ok(None);
        }
        self.hello().map(Some)
    }

    /// After a program that ended. The VM that ends must be the one that is called next: the last that was busy.
    fn remapped(&self) -> io::Result<Option<Answered>> {
        self.open()?.get(&self.path("exit=1"))?;
        if !self.wait(|vms| !vms.is_empty() && vms.iter().all(|vm| vm.idle))? {
            return Ok(None);
        }
        self.hello().map(Some)
    }

    /// While all VMs there are serve others.
    fn new_one(&self, held: &mut Vec<Caller>) -> io::Result<Option<Answered>> {
        if !self.hold(held, |_| true)? {
            return Ok(None);
        }
        self.hello().map(Some)
    }

    /// With VMs made ahead as the only idle ones. If there are none, all others are given up, and the platform makes some.
    fn spare(&self, held: &mut Vec<Caller>) -> io::Result<Option<Answered>> {
        if !self.hold(held, |vm| vm.served > 0)? {
            return Ok(None);
        }
        let fresh = |vm: &Vm| vm.idle && vm.served == 0;
        if !self.vms()?.iter().any(fresh) {
            held.clear();
            if !self.wait(|vms| vms.iter().any(fresh) && vms.iter().all(|vm| vm.idle))? {
                return Ok(None);
            }
        }
        self.hello().map(Some)
    }

    /// With nothing in memory, which the platform has to see to.
    fn cold(&self) -> io::Result<Option<Answered>> {
        if !self.wait_until_gone()? {
            return Ok(None);
        }
        self.hello().map(Some)
    }

    /// Takes idle VMs by calls that last, until none is idle that `wanted` selects; false if that does not come. Callers that
    /// are dropped hang up, which ends their VMs.
    fn hold(&self, held: &mut Vec<Caller>, wanted: impl Fn(&Vm) -> bool) -> io::Result<bool> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && held.len() < HELD_MAX && !self.stop.is_set() {
            let vms = self.vms()?;
            if !vms.iter().any(|vm| vm.idle && wanted(vm)) {
                return Ok(true);
            }
            let serving = vms.iter().filter(|vm| !vm.idle).count();
            let mut caller = self.open()?;
            caller.send(&self.path(&format!("hold={HOLD}")))?;
            held.push(caller);
            if !self.wait(|vms| vms.iter().filter(|vm| !vm.idle).count() > serving)? {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// A greeting, on a connection that has been used already: what connecting costs is not asked.
    fn hello(&self) -> io::Result<Answered> {
        let mut caller = self.open()?;
        caller.get("/v1/vms")?;
        let answer = caller.get(&self.path("name=Spore"))?;
        let right = answer.status == 200 && answer.body.windows(6).any(|part| part == b"Spore!");
        let wrong = || io::Error::other(format!("{} answered {}", self.function, answer.status));
        if right { Ok(answer) } else { Err(wrong()) }
    }

    fn path(&self, query: &str) -> String {
        format!("/function/{}/?{query}", self.function)
    }

    fn open(&self) -> io::Result<Caller> {
        Caller::open(&self.target, PATIENCE)
    }

    /// Waits until the VMs are so; false if that does not come.
    fn wait(&self, is_so: impl Fn(&[Vm]) -> bool) -> io::Result<bool> {
        let begun = Instant::now();
        while !is_so(&self.vms()?) {
            if begun.elapsed() > PATIENCE || self.stop.is_set() {
                return Ok(false);
            }
            std::thread::sleep(LOOK);
        }
        Ok(true)
    }

    fn vms(&self) -> io::Result<Vec<Vm>> {
        let body = self.open()?.get("/v1/vms")?.body;
        let list: Value = serde_json::from_slice(&body)?;
        let list = list["vms"].as_array().ok_or_else(|| io::Error::other("no list of VMs"))?;
        Ok(list.iter().filter(|vm| vm["function"] == self.function.as_str()).map(Vm::of).collect())
    }
}

impl Vm {
    fn of(value: &Value) -> Vm {
        Vm {
            id: value["id"].as_str().unwrap_or_default().to_owned(),
            idle: value["state"] == "idle",
            served: value["served"].as_u64().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    #[test]
    fn what_is_stopped_calls_and_waits_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let stop = Stop::default();
        let stopper = stop.clone();
        // The list that is awaited never comes, and whoever asks for it is stopped.
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while !lines.next().unwrap().unwrap().is_empty() {}
            stopper.stop();
            let list = r#"{"vms":[{"function":"a"}]}"#;
            let length = list.len();
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{list}").unwrap();
        });
        let stage = Stage::new(&target, "a", &stop);
        assert!(!stage.wait_until_gone().unwrap());
        server.join().unwrap();
        let called = stage.calls(Start::Recycled, 5);
        assert!(called.answers.is_empty() && called.error.is_none());
    }

    /// A platform without VMs that answers calls of its function with one status after the other.
    fn platform(statuses: &'static [u16]) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        std::thread::spawn(move || {
            let mut statuses = statuses.iter();
            for stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                while let Some(request) = lines.next() {
                    lines.by_ref().find(String::is_empty);
                    let (status, body) = if request.starts_with("GET /v1/vms ") {
                        (200, r#"{"vms":[]}"#)
                    } else {
                        (*statuses.next().unwrap(), "Hello, Spore!")
                    };
                    let head = format!("HTTP/1.1 {status} X\r\nx-spore-start: cold\r\n");
                    write!(&stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
                }
            }
        });
        target
    }

    #[test]
    fn a_failed_call_takes_nothing_back_and_three_are_enough() {
        let target = platform(&[200, 500, 200, 200]);
        let called = Stage::new(&target, "a", &Stop::default()).calls(Start::Cold, 3);
        assert_eq!((called.answers.len(), called.error.as_deref()), (3, Some("a answered 500")));
        let target = platform(&[500]);
        assert!(Stage::new(&target, "a", &Stop::default()).call(Start::Cold).answers.is_empty());
        let target = platform(&[200, 500, 200, 500, 503]);
        let called = Stage::new(&target, "a", &Stop::default()).calls(Start::Cold, 3);
        assert_eq!((called.answers.len(), called.error.as_deref()), (2, Some("a answered 503")));
    }
}
