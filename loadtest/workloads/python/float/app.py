"""Sine, cosine and square root (FunctionBench float_operation). Check: the identities that hold for each number."""

import math
import workload


def work(size, seed):
    total = squares = worst = 0.0
    for number in range(seed + 1, seed + 1 + size):
        sine, cosine, root = math.sin(number), math.cos(number), math.sqrt(number)
        total += sine + cosine + root
        squares += sine * sine + cosine * cosine
        worst = max(worst, abs(root * root - number) / number)
    workload.check(abs(squares - size) < 1e-9 * size, "sine and cosine are not on the unit circle")
    workload.check(worst < 1e-15, "a root's square is not its number")
    # Digits beyond these depend on the C library.
    return {"operations": 3 * size, "sum": round(total, 4)}


parameters = {"size": (1, 5_000_000, 30_000), "seed": (0, 1_000_000, 1)}
handler = workload.handler("float-python", parameters, work)
