"""Runs a Python function: imports its handler, then answers one invocation after the other.

    python3.11 bootstrap.py MODULE.FUNCTION [DEVICE]
    python3.11 bootstrap.py --await-function [DEVICE]

With --await-function it first reads from DEVICE, once, which function it is to be, also one line of JSON:

    in   {"handler": "MODULE.FUNCTION", "env": {...}}

Until then it is the runtime, the same for all functions. The protocol on DEVICE (/dev/invocation) is one line of JSON each way:

    in   {"event": ..., "context": {"request_id", "deadline_ms", "function_name", "memory_mb"}}
    out  {"result": ...}   or   {"error": {"type": ..., "message": ...}}

The first read is the moment the VM is stunned: everything before it happens once, everything after it in a fork.
So all that an invocation needs is imported and has run once before; an invocation itself makes one system call
to read and one to write (and one for fresh random bytes if a generator needs them).
"""

import gc
import importlib
import json
import logging
import os
import site
import sys
import time
import traceback

DEVICE = "/dev/invocation"
TRACE = "_X_AMZN_TRACE_ID"
READ_SIZE = 65000  # below malloc's threshold for mmap: a buffer costs no system call
MESSAGE_MAX = 8192

# What an invocation uses, bound here: a handler that replaces os.read or json.loads breaks only itself.
_read, _write, _urandom, _time, _loads = os.read, os.write, os.urandom, time.time, json.loads
_modules = sys.modules
# Strict JSON: no NaN, and no lone surrogates (they fail in the conversion to UTF-8).
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

# The trace of the invocation, if it belongs to one.
_trace = None

OUT_OF_MEMORY = b'{"error":{"type":"MemoryError","message":"out of memory"}}\n'


