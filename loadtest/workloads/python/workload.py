"""What all workloads in Python share: parameters, the answer, and the proof of a pristine state.

A request's body is a JSON object with parameters; what is missing has its default. The answer is

    {"workload": ..., "parameters": {...}, "result": {...}, "calls": 1}

`calls` counts the requests that this VM's memory has seen: 1, always, if every request gets a pristine fork.
"""

import base64
import json

BODY_MAX = 64 << 10
TEXT_MAX = 100

calls = 0


class Bad(Exception):
    """The request is wrong: answered with 400."""


class Wrong(Exception):
    """The work's own check failed: answered with 500."""


def check(holds, what):
    if not holds:
        raise Wrong(what)


def handler(name, parameters, work):
    """A handler for `work`, called with the parameters: each is (least, most, default) or a text, its default."""

    def handle(event, context):
        global calls
        calls += 1
        try:
            given = take(parameters, members(event))
            answer = {"workload": name, "parameters": given, "result": work(**given), "calls": calls}
            return respond(200, answer)
        except Bad as error:
            return respond(400, {"error": str(error), "workload": name, "calls": calls})
        except Wrong as error:
            return respond(500, {"error": f"the check failed: {error}", "workload": name, "calls": calls})

    return handle


def respond(status, answer):
    headers = {"content-type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(answer, separators=(",", ":"))}


def members(event):
    """The members of the JSON object in the body."""
    body = event.get("body") or ""
    try:
        if event.get("isBase64Encoded"):
            body = base64.b64decode(body).decode()
        if len(body) > BODY_MAX:
            raise Bad(f"the body is longer than {BODY_MAX} characters")
        found = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError) as error:
        raise Bad(f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Bad("the body is not a JSON object")
    return found


def take(parameters, found):
    """The value of each parameter: what was found, if it may be that, or the default."""
    unknown = sorted(set(found) - set(parameters))
    if unknown:
        raise Bad(f"no parameter is named {unknown[0][:TEXT_MAX]!r}; there are: {', '.join(parameters) or 'none'}")
    return {name: value(name, kind, found) for name, kind in parameters.items()}


def value(name, kind, found):
    if isinstance(kind, str):
        text = found.get(name, kind)
        if not isinstance(text, str) or len(text) > TEXT_MAX:
            raise Bad(f"{name} must be a text of at most {TEXT_MAX} characters")
        return text
    least, most, default = kind
    number = found.get(name, default)
    # True is a number in Python.
    if type(number) is not int or not least <= number <= most:
        raise Bad(f"{name} must be a whole number from {least} to {most}")
    return number
