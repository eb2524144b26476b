"""Renders Markdown to HTML (FaaSProfiler markdown-to-html). Check: a parser finds the elements the text was made of."""

import hashlib
import html.parser
import random
import markdown
import workload

WORDS = "spores drift over the moss until rain comes and the *old* oak drops **every** leaf `it` had".split()


class Reader(html.parser.HTMLParser):
    """Counts elements, and sees that each is closed."""

    def __init__(self):
        super().__init__()
        self.counts, self.open = {}, []

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.open.append(tag)

    def handle_endtag(self, tag):
        workload.check(self.open and self.open.pop() == tag, f"</{tag}> closes another element")


def text(size, seed):
    draw = random.Random(seed)
    sentence = lambda: " ".join(draw.choices(WORDS, k=14)) + "."
    section = lambda n: (
        f"## Section {n}\n\n{sentence()} {sentence()}\n\n    code < {draw.randrange(100)}\n\n> {sentence()}\n\n"
        f"- {sentence()}\n- {sentence()}\n- [link](/to/{n})\n\n"
    )
    return "# Title\n\n" + "".join(section(n) for n in range(size))


def work(size, seed):
    source = text(size, seed)
    page = markdown.markdown(source)
    reader = Reader()
    reader.feed(page)
    workload.check(not reader.open, "an element is not closed")
    wanted = {"h1": 1, "h2": size, "ul": size, "li": 3 * size, "a": size, "pre": size, "blockquote": size,
              "p": 2 * size, "em": source.count("*old*"), "strong": source.count("**every**")}
    found = {tag: reader.counts.get(tag, 0) for tag in wanted}
    workload.check(found == wanted, f"{found} instead of {wanted}")
    return {"bytes": len(page), "sections": size, "sha256": hashlib.sha256(page.encode()).hexdigest()}


parameters = {"size": (0, 1000, 12), "seed": (0, 2**32 - 1, 1)}
handler = workload.handler("markdown-python", parameters, work)
