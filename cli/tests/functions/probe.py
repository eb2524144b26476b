"""One handler, many behaviours: `?do=NAME` chooses. Used by the end-to-end tests."""
import json
import os
import random
import sys
import time
import uuid

count = 0
table = {n: str(n) * 10 for n in range(20000)}


def do_count(query):
    global count
    count += 1
    return {"count": count}


def do_tmp(query):
    seen = os.path.exists("/tmp/left-behind")
    with open("/tmp/left-behind", "w") as f:
        f.write("x" * 100_000)
    return {"seen": seen, "size": os.path.getsize("/tmp/left-behind")}


def do_echo(query):
    # Touches memory on the way, so that two requests that shared any would notice.
    text = query["text"]
    scratch = [text for _ in range(1000)]
    time.sleep(float(query.get("sleep", "0")))
    assert all(item == text for item in scratch)
    return {"text": text}


def do_identity(query):
    return {
        "urandom": os.urandom(16).hex(),
        "random": random.random(),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "time": time.time(),
        "monotonic": time.monotonic(),
        "boot_id": open("/proc/sys/kernel/random/boot_id").read().strip(),
    }


def do_sleep(query):
    time.sleep(float(query.get("seconds", "1")))
    return {"slept": True}


def do_raise(query):
    raise ValueError("no such luck: \N{SNOWMAN}")


def do_unmappable(query):
    return {"statusCode": "not a number", "body": 1}


def do_unserialisable(query):
    return {"set": {1, 2, 3}}


def do_loop(query):
    while True:
        pass


def do_memory(query):
    hoard = []
    while True:
        hoard.append(bytearray(1 << 20))


def do_exit(query):
    sys.exit(3)


def do_hard_exit(query):
    os._exit(4)


def do_abort(query):
    os.abort()


def do_log(query):
    size = int(query.get("size", "100"))
    sys.stdout.write("o" * size + "\n")
    sys.stderr.write("e" * size + "\n")
    os.write(1, b"\xff\xfe raw \x00 bytes\n")
    print("marker", query.get("marker", ""))
    return {"logged": size}


def do_flood(query):
    line = b"f" * 1023 + b"\n"
    for _ in range(int(query.get("kilobytes", "4096"))):
        os.write(1, line)
    return {"done": True}


def do_lines(query):
    os.write(1, b"\n" * int(query["lines"]))
    return {"done": True}


def do_write(query):
    block = bytearray(int(query["megabytes"]) << 20)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(float(query.get("sleep", "0")))
    global count
    count += 1
    return {"count": count}


def do_refused(query):
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(int(query.get("number", "101")), 0, 0, 0, 0)
    return {"result": result, "errno": ctypes.get_errno()}


def do_event(query):
    return None


def do_big(query):
    return {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "b" * int(query["bytes"])}


def handler(event, context):
    query = event.get("queryStringParameters") or {}
    what = query.get("do", "event")
    if what == "event":
        return {"event": event, "request_id": context.aws_request_id}
    return globals()["do_" + what](query)
