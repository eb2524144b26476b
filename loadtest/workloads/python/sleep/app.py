"""Waits: what it costs to keep a request that needs no processor (SeBS 010.sleep)."""

import time
import workload


def work(ms):
    begun = time.monotonic_ns()
    time.sleep(ms / 1e3)
    workload.check(time.monotonic_ns() - begun >= ms * 1_000_000, "the sleep was too short")
    return {"slept": ms}


handler = workload.handler("sleep-python", {"ms": (0, 10_000, 10)}, work)
