"""Tests of bootstrap.py with a real CPython: the bootstrap runs as a process and is driven over a
pseudo-terminal that stands in for /dev/invocation.

    python3.11 runtimes/python/tests/test_bootstrap.py

`cargo test -p runtimes` runs them with the interpreter of the root image (SPORE_TEST_PYTHON: its command line).
"""

import importlib.util
import json
import os
import pathlib
import pty
import subprocess
import sys
import tempfile
import textwrap
import tty
import unittest

BOOTSTRAP = pathlib.Path(__file__).resolve().parent.parent / "bootstrap.py"
PYTHON = json.loads(os.environ.get("SPORE_TEST_PYTHON", "null")) or [sys.executable]
CONTEXT = {"request_id": "r-1", "deadline_ms": 4_000_000_000_000, "function_name": "f", "memory_mb": 128}


def boot_id():
    """What stands for the fork's id where there is no fork: that of this machine's boot."""
    return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")


class Function:
    """A function that runs under the bootstrap."""

    def __init__(self, source, handler="app.handler", **files):
        self.folder = tempfile.TemporaryDirectory()
        for name, text in {"app": source, **files}.items():
            path = pathlib.Path(self.folder.name, name + ".py")
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        self.master, device = pty.openpty()
        tty.setraw(device)
        self.log = tempfile.TemporaryFile()
        self.out = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*PYTHON, "-s", "-P", str(BOOTSTRAP), handler, os.ttyname(device)],
            env={"LAMBDA_TASK_ROOT": self.folder.name, "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C"},
            stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.log)
        self.device = device

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for fd in (self.master, self.device):
            os.close(fd)
        for file in (self.log, self.out):
            file.close()
        self.folder.cleanup()

    def raw_send(self, line):
        """Sends bytes."""
        while line:
            line = line[os.write(self.master, line):]

    def become(self, document):
        """Tells a runtime its function, which prints when it is imported, and waits for that."""
        self.raw_send(json.dumps(document).encode() + b"\n")
        while self.process.poll() is None and not self.printed():
            pass

    def raw(self, line):
        """Sends bytes and returns one line."""
        self.raw_send(line)
        answer = b""
        while not answer.endswith(b"\n"):
            answer += os.read(self.master, 65536)
        return answer

    def call(self, event=None, **context):
        """Makes one invocation."""
        document = {"event": event, "context": {**CONTEXT, **context}}
        answer = self.raw(json.dumps(document, ensure_ascii=False).encode() + b"\n")
        assert answer.count(b"\n") == 1, answer
        return json.loads(answer)

    def error(self, event=None):
        """Makes one invocation that must fail; returns type and message."""
        answer = self.call(event)
        assert list(answer) == ["error"], answer
        return answer["error"]["type"], answer["error"]["message"]

    def logged(self):
        """What it wrote to standard error."""
        self.log.seek(0)
        return self.log.read().decode()

    def printed(self):
        """What it wrote to standard output."""
        self.out.seek(0)
        return self.out.read().decode()


