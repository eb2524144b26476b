"""What ordinary Python programs do, one behaviour per name: `?do=NAME`."""
import asyncio
import concurrent.futures
import locale
import mmap
import multiprocessing
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import threading
import time

from . import __doc__ as about

# Its threads exist, and wait, before the first request comes.
pool = concurrent.futures.ThreadPoolExecutor(4)
list(pool.map(str, range(16)))


def do_package():
    data = pathlib.Path(__file__).with_name("data.txt").read_text(encoding="utf-8")
    return [about.split()[0], data.strip(), locale.setlocale(locale.LC_ALL, "")]


def do_alarm():
    def ring(number, frame):
        raise TimeoutError("rang")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        time.sleep(10)
    except TimeoutError as error:
        return str(error)


def do_database():
    with sqlite3.connect("/tmp/data.db") as database:
        mode = database.execute("pragma journal_mode=wal").fetchone()[0]
        database.execute("create table t (n integer)")
        database.executemany("insert into t values (?)", [(n,) for n in range(1000)])
    return [mode, sqlite3.connect("/tmp/data.db").execute("select sum(n) from t").fetchone()[0]]


def do_shared():
    with open("/tmp/mapped", "w+b") as file:
        file.write(bytes(10000))
        file.flush()
        with mmap.mmap(file.fileno(), 0) as view:
            view[9000:9002] = b"hi"
            seen = os.pread(file.fileno(), 2, 9000)
    with multiprocessing.Lock():
        return seen.decode()


def do_processes():
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, b"from the child")
        os._exit(7)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    child = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True)
    try:
        subprocess.run(["missing"])
    except FileNotFoundError as error:
        return [os.read(read, 100).decode(), status, child.stdout, type(error).__name__]


def do_threads():
    squares = list(pool.map(lambda n: n * n, range(5)))
    event = threading.Event()
    threading.Timer(0.02, event.set).start()
    return [squares, event.wait(5), threading.active_count() >= 5]


def do_asyncio():
    async def both():
        return await asyncio.gather(asyncio.sleep(0.05, "a"), asyncio.sleep(0.02, "b"))

    return asyncio.run(both())


def do_recursion():
    def dive(depth):
        return dive(depth + 1)

    try:
        dive(0)
    except RecursionError:
        return "RecursionError"


def do_full():
    try:
        with open("/tmp/full", "wb") as file:
            while True:
                file.write(bytes(1 << 20))
    except OSError as error:
        os.remove("/tmp/full")
        return error.strerror


def do_imports():
    foreign = {"msilib", "msvcrt", "nt", "winreg", "winsound", "ensurepip", "tkinter", "turtle", "turtledemo", "idlelib",
               "antigravity", "this"}
    failed = []
    for name in sorted(set(sys.stdlib_module_names) - foreign):
        if name.startswith("_"):
            continue
        try:
            __import__(name)
        except Exception as error:
            failed.append(f"{name}: {error!r}")
    return failed


def handler(event, context):
    return globals()["do_" + event["queryStringParameters"]["do"]]()
