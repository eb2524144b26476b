"""Forks a process per request: a line of JSON in, the handler's answer out. The handler's source is the argument."""

import json
import os
import sys

space = {}
exec(compile(sys.argv[1], "app.py", "exec"), space)
handler = space["handler"]
encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

while True:
    line = sys.stdin.buffer.readline()
    if not line:
        break
    child = os.fork()
    if child == 0:
        result = handler(json.loads(line)["event"], None)
        os.write(1, b'{"result":' + encode(result).encode() + b"}\n")
        os._exit(0)
    os.waitpid(child, 0)