class Invocations(unittest.TestCase):
    def test_event_and_context_come_in_and_the_result_goes_out(self):
        with Function("""
            calls = 0
            def handler(event, context):
                global calls
                calls += 1
                c = context
                return [event, calls, c.aws_request_id, c.function_name, c.function_version, c.memory_limit_in_mb,
                        c.invoked_function_arn, c.log_group_name, c.log_stream_name, c.get_remaining_time_in_millis()]
        """) as function:
            event = {"body": "h\u00e9llo \U0001f600 \u2028", "n": [1, 2.5, None, True]}
            result = function.call(event)["result"]
            self.assertEqual(result[:6], [event, 1, "r-1", "f", "$LATEST", "128"])
            self.assertEqual(result[6:9], ["arn:aws:lambda:local:anonymous:function:f", "/aws/lambda/f", boot_id()])
            self.assertGreater(result[9], 10**11)
            self.assertEqual(function.call({}, deadline_ms=1)["result"][1:], [2] + result[2:9] + [0])
            self.assertEqual(function.logged() + function.printed(), "")

    def test_the_trace_of_an_invocation_is_in_the_environment_for_it_alone(self):
        source = "import os\ndef handler(event, context): return os.environ.get('_X_AMZN_TRACE_ID')"
        with Function(source) as function:
            for trace in ("Root=1-2-3", "Root=4-5-6"):
                self.assertEqual(function.call(trace_id=trace)["result"], trace)
            self.assertIsNone(function.call()["result"])

    def test_a_runtime_becomes_the_function_it_is_told(self):
        source = """
            import os, time
            at_import = sorted(os.environ)
            print("imported", flush=True)
            def handler(event, context):
                return [event, at_import, os.environ["COLOUR"], time.tzname[0], os.getenv("LANG")]
        """
        with Function(source, handler="--await-function") as function:
            env = {"COLOUR": "green", "TZ": "EST5", "LAMBDA_TASK_ROOT": function.folder.name}
            function.become({"handler": "app.handler", "env": env})
            for event in (1, 2):
                self.assertEqual(function.call(event), {"result": [event, sorted(env), "green", "EST", None]})

    def test_a_runtime_cannot_become_a_function_that_is_not_there(self):
        with Function("x = 1", handler="--await-function") as function:
            env = {"LAMBDA_TASK_ROOT": function.folder.name}
            function.become({"handler": "app.nothing", "env": env})
            self.assertEqual(function.process.wait(), 1)
            self.assertIn("Runtime.HandlerNotFound", function.logged())

    def test_large_documents_go_both_ways(self):
        with Function("def handler(event, context): return event[::-1]") as function:
            text = "x" * 300_000 + "y"
            self.assertEqual(function.call(text)["result"], text[::-1])

    def test_an_exception_is_an_error_with_its_traceback_in_the_log_only(self):
        with Function("""
            def handler(event, context):
                return inner(event)
            def inner(event):
                return 1 / event
        """) as function:
            self.assertEqual(function.error(0), ("ZeroDivisionError", "division by zero"))
            log = function.logged()
            self.assertIn("in inner", log)
            self.assertIn("return 1 / event", log)
            self.assertNotIn("bootstrap.py", log)
            self.assertEqual(function.call(2), {"result": 0.5})

    def test_every_kind_of_failure_is_an_answer(self):
        with Function("""
            import sys
            class Odd(BaseException):
                def __str__(self): raise ValueError
            class Long(Exception): pass
            def deep(): return deep()
            def handler(event, context):
                if event == "exit": sys.exit(3)
                if event == "quit": exit()
                if event == "interrupt": raise KeyboardInterrupt
                if event == "odd": raise Odd
                if event == "long": raise Long("x" * 1000000)
                if event == "deep": deep()
                if event == "surrogate": raise Long("a\\ud800b")
                if event == "memory": held = bytearray(1 << 62)
                if event == "generator": raise GeneratorExit
                return "fine"
        """) as function:
            self.assertEqual(function.error("exit"), ("Runtime.ExitError", "the handler called exit(3)"))
            self.assertEqual(function.error("quit")[0], "Runtime.ExitError")
            self.assertEqual(function.error("interrupt")[0], "KeyboardInterrupt")
            self.assertEqual(function.error("odd"), ("Odd", "(its text cannot be read: str() failed)"))
            kind, message = function.error("long")
            self.assertEqual((kind, message[-8:], len(message) < 9000), ("Long", ".. (cut)", True))
            self.assertEqual(function.error("deep")[0], "RecursionError")
            self.assertEqual(function.error("surrogate"), ("Long", "a\\ud800b"))
            self.assertEqual(function.error("memory"), ("MemoryError", "out of memory"))
            self.assertEqual(function.error("generator")[0], "GeneratorExit")
            self.assertEqual(function.call("fine"), {"result": "fine"})

    def test_results_that_are_not_json_are_named(self):
        with Function("""
            circle = []
            circle.append(circle)
            deep = []
            for _ in range(100000): deep = [deep]
            def handler(event, context):
                return {"nan": float("nan"), "set": {1}, "circle": circle, "deep": deep, "surrogate": "\\ud800",
                        "bytes": b"x", "key": {(1, 2): 3}, "self": context}[event]
        """) as function:
            for event in ("nan", "set", "circle", "deep", "surrogate", "bytes", "key", "self"):
                kind, message = function.error(event)
                self.assertEqual(kind, "Runtime.MarshalError", event)
                self.assertIn("cannot be expressed in JSON", message)
            self.assertNotIn("Traceback", function.logged())

    def test_a_handler_that_ends_the_process_ends_it_with_its_status(self):
        with Function("""
            import os
            def handler(event, context): os._exit(7)
        """) as function:
            os.write(function.master, json.dumps({"event": 1, "context": CONTEXT}).encode() + b"\n")
            self.assertEqual(function.process.wait(20), 7)

    def test_a_document_that_is_not_json_is_an_error_and_no_end(self):
        with Function("def handler(event, context): return 1") as function:
            self.assertIn(b'"error"', function.raw(b"{not json\n"))
            self.assertIn(b'"error"', function.raw(b"{}\n"))
            self.assertEqual(function.call(), {"result": 1})

    def test_an_invocation_costs_one_read_and_one_write(self):
        bootstrap = load()
        lines = [json.dumps({"event": n, "context": CONTEXT}).encode() + b"\n" for n in range(3)] + [b""]
        done = []
        bootstrap._read = lambda fd, size: done.append("read") or lines.pop(0)
        bootstrap._write = lambda fd, data: done.append(data) or len(data)
        bootstrap.serve(9, lambda event, context: event)
        self.assertEqual(done, ["read", b'{"result":0}\n', "read", b'{"result":1}\n', "read", b'{"result":2}\n', "read"])

    def test_pieces_are_put_together_on_both_ways(self):
        bootstrap = load()
        line = json.dumps({"event": "abc", "context": CONTEXT}).encode() + b"\n"
        pieces = [line[i:i + 7] for i in range(0, len(line), 7)] + [b""]
        sent = []
        bootstrap._read = lambda fd, size: pieces.pop(0)
        bootstrap._write = lambda fd, data: sent.append(data[:4]) or len(data[:4])
        bootstrap.serve(9, lambda event, context: event)
        self.assertEqual(b"".join(sent), b'{"result":"abc"}\n')


