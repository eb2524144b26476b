# What Python programs compute: calls, floats, strings and expressions, dictionaries, sorting. Prints a name and ns for each.
import json
import re
import time


def calls(n=24):
    return n if n < 2 else calls(n - 1) + calls(n - 2)


def floats():
    x, y, vx, vy = 1.0, 0.0, 0.0, 1.0
    for _ in range(200_000):
        r = (x * x + y * y) ** 1.5
        vx -= x / r * 0.001
        vy -= y / r * 0.001
        x += vx * 0.001
        y += vy * 0.001


def text():
    words = [f"word{n % 997}" for n in range(60_000)]
    found = re.findall(r"word(\d+)5\b", " ".join(words))
    json.loads(json.dumps({"found": found, "words": words}))


def dictionaries():
    counts = {}
    for n in range(300_000):
        key = n * 7919 % 10_007
        counts[key] = counts.get(key, 0) + 1


def sorting():
    sorted(((n * 7919) % 100_003 for n in range(200_000)), key=lambda n: -n)


for measure in (calls, floats, text, dictionaries, sorting):
    measure()
    begun = time.perf_counter_ns()
    for _ in range(3):
        measure()
    print(f"python-{measure.__name__} {time.perf_counter_ns() - begun}")
