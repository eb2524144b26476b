"""Counts words, and says which known word an unknown one may have been meant to be.

The table for that is built when the module is imported: once, at deploy. Requests find it in memory.
"""

import base64
import collections
import json
import pathlib
import re
import time

WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
TEXT_MAX_CHARS = 1_000_000
TOP = 10


def words(text):
    return [word.lower() for word in WORD.findall(text)]


def shortened(word, times):
    """The word with up to `times` letters left out."""
    found = {word}
    for _ in range(times):
        found |= {w[:i] + w[i + 1:] for w in found for i in range(len(w))}
    return found


def build():
    """Every known word under all its shortened forms: two words are similar if they share one."""
    table = collections.defaultdict(set)
    for word in known:
        for form in shortened(word, 3):
            table[form].add(word)
    return dict(table)


_start = time.perf_counter()
known = collections.Counter(words(pathlib.Path(__file__).with_name("text.txt").read_text(encoding="utf-8")))
table = build()
BUILT = {"words": len(known), "entries": len(table), "built_in_ms": round((time.perf_counter() - _start) * 1e3, 1)}


def similar(word):
    """The known word that is nearest to an unknown one; of several, the most frequent."""
    found = {w for form in shortened(word, 1) for w in table.get(form, ())}
    return min(found, key=lambda w: (abs(len(w) - len(word)), -known[w], w), default=None)


def text_of(event):
    """The text in the body: JSON {"text": ...}, or plain text."""
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode("utf-8", "replace")
    if not body.lstrip().startswith("{"):
        return body
    text = json.loads(body).get("text")
    if not isinstance(text, str):
        raise ValueError('the body needs a member "text" with a string')
    return text


def handler(event, context):
    try:
        text = text_of(event)
        if len(text) > TEXT_MAX_CHARS:
            raise ValueError(f"the text has more than {TEXT_MAX_CHARS} characters")
    except ValueError as error:
        return {"statusCode": 400, "headers": {"content-type": "application/json"},
                "body": json.dumps({"error": str(error)})}
    counts = collections.Counter(words(text))
    unknown = [word for word in counts if word not in known and len(word) < 30][:TOP]
    return {
        "words": counts.total(),
        "distinct": len(counts),
        "top": counts.most_common(TOP),
        "meant": {word: similar(word) for word in unknown},
        "table": BUILT,
    }