class Context:
    """What AWS Lambda tells a handler about the invocation."""

    __slots__ = ("aws_request_id", "function_name", "function_version", "invoked_function_arn", "memory_limit_in_mb",
                 "log_group_name", "identity", "client_context", "tenant_id", "_deadline_ms")

    def __init__(self, given):
        name = given.get("function_name") or os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
        self.aws_request_id = given.get("request_id", "")
        self.function_name = name
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        self.invoked_function_arn = given.get("invoked_function_arn") or "arn:aws:lambda:local:anonymous:function:" + name
        self.memory_limit_in_mb = str(given.get("memory_mb") or os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", ""))
        self.log_group_name = "/aws/lambda/" + name
        self.identity = self.client_context = self.tenant_id = None
        self._deadline_ms = given.get("deadline_ms", 0)

    @property
    def log_stream_name(self):
        """The id of the fork that serves this invocation, 32 hex digits; another one for every request."""
        with open("/proc/sys/kernel/random/boot_id") as source:
            return source.read().strip().replace("-", "")

    def get_remaining_time_in_millis(self):
        """Milliseconds until the invocation is stopped; never negative."""
        return max(int(self._deadline_ms - _time() * 1000), 0)

    def __repr__(self):
        return f"Context(aws_request_id={self.aws_request_id!r}, function_name={self.function_name!r})"


class LogHandler(logging.Handler):
    """Writes log records to standard error, one line each, with the id of the request they belong to."""

    request_id = ""

    def emit(self, record):
        try:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            sys.stderr.write(f"[{record.levelname}]\t{stamp}.{int(record.msecs):03d}Z\t{self.request_id}\t"
                             f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)


log = LogHandler()


def refuse(message):
    """Ends the program before it was ready: the function cannot be deployed."""
    complain(message)
    flush()
    os._exit(1)  # not sys.exit: a thread the module started must not keep the program alive


def complain(text):
    """Writes to the log, whatever the function did to sys.stderr."""
    data = text.encode("utf-8", "backslashreplace")
    if not data.endswith(b"\n"):
        data += b"\n"
    try:
        flush()
        while data:
            data = data[_write(2, data):]
    except OSError:
        pass  # no log: nothing better to do


def flush():
    """Hands on what the function printed, whatever it did to its streams."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except Exception:
            pass  # replaced, closed or None: the function's own choice


def load(name):
    """Imports the handler `module.function`."""
    module_name, dot, function = name.replace("/", ".").rpartition(".")
    if not dot or not module_name or not function:
        refuse(f"[ERROR] Runtime.MalformedHandlerName: the handler {name!r} is not of the form MODULE.FUNCTION")
    try:
        module = importlib.import_module(module_name)
    except SystemExit as error:
        refuse(f"[ERROR] Runtime.ExitError: the module {module_name!r} called exit({error.code!r}) while it was imported")
    except BaseException as error:
        kind = "Runtime.UserCodeSyntaxError" if isinstance(error, SyntaxError) else "Runtime.ImportModuleError"
        refuse(f"[ERROR] {kind}: cannot import the module {module_name!r}: {summary(error)}\n{frames(error)}")
    try:
        handler = getattr(module, function)
    except AttributeError:
        names = ", ".join(n for n, v in vars(module).items() if callable(v) and not n.startswith("_")) or "none"
        refuse(f"[ERROR] Runtime.HandlerNotFound: the module {module_name!r} has no function {function!r}; it has: {names}")
    if not callable(handler):
        refuse(f"[ERROR] Runtime.HandlerNotFound: {name!r} is not a function but {type(handler).__name__}")
    if getattr(getattr(handler, "__code__", None), "co_flags", 0) & 0x80:  # CO_COROUTINE
        refuse(f"[ERROR] Runtime.HandlerNotFound: {name!r} is a coroutine function; "
               "make it a plain function that calls asyncio.run(...)")
    return handler


def summary(error):
    """The text of an exception, even of one that cannot be printed."""
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be read: str() failed)"
    if len(text) > MESSAGE_MAX:
        text = text[:MESSAGE_MAX] + "... (cut)"
    return text


def frames(error):
    """The traceback without the frames of this file and of the import machinery."""
    try:
        lines = traceback.TracebackException.from_exception(error)
        own = ("<frozen importlib", __file__)
        lines.stack[:] = [f for f in lines.stack
                          if not f.filename.startswith(own) and f.filename != importlib.__file__]
        return "".join(lines.format())
    except Exception:
        return type(error).__name__


def renew():
    """Gives every random generator of this fork a state of its own."""
    random, ssl, uuid = _modules.get("random"), _modules.get("_ssl"), _modules.get("uuid")
    tempfile = _modules.get("tempfile")
    if random is not None:
        random.seed()
    if ssl is not None:
        ssl.RAND_add(_urandom(32), 32.0)
    if uuid is not None:
        # A random node as RFC 4122 section 4.5 allows; libuuid keeps a state that cannot be renewed from here.
        uuid._node = int.from_bytes(_urandom(6), "big") | 1 << 40
        uuid._last_timestamp = uuid._generate_time_safe = None
    if tempfile is not None:
        tempfile._name_sequence = None


def set_trace(trace):
    """Tells code that traces which trace the invocation belongs to; an earlier one's is gone."""
    global _trace
    _trace = trace
    if trace is None:
        os.environ.pop(TRACE, None)
    else:
        os.environ[TRACE] = trace


def invoke(line, handler, renew, complain):
    """Answers one invocation: a line of JSON in, a line of JSON out."""
    try:
        renew()
        document = _loads(line)
        about = document["context"]
        context = Context(about)
        if "trace_id" in about or _trace is not None:
            set_trace(about.get("trace_id"))
        log.request_id = context.aws_request_id
        result = handler(document["event"], context)
    except MemoryError as error:
        return out_of_memory(error, complain)
    except SystemExit as error:
        return failure("Runtime.ExitError", f"the handler called exit({error.code!r})", error, complain)
    except BaseException as error:
        return failure(type(error).__name__, summary(error), error, complain)
    try:
        return b'{"result":' + _encode(result).encode() + b"}\n"
    except MemoryError as error:
        return out_of_memory(error, complain)
    except BaseException as error:
        message = f"the handler's result cannot be expressed in JSON: {summary(error)}"
        return failure("Runtime.MarshalError", message, None, complain)


def out_of_memory(error, complain):
    """The answer when memory ran out: frees what the handler held, and needs next to nothing itself."""
    try:
        traceback.clear_frames(error.__traceback__)
        complain("[ERROR] MemoryError: out of memory\n" + frames(error))
    except MemoryError:
        pass
    return OUT_OF_MEMORY


def failure(kind, message, error, complain):
    """The answer to an invocation that failed; the traceback goes to the log (`error` is None if it says nothing)."""
    try:
        complain(f"[ERROR] {kind}: {message}\n{frames(error) if error else ''}")
        message = message.encode("utf-8", "backslashreplace").decode()
        kind = kind.encode("utf-8", "backslashreplace").decode()
        return _encode({"error": {"type": kind, "message": message}}).encode() + b"\n"
    except MemoryError:
        return OUT_OF_MEMORY


def warm():
    """Runs what an invocation runs, without the function's code, so that the snapshot has it."""
    line = (b'{"event":{"version":"2.0","headers":{"host":"x"},"n":[1,2.5,true,null],"body":"\xc3\xa9"},'
            b'"context":{"request_id":"","deadline_ms":1,"function_name":"","memory_mb":128}}\n')
    nothing = lambda *_: None

    def answers(event, context):
        context.get_remaining_time_in_millis()
        return {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": event["body"], "n": event["n"]}

    def fails(event, context):
        raise ValueError("x")

    for handler in (answers, fails):
        invoke(line, handler, renew, nothing)
    log.request_id = ""


def serve(device, handler):
    """Answers invocations until there are no more."""
    while True:
        line = _read(device, READ_SIZE)
        if not line:
            return
        if line[-1] != 10:
            parts = [line]
            while parts[-1][-1] != 10:
                part = _read(device, READ_SIZE)
                if not part:
                    return
                parts.append(part)
            line = b"".join(parts)
        answer = invoke(line, handler, renew, complain)
        flush()
        written = _write(device, answer)
        while written < len(answer):
            answer = answer[written:]
            written = _write(device, answer)


def open_device(path):
    """Opens the device invocations come from."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        refuse(f"[ERROR] Runtime.PlatformError: cannot open {path}: {error}")


def settle():
    """Leaves memory as an invocation finds it: what it needs has run, and what there is will not be searched again."""
    warm()
    flush()
    gc.collect()
    gc.freeze()


def become(device):
    """Waits to be told the function, takes its environment, and returns its name."""
    line = b""
    while not line.endswith(b"\n"):
        line += _read(device, READ_SIZE)
    function = _loads(line)
    os.environ.clear()
    os.environ.update(function["env"])
    time.tzset()
    renew()
    return function["handler"]


def main():
    """Loads the function, then serves."""
    if len(sys.argv) not in (2, 3):
        refuse("usage: bootstrap.py MODULE.FUNCTION|--await-function [DEVICE]")
    name, path = sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else DEVICE
    del sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        # Any text can be printed; a line is one system call.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=False)
    logging.getLogger().addHandler(log)
    device = open_device(path)
    if name == "--await-function":
        settle()
        name = become(device)
    root = os.environ.get("LAMBDA_TASK_ROOT", os.getcwd())
    sys.path.insert(0, root)
    # What requirements.txt asked for; `spore deploy` puts it there.
    packages = os.path.join(root, ".python_packages")
    if os.path.isdir(packages):
        site.addsitedir(packages)
    handler = load(name)
    settle()
    serve(device, handler)


if __name__ == "__main__":
    main()