class Output(unittest.TestCase):
    def test_any_text_can_be_printed_and_comes_before_the_answer(self):
        with Function("""
            import sys
            def handler(event, context):
                print("\\ud800 \\u00e9")
                print("to the log", file=sys.stderr, end="")
                sys.stdout.buffer.write(b"\\xff\\xfe")
                return 1
        """) as function:
            self.assertEqual(function.call(), {"result": 1})
            function.out.seek(0)
            self.assertEqual(function.out.read(), b"\\ud800 \xc3\xa9\n\xff\xfe")
            self.assertEqual(function.logged(), "to the log")

    def test_a_function_can_do_to_its_streams_what_it_likes(self):
        for damage in ("sys.stdout.close()", "sys.stdout = None", "sys.stderr.close()", "sys.stdout = 3", "del sys.stderr"):
            with self.subTest(damage), Function(f"""
                import sys
                def handler(event, context):
                    {damage}
                    if event: raise ValueError("yes")
                    return 1
            """) as function:
                self.assertEqual(function.call(0), {"result": 1})

    def test_a_function_that_replaces_library_functions_breaks_only_itself(self):
        with Function("""
            import json, os, time, builtins
            def handler(event, context):
                os.read = os.write = os.urandom = json.loads = json.dumps = time.time = None
                return context.get_remaining_time_in_millis() > 0
        """) as function:
            self.assertEqual(function.call(), {"result": True})
            self.assertEqual(function.call(), {"result": True})

    def test_log_records_have_level_and_request(self):
        with Function("""
            import logging
            logging.getLogger().setLevel(logging.INFO)
            def handler(event, context):
                logging.info("seen %s", event)
        """) as function:
            self.assertEqual(function.call("x", request_id="r-9"), {"result": None})
            self.assertRegex(function.logged(), r"^\[INFO\]\t\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z\tr-9\tseen x\n$")


