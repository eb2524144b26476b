# What Python computes in a second: the best of many short rounds counts, as others use the machine, too.
import json
import time


def arithmetic():
    total = 0
    for number in range(30000):
        total += number * number % 7
    return total


def text():
    return len(json.dumps([{"key": str(number), "value": number} for number in range(1500)]))


def objects():
    words = {}
    for number in range(15000):
        words.setdefault(number % 997, []).append(number)
    return sum(len(word) for word in words.values())


for work in (arithmetic, text, objects):
    best = float("inf")
    for _ in range(60):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    print("python_" + work.__name__, round(1 / best, 1))
