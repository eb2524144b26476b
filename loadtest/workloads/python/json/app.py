"""Writes and reads JSON (FunctionBench json_dumps_loads). Check: what is read is what was written."""

import hashlib
import json
import random
import workload

TAGS = ["new", "sale", "größer", "naïve", "quote\"d", "back\\slash"]


def document(size, seed):
    draw = random.Random(seed)
    return [
        {
            "id": number,
            "name": f"item {draw.getrandbits(32):08x}",
            "price": draw.randrange(1, 100_000) / 100,
            "tags": draw.sample(TAGS, 3),
            "stock": {"shelf": draw.randrange(100), "open": draw.random() < 0.5, "note": None},
        }
        for number in range(size)
    ]


def work(size, rounds, seed):
    original = document(size, seed)
    text = ""
    for _ in range(rounds):
        text = json.dumps(original, sort_keys=True)
        workload.check(json.loads(text) == original, "the document is not what it was")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"records": size, "bytes": len(text), "sha256": digest}


parameters = {"size": (1, 10_000, 300), "rounds": (1, 100, 5), "seed": (0, 2**32 - 1, 1)}
handler = workload.handler("json-python", parameters, work)