class Refusals(unittest.TestCase):
    def refused(self, source, handler="app.handler", **files):
        with Function(source, handler, **files) as function:
            self.assertEqual(function.process.wait(20), 1)
            return function.logged()

    def test_a_function_that_cannot_be_loaded_says_why(self):
        self.assertIn("No module named 'missing'", self.refused("", "missing.handler"))
        log = self.refused("import helper\n", helper="import nothing_here\n")
        self.assertIn("No module named 'nothing_here'", log)
        self.assertIn('helper.py", line 1', log)
        self.assertNotIn("importlib", log)
        self.assertNotIn("bootstrap.py", log)
        log = self.refused("def handler(:\n")
        self.assertIn("Runtime.UserCodeSyntaxError", log)
        self.assertIn("def handler(:", log)
        self.assertIn("has no function 'handler'; it has: other", self.refused("def other(): pass\n"))
        self.assertIn("not a function but int", self.refused("handler = 3\n"))
        self.assertIn("coroutine", self.refused("async def handler(event, context): pass\n"))
        self.assertIn("MODULE.FUNCTION", self.refused("", "app"))
        self.assertIn("called exit(4)", self.refused("import sys; sys.exit(4)\n"))
        self.assertIn("KeyboardInterrupt", self.refused("raise KeyboardInterrupt\n"))

    def test_what_it_printed_before_is_there_and_its_threads_do_not_keep_it(self):
        log = self.refused("""
            import sys, threading
            print("so far", file=sys.stderr, end="")
            threading.Thread(target=threading.Event().wait).start()
            raise ValueError("no")
        """)
        self.assertTrue(log.startswith("so far"), log)
        self.assertIn("ValueError: no", log)

    def test_a_missing_device_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "app.py").write_text("def handler(event, context): pass\n")
            done = subprocess.run([*PYTHON, str(BOOTSTRAP), "app.handler", folder + "/none"],
                                  env={"LAMBDA_TASK_ROOT": folder}, capture_output=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"cannot open", done.stderr)


def load():
    """The bootstrap as a module of this process."""
    spec = importlib.util.spec_from_file_location("spore_bootstrap", BOOTSTRAP)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DRAWS = """
import os, random, ssl, tempfile, uuid
uuid.getnode(); random.random(); next(tempfile._get_candidate_names()); ssl.RAND_bytes(4)
state, names = random.getstate(), tempfile._name_sequence
def resume():
    # Unlike a VM, os.fork tells Python: undo what the modules did about it.
    random.setstate(state)
    names._rng_pid = os.getpid()
def draw():
    return [random.random(), random.getrandbits(64), uuid.uuid1().node, uuid.uuid1().int, uuid.uuid4().int,
            next(tempfile._get_candidate_names()), ssl.RAND_bytes(8).hex()]
"""


class Identity(unittest.TestCase):
    def draws(self, renew):
        """What two forks of one process draw."""
        namespace = {}
        exec(DRAWS, namespace)
        found = []
        for _ in range(2):
            read, write = os.pipe()
            if os.fork() == 0:
                namespace["resume"]()
                renew()
                os.write(write, json.dumps(namespace["draw"]()).encode())
                os._exit(0)
            os.close(write)
            with os.fdopen(read) as pipe:
                found.append(json.load(pipe))
            os.wait()
        return found

    def test_two_forks_draw_different_values(self):
        one, two = self.draws(lambda: None)
        self.assertEqual(one[:3] + one[5:6], two[:3] + two[5:6], "without renewal two forks are the same: else this tests nothing")
        one, two = self.draws(load().renew)
        for index, (a, b) in enumerate(zip(one, two, strict=True)):
            self.assertNotEqual(a, b, index)

    def test_generators_that_nobody_imported_are_left_alone(self):
        program = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("b", {str(BOOTSTRAP)!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.warm()
print(*[m for m in ("random", "ssl", "uuid", "tempfile", "socket", "hashlib") if m in sys.modules])
"""
        done = subprocess.run([*PYTHON, "-c", program], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.strip(), "")


if __name__ == "__main__":
    unittest.main()
