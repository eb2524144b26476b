"""An HTTP server that answers as a function does, for comparison: `baseline.py MODE HANDLER_FILE`.

Modes: `warm` calls the handler in this process, without isolation; `fork` forks a child for every request from a process
that has everything imported; `exec` starts a Python interpreter for every request. A thread serves each connection.
Prints its port, and ends when its standard input does.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.parse

ONE = """import json, sys
space = {}
exec(compile(open(sys.argv[1]).read(), "app.py", "exec"), space)
sys.stdout.write(json.dumps(space["handler"](json.loads(sys.argv[2]), None)))
"""


def load(path):
    space = {}
    with open(path) as file:
        exec(compile(file.read(), "app.py", "exec"), space)
    return space["handler"]


def warm(event):
    return json.dumps(handler(event, None)).encode()


def fork(event):
    # The lock: a child must not inherit the writing end of another's pipe, which would keep that one open.
    with forking:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, json.dumps(handler(event, None)).encode())
            os._exit(0)
        os.close(writer)
    parts = []
    while part := os.read(reader, 65536):
        parts.append(part)
    os.close(reader)
    os.waitpid(child, 0)
    return b"".join(parts)


def execute(event):
    command = [sys.executable, "-c", ONE, sys.argv[2], json.dumps(event)]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = connection.makefile("rb")
    while line := stream.readline():
        while stream.readline() not in (b"\r\n", b"\n", b""):
            pass
        query = urllib.parse.urlsplit(line.split()[1].decode()).query
        event = {"queryStringParameters": dict(urllib.parse.parse_qsl(query))}
        body = answer(event)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
    connection.close()


def quietly(connection):
    try:
        serve(connection)
    except OSError:
        connection.close()


answer = {"warm": warm, "fork": fork, "exec": execute}[sys.argv[1]]
handler = load(sys.argv[2])
forking = threading.Lock()
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listener.getsockname()[1], flush=True)


def accept():
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=quietly, args=(connection,), daemon=True).start()


threading.Thread(target=accept, daemon=True).start()
sys.stdin.read()
os._exit(0)
