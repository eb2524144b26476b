//! `spore run` at a terminal: settings, sizes and keys are passed on, and the terminal is afterwards what it was.
//!
//! `script` makes the terminal; commands in it are a shell's.

use crate::common::spore;
use crate::rig::{RIG, fed};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A shell at a terminal of its own.
struct Screen {
    child: Child,
    keys: ChildStdin,
    output: ChildStdout,
    seen: Vec<u8>,
    /// For files of the test: `$W` in commands.
    work: TempDir,
}

impl Screen {
    /// Runs `commands`, in which `$run` runs a program of the test image.
    fn new(commands: &str) -> Self {
        let work = TempDir::new().expect("the temporary directory is ours");
        let path = work.path().join("commands");
        fs::write(&path, commands).expect("the temporary directory is ours");
        let binary = spore(&[]).get_program().to_owned();
        let run = format!(
            "{} run --timeout 120s -e TERM=vt100 -e HOME=/tmp --image {} --",
            binary.display(),
            RIG.image().display()
        );
        let mut child = Command::new("script")
            .args(["-qefc", &format!("exec sh {}", path.display()), "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("run", run)
            .env("W", work.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` is part of every Debian");
        let (keys, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Self { child, keys, output, seen: Vec::new(), work }
    }

    /// Reads until `text` was shown, and forgets what was shown up to there.
    #[track_caller]
    fn shows(&mut self, text: &str) -> String {
        let mut byte = [0];
        while !self.seen.ends_with(text.as_bytes()) {
            let got = self.output.read(&mut byte).expect("it is a pipe");
            let seen = String::from_utf8_lossy(&self.seen);
            assert_eq!(got, 1, "{text:?} was not shown, but {seen:?}");
            self.seen.push(byte[0]);
        }
        String::from_utf8_lossy(&std::mem::take(&mut self.seen)).into_owned()
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("somebody reads");
    }

    /// What is shown until the end, and the exit code.
    fn ends(mut self) -> (String, i32) {
        self.output.read_to_end(&mut self.seen).expect("it is a pipe");
        let code = self.child.wait().expect("it is a child").code().expect("it exits");
        (String::from_utf8_lossy(&self.seen).into_owned(), code)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }
}

#[test]
fn raw_mode_is_passed_on_and_taken_back_however_the_program_ends() {
    let program = "busybox sh -c 'stty -icanon -echo -isig min 1; echo ready; busybox dd bs=1 count=1 2>/dev/null | busybox od -c; exit 5'";
    let mut screen = Screen::new(&format!(
        "stty -a > $W/before; $run {program}; echo code $?; stty -a > $W/after; cmp $W/before $W/after && echo same"
    ));
    screen.shows("ready\r\n");
    screen.types("\u{3}");
    let shown = screen.shows("code 5\r\n");
    assert!(shown.contains("003"), "Ctrl-C is a byte: {shown:?}");
    let (rest, code) = screen.ends();
    assert_eq!((rest.as_str(), code), ("same\r\n", 0));
}

#[test]
fn a_killed_program_leaves_the_terminal_as_it_was() {
    let program = "busybox sh -c 'stty raw -echo; echo ready; read x'";
    let mut screen = Screen::new(&format!(
        "stty -a > $W/before; mkfifo $W/go
         (read x < $W/go; kill -TERM $(cat $W/pid)) &
         sh -c 'echo $$ > $W/pid; exec $run {quoted}'
         echo code $?; stty -a > $W/after; cmp $W/before $W/after && echo same
         $(echo $run | sed s/120s/15s/) {program}
         echo code $?; stty -a > $W/after; cmp $W/before $W/after && echo same",
        quoted = program.replace('\'', "\"")
    ));
    screen.shows("ready");
    fs::write(screen.file("go"), "\n").expect("somebody reads it");
    screen.shows("code 143\r\n");
    screen.shows("same\r\n");
    screen.shows("ready");
    screen.shows("code 124\r\n");
    screen.shows("same\r\n");
    assert_eq!(screen.ends().1, 0);
}

#[test]
fn a_stopped_terminal_holds_nothing_up() {
    let key = "busybox dd bs=1 count=1 of=/dev/null 2>/dev/null";
    let program = format!(
        "stty -icanon -echo min 1; echo ready; {key}; echo stopped; {key}; stty echo; echo set; {key}"
    );
    let mut screen = Screen::new(&format!(
        "stty -a > $W/before; mkfifo $W/out $W/go
         (read x < $W/go; echo late > /dev/tty) &
         {{ sh -c 'echo $$ > $W/pid; exec $run busybox sh -c \"{program}\"'; echo code $?; }} > $W/out 2> $W/errors
         wait; stty -a > $W/after; cmp $W/before $W/after && echo same"
    ));
    let (sender, lines) = mpsc::channel();
    let out = screen.file("out");
    thread::spawn(move || {
        // The shell makes it.
        let file = loop {
            match File::open(&out) {
                Err(error) if error.kind() == ErrorKind::NotFound => thread::yield_now(),
                file => break file.expect("it is a pipe"),
            }
        };
        BufReader::new(file).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let says = |line: &str| assert_eq!(lines.recv_timeout(Duration::from_secs(60)).as_deref(), Ok(line));
    says("ready");
    screen.types("\u{13}x");
    says("stopped");
    // Somebody who writes to a stopped terminal is what those wait for who want to see their output first.
    fs::write(screen.file("go"), "\n").expect("somebody reads it");
    screen.types("x");
    says("set");
    let pid = fs::read_to_string(screen.file("pid")).expect("it was written at first");
    Command::new("kill").arg(pid.trim()).status().expect("every Debian has it");
    says("code 143");
    screen.types("\u{11}");
    screen.shows("late\r\n");
    screen.shows("same\r\n");
    assert_eq!(screen.ends().1, 0);
}

#[test]
fn a_password_is_not_shown_and_lines_can_be_edited() {
    let mut screen = Screen::new(
        "$run python3.11 -c 'import getpass; print(repr(getpass.getpass(\"word: \"))); import readline; print(repr(input(\"line: \")))'",
    );
    screen.shows("word: ");
    screen.types("secret\n");
    let shown = screen.shows("line: ");
    assert!(shown.contains("'secret'") && !shown.starts_with("secret"), "{shown:?}");
    // Readline: to the front of the line, a word, and a character less.
    screen.types("world\u{1}hello x\u{8}\r");
    let (shown, code) = screen.ends();
    assert!(shown.contains("'hello world'"), "{shown:?}");
    assert_eq!(code, 0);
}

#[test]
fn an_editor_and_a_pager_work() {
    let mut screen = Screen::new(
        "stty rows 20 cols 60; $run busybox sh -c 'busybox vi /tmp/f; cat /tmp/f; busybox seq 100 > /tmp/g; busybox less /tmp/g; echo over'",
    );
    // Key by key, as somebody types: this editor takes what comes at once for one key.
    screen.shows("- /tmp/f 1/1");
    screen.types("i");
    screen.shows("I /tmp/f");
    screen.types("hello from vi");
    screen.shows("hello from vi");
    screen.types("\u{1b}");
    screen.shows("[Modified]");
    screen.types(":wq\r");
    screen.shows("hello from vi\r\n");
    screen.shows("17");
    screen.types("G");
    screen.shows("100");
    screen.types("q");
    let (shown, code) = screen.ends();
    assert!(shown.ends_with("over\r\n"), "{shown:?}");
    assert_eq!(code, 0);
}

#[test]
fn the_size_of_the_window_is_passed_on_and_so_is_a_change() {
    let program = "busybox sh -c 'trap \"stty size\" WINCH; stty size; echo ready; while :; do read x; [ \"$x\" = stop ] && exit 3; done'";
    let mut screen = Screen::new(&format!(
        "stty rows 33 cols 99; mkfifo $W/go
         (read x < $W/go; stty rows 44 cols 55 < /dev/tty) &
         $run {program}; echo code $?"
    ));
    screen.shows("33 99\r\nready\r\n");
    fs::write(screen.file("go"), "\n").expect("somebody reads it");
    // Both numbers change one after the other, so there may be more lines.
    screen.shows("44 55\r\n");
    screen.types("stop\n");
    let (shown, code) = screen.ends();
    assert!(shown.ends_with("code 3\r\n"), "{shown:?}");
    assert_eq!(code, 0);
}

#[test]
fn keys_send_signals_to_the_foreground_of_the_program() {
    let mut screen = Screen::new(
        "trap : INT; $run busybox sh -c 'trap \"echo caught\" INT; echo ready; busybox cat; echo code $?'; echo code $?",
    );
    screen.shows("ready\r\n");
    // Once it answers, it is there.
    screen.types("x\n");
    screen.shows("x\r\nx\r\n");
    screen.types("\u{3}");
    screen.shows("code 130\r\n");
    assert_eq!(screen.ends().1, 0);
}

#[test]
fn an_interactive_shell_works_in_a_pseudo_terminal_of_the_vm() {
    let script = "import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(PS1='$ ', TERM='dumb')
    os.execvp('busybox', ['busybox', 'sh', '-i'])
def until(text):
    seen = b''
    while not seen.endswith(text):
        seen += os.read(fd, 1)
    return seen
until(b'$ ')
os.write(fd, b'tty; stty -a | busybox head -n 1\\n'); print(until(b'baud'))
until(b'$ ')
os.write(fd, b'busybox sleep 1000\\n'); until(b'1000\\r\\n')
while os.tcgetpgrp(fd) == pid: pass
os.write(fd, b'\\x1a'); print(b'Stopped' in until(b'$ '))
os.write(fd, b'fg\\n'); until(b'sleep 1000\\r\\n')
while os.tcgetpgrp(fd) == pid: pass
os.write(fd, b'\\x03'); until(b'$ ')
os.write(fd, b'echo $?; exit 7\\n'); print(b'130' in until(b'exit 7\\r\\n') + until(b'\\n'))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    let mut command = spore(&["run", "--timeout", "120s", "--image"]);
    command.arg(RIG.image()).args([
        "-e",
        "PATH=/usr/bin",
        "-e",
        "HOME=/tmp",
        "--",
        "python3.11",
        "-c",
        script,
    ]);
    let output = fed(&mut command, b"");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("/dev/pts/0"), "{output:?}");
    assert!(text.ends_with("True\nTrue\n7\n"), "{output:?}");
}
