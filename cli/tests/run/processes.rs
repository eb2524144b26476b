//! Programs that start others: pipelines of shells, `subprocess`, `fork`.

use crate::rig::RIG;

#[test]
fn shells_start_programs() {
    for script in [
        "seq 1 1000 | grep 7 | wc -l",
        "echo $(seq 5 | sort -r)",
        "(exit 5); echo $?; false || echo no; true && echo yes",
        "cat data/words | sed -n 1,5p | tr a-z A-Z; cat <<EOF | wc -c\nhello\nEOF",
        "sleep 0.1 & wait $!; echo $?; sh -c 'kill -TERM $$'; echo $?",
        "nosuchcommand; echo $?; ./data/words; echo $?; ./data/deep; echo $?",
        "trap 'echo ended' EXIT; x=1; (x=2; echo $x); echo $x; exec env -i A=b env",
        "find data -type f | sort | xargs cat | wc -c",
        "yes | head -n 3; seq 100000 | tail -n 1; mkdir {W}/d && (cd {W}/d && echo x > y) && cat {W}/d/y",
        "i=0; while [ $i -lt 30 ]; do i=$((i+1)); /bin/true || echo bad; done; echo $i",
    ] {
        RIG.agrees("dash", &["-c", script], b"");
    }
}

#[test]
fn perl_starts_programs() {
    let script = "$| = 1; print `echo hi`; system('sh', '-c', 'exit 3'); print $? >> 8, qq(\n);
        my $pid = fork; if (!$pid) { exit 4 } waitpid $pid, 0; print $? >> 8, qq(\n);
        open my $pipe, '-|', 'seq', 5; print while <$pipe>; close $pipe;
        pipe my $r, my $w; if (!fork) { close $r; print $w qq(from the child\n); exit } close $w; print <$r>; wait;";
    RIG.agrees("perl", &["-e", script], b"");
}

#[test]
fn python_starts_programs_and_forks() {
    let script = "
import os, signal, subprocess
print(subprocess.run(['echo', 'hi'], capture_output=True))
print(subprocess.check_output('seq 5 | wc -l; exit 0', shell=True))
print(subprocess.call(['false']), subprocess.run(['cat'], input=b'x' * 300000, capture_output=True).stdout.count(b'x'))
try: subprocess.call(['/nowhere'])
except OSError as error: print(error)
try: subprocess.run(['sleep', '100'], timeout=0.2)
except subprocess.TimeoutExpired as error: print(error.cmd)
sleeper = subprocess.Popen(['sleep', '100'], start_new_session=True)
sleeper.send_signal(signal.SIGTERM)
print(sleeper.wait())
pid = os.fork()
if pid == 0: os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with os.popen('echo popen') as pipe: print(os.waitstatus_to_exitcode(os.system('kill -9 $$')), pipe.read())
try: os.wait()
except ChildProcessError as error: print(error)
";
    RIG.agrees("python3.11", &["-c", script], b"");
}

#[test]
fn python_locks_files_stops_processes_and_waits_for_process_descriptors() {
    let script = "
import asyncio, fcntl, os, select, signal, sqlite3, sys
def run(body, *args):
    pid = os.fork()
    if pid == 0:
        try: os._exit(body(*args) or 0)
        finally: os._exit(99)
    return pid
def end(pid): return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
base = sys.argv[1]
file = open(base + '/lock', 'w+b')
def tries(take):
    with open(base + '/lock', 'r+b') as own:
        try: take(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError: return 1
for take in fcntl.lockf, fcntl.flock:
    take(file, fcntl.LOCK_EX); print(end(run(tries, take)))
    take(file, fcntl.LOCK_UN); print(end(run(tries, take)))
database = base + '/db'
with sqlite3.connect(database) as connection: connection.execute('create table t (x)')
connection.close()
def inserts(who):
    own = sqlite3.connect(database, timeout=60)
    for n in range(20):
        with own: own.execute('insert into t values (?)', (who * 100 + n,))
print([end(pid) for pid in [run(inserts, who) for who in range(3)]])
own = sqlite3.connect(database)
print(own.execute('select count(*), count(distinct x) from t').fetchone(), own.execute('pragma integrity_check').fetchone())
pid = run(signal.pause)
for number, flags in (signal.SIGSTOP, os.WUNTRACED), (signal.SIGCONT, os.WCONTINUED):
    os.kill(pid, number); print(os.waitpid(pid, flags)[1])
fd = os.pidfd_open(pid)
poll = select.poll(); poll.register(fd, select.POLLIN)
print(poll.poll(0)); signal.pidfd_send_signal(fd, signal.SIGTERM); print(poll.poll()[0][1] & select.POLLIN)
print(os.waitid(os.P_PIDFD, fd, os.WEXITED).si_status)
async def main():
    process = await asyncio.create_subprocess_exec('sh', '-c', 'echo out; exit 3', stdout=-1)
    print(await process.communicate(), process.returncode)
watcher = asyncio.PidfdChildWatcher(); asyncio.set_child_watcher(watcher)
with asyncio.Runner() as runner:
    watcher.attach_loop(runner.get_loop()); runner.run(main())
";
    RIG.agrees("python3.11", &["-c", script, "{W}"], b"");
}
