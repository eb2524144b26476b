"""Says hello. Every call is answered by a fresh fork of one VM, so `calls` is always 1."""

calls = 0


def handler(event, context):
    global calls
    calls += 1
    name = (event.get("queryStringParameters") or {}).get("name", "world")
    return {"message": f"Hello, {name}!", "calls": calls}
