"""Breadth-first search in a random graph (SeBS 503.graph-bfs). Check: the conditions that only the true distances meet."""

import collections
import random
import workload


def graph(size, degree, seed):
    """Neighbours of each node. Every node but the first is tied to an earlier one, so all can be reached."""
    draw = random.Random(seed)
    near = [[] for _ in range(size)]
    for node in range(1, size):
        for _ in range(degree):
            other = draw.randrange(node)
            near[node].append(other)
            near[other].append(node)
    return near


def search(near, source):
    distance = [-1] * len(near)
    distance[source] = 0
    queue = collections.deque([source])
    while queue:
        node = queue.popleft()
        for other in near[node]:
            if distance[other] < 0:
                distance[other] = distance[node] + 1
                queue.append(other)
    return distance


def check_distances(near, source, distance):
    workload.check(distance[source] == 0, "the source is not at 0")
    for node, others in enumerate(near):
        here = distance[node]
        # No edge leaps over a distance, and whoever is not the source has a neighbour one step closer.
        workload.check(all(abs(here - distance[other]) <= 1 for other in others), "an edge leaps")
        closer = node == source or any(distance[other] == here - 1 for other in others)
        workload.check(closer, "a node has no way to the source")


def work(size, degree, seed):
    near = graph(size, degree, seed)
    source = size // 2
    distance = search(near, source)
    check_distances(near, source, distance)
    levels = collections.Counter(distance)
    return {
        "edges": degree * (size - 1),
        "farthest": max(distance),
        "levels": [levels[at] for at in range(max(distance) + 1)],
    }


parameters = {"size": (2, 50_000, 3000), "degree": (1, 20, 3), "seed": (0, 2**32 - 1, 1)}
handler = workload.handler("graph-bfs-python", parameters, work)
