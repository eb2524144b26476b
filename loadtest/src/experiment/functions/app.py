"""Says hello, does what an experiment asks for, and tells what it finds of other requests."""

import os
import socket
import sys
import time

calls = 0
secrets = []
pair = None
MARK = "/tmp/left-by-a-request"


def traces():
    """Where something of another request is found: all of these are empty in a fork of the parent."""
    found = []
    if calls != 0:
        found.append("counter")
    if secrets:
        found.append("memory")
    if "SECRET" in os.environ:
        found.append("environment")
    if os.path.exists(MARK):
        found.append("file")
    if pair is not None:
        found.append("connection")
    if hasattr(sys, "left_by_a_request"):
        found.append("module")
    if os.getcwd() == "/tmp":
        found.append("directory")
    return found


def leave(secret):
    """Leaves something everywhere, for the next request to find if it can."""
    global pair
    secrets.append(secret * 64)
    os.environ["SECRET"] = secret
    with open(MARK, "w") as file:
        file.write(secret)
    pair = socket.socketpair()
    pair[0].sendall(secret.encode())
    sys.left_by_a_request = secret
    os.chdir("/tmp")


def handler(event, context):
    global calls
    query = event.get("queryStringParameters") or {}
    if "exit" in query:
        os._exit(3)
    secret = query.get("secret")
    if secret is not None:
        found = traces()
        leave(secret)
        if "dirty" in query:
            block = bytearray(int(query["dirty"]) << 20)
            block[::4096] = b"x" * len(block[::4096])
        calls += 1
        return {"secret": secret, "found": found, "calls": calls}
    if "hold" in query:
        time.sleep(float(query["hold"]))
    calls += 1
    return {"message": f"Hello, {query.get('name', 'world')}!", "calls": calls}
