"""Compresses and expands text (SeBS 311.compression, FunctionBench gzip). Check: the text comes back, with its checksum."""

import gzip
import hashlib
import random
import workload

WORDS = "spore fungus mycelium cap gill stem ring veil hypha forest moss root leaf rain soil north".split()


def text(size, seed):
    draw = random.Random(seed)
    line = lambda: " ".join(draw.choices(WORDS, k=12)) + f" {draw.randrange(10_000)}\n"
    # A few hundred lines, in an order that does not repeat within the window of deflate.
    lines = [line() for _ in range(400)]
    made, length = [], 0
    while length < size:
        made.append(lines[draw.randrange(400)])
        length += len(made[-1])
    return "".join(made).encode()[:size]


def work(kib, level, seed):
    original = text(kib << 10, seed)
    packed = gzip.compress(original, level, mtime=0)
    # How small it becomes depends on the version of zlib.
    workload.check(len(packed) < len(original), "nothing was compressed")
    workload.check(gzip.decompress(packed) == original, "the text did not come back")
    return {"bytes": len(original), "sha256": hashlib.sha256(original).hexdigest()}


parameters = {"kib": (1, 16_384, 256), "level": (1, 9, 6), "seed": (0, 2**32 - 1, 1)}
handler = workload.handler("compression-python", parameters, work)
