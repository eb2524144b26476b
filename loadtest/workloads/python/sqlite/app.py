"""Creates, reads, updates and deletes rows of a database in a file (SeBS 130.crud-api, with SQLite). Check: the same
changes made to a dict give the same counts and sums."""

import os
import random
import sqlite3
import tempfile
import workload


def changes(size, seed):
    draw = random.Random(seed)
    rows = {number: draw.randrange(1000) for number in range(size)}
    updates = [(draw.randrange(1000), draw.randrange(size)) for _ in range(size // 2)]
    deletes = [(draw.randrange(size),) for _ in range(size // 4)]
    return rows, updates, deletes


def in_database(path, rows, updates, deletes):
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE cart (id INTEGER PRIMARY KEY, item TEXT NOT NULL, amount INTEGER NOT NULL)")
        database.execute("CREATE INDEX by_amount ON cart (amount)")
        made = ((number, f"item {number}", amount) for number, amount in rows.items())
        database.executemany("INSERT INTO cart VALUES (?, ?, ?)", made)
    with database:
        database.executemany("UPDATE cart SET amount = ? WHERE id = ?", updates)
        database.executemany("DELETE FROM cart WHERE id = ?", deletes)
    found = database.execute("SELECT count(*), coalesce(sum(amount), 0) FROM cart").fetchone()
    low = database.execute("SELECT count(*) FROM cart WHERE amount < 100").fetchone()[0]
    sound = database.execute("PRAGMA integrity_check").fetchone()[0]
    database.close()
    workload.check(sound == "ok", sound)
    return {"rows": found[0], "sum": found[1], "low": low}


def in_dict(rows, updates, deletes):
    rows = dict(rows)
    for amount, number in updates:
        rows[number] = amount
    for (number,) in deletes:
        rows.pop(number, None)
    amounts = rows.values()
    return {"rows": len(rows), "sum": sum(amounts), "low": sum(amount < 100 for amount in amounts)}


def work(size, seed):
    rows, updates, deletes = changes(size, seed)
    with tempfile.TemporaryDirectory() as directory:
        found = in_database(os.path.join(directory, "cart.db"), rows, updates, deletes)
    workload.check(found == in_dict(rows, updates, deletes), "the database has other rows")
    return found


parameters = {"size": (1, 100_000, 1000), "seed": (0, 2**32 - 1, 1)}
handler = workload.handler("sqlite-python", parameters, work)
