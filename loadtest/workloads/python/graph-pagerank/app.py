"""PageRank of a random graph (SeBS 501.graph-pagerank). Check: the ranks sum to 1, and one more round barely changes them."""

import math
import random
import workload

DAMPING = 0.85


def graph(size, degree, seed):
    """Pages each page links to; early pages are linked to more often."""
    draw = random.Random(seed)
    page = lambda: int(size * draw.random() * draw.random())
    return [[page() for _ in range(degree)] for _ in range(size)]


def step(links, rank):
    size = len(rank)
    next_rank = [(1 - DAMPING) / size] * size
    for page, targets in enumerate(links):
        share = DAMPING * rank[page] / len(targets)
        for target in targets:
            next_rank[target] += share
    return next_rank


def work(size, degree, rounds, seed):
    links = graph(size, degree, seed)
    rank = [1 / size] * size
    for _ in range(rounds):
        workload.check(abs(math.fsum(rank) - 1) < 1e-9, "the ranks do not sum to 1")
        before, rank = rank, step(links, rank)
    change = math.fsum(abs(a - b) for a, b in zip(before, rank))
    # Every round shrinks the change at least by the damping; the first is at most 2.
    workload.check(change <= 2 * DAMPING ** (rounds - 1) + 1e-9, "the ranks do not converge")
    best = max(range(size), key=rank.__getitem__)
    return {"best": best, "rank": round(rank[best], 10), "sum": round(math.fsum(rank), 9)}


parameters = {
    "size": (1, 20_000, 1000),
    "degree": (1, 20, 5),
    "rounds": (1, 100, 20),
    "seed": (0, 2**32 - 1, 1),
}
handler = workload.handler("graph-pagerank-python", parameters, work)
