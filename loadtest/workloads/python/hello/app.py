"""Says hello: what a call costs that does nothing."""

import workload


def work(name):
    return {"message": f"Hello, {name}!"}


handler = workload.handler("hello-python", {"name": "world"}, work)
