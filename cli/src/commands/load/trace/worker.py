"""Works as a trace says: for `busy_ms` milliseconds of the clock, with `memory_mib` MiB of memory that it touches."""

import base64
import json
import time

PAGE = 4096
calls = 0


def spin(end):
    while time.perf_counter_ns() < end:
        pass


def sleep(end):
    while (left := end - time.perf_counter_ns()) > 0:
        time.sleep(left / 1e9)


WORK = {"spin": spin, "sleep": sleep}


def handler(event, context):
    global calls
    calls += 1
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body)
    wanted = json.loads(body)
    busy_ms, memory_mib = int(wanted["busy_ms"]), int(wanted["memory_mib"])
    end = time.perf_counter_ns() + busy_ms * 1_000_000
    memory = bytearray(memory_mib << 20)
    # One byte of each page, with a value that says which page it is.
    for page in range(0, len(memory), PAGE):
        memory[page] = (page // PAGE) % 251
    WORK[wanted["work"]](end)
    right = sum(1 for page in range(0, len(memory), PAGE) if memory[page] == (page // PAGE) % 251)
    # A fork that is not pristine has counted before.
    answer = f"busy_ms={busy_ms} memory_mib={memory_mib} pages={right} calls={calls}"
    return {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": answer}
