"""Multiplies matrices with NumPy (FunctionBench matmul). The numbers are small and whole, so every sum is exact
in any order. Check: the product times a vector is the factors times the vector (Freivalds)."""

import hashlib
import numpy
import workload


def work(size, rounds, seed):
    draw = numpy.random.Generator(numpy.random.PCG64(seed))
    product = draw.integers(0, 10, (size, size)).astype(numpy.float64)
    factor = draw.integers(0, 10, (size, size)).astype(numpy.float64)
    vector = draw.integers(0, 10, size).astype(numpy.float64)
    for _ in range(rounds):
        before = product
        # Numbers stay small: no sum exceeds 2^53, so none is rounded.
        product = (before @ factor) % 1000
        check_product(before, factor, vector)
    return {"sum": int(product.sum()), "sha256": hashlib.sha256(product.astype("<i8").tobytes()).hexdigest()}


def check_product(before, factor, vector):
    whole = before @ factor
    same = numpy.array_equal(whole @ vector, before @ (factor @ vector))
    workload.check(same, "the product is not that of its factors")


parameters = {"size": (1, 1024, 160), "rounds": (1, 20, 3), "seed": (0, 2**32 - 1, 1)}
handler = workload.handler("matmul-python", parameters, work)
