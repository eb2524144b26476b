"""Renders a page from a template with Jinja2 (SeBS 110.dynamic-html; FunctionBench does it with Chameleon). The template is
compiled in each request, as there. Check: a parser finds the rows, and hostile names are text."""

import hashlib
import html.parser
import random
import jinja2
import workload

TEMPLATE = """<!DOCTYPE html>
<html><head><title>Hello, {{ user }}</title></head><body>
<p>Welcome, {{ user }}! Here are {{ rows | length }} numbers.</p>
<table>{% for row in rows %}
<tr class="{{ loop.cycle('odd', 'even') }}"><td>{{ loop.index }}</td><td>{{ row.name }}</td><td>{{ row.number }}</td></tr>{% endfor %}
</table></body></html>
"""
USER = "<script>alert('Ada & Bob')</script>"


class Reader(html.parser.HTMLParser):
    """Counts tags and adds up the last column."""

    def __init__(self):
        super().__init__()
        self.tags, self.sum, self.text = {}, 0, ""

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1

    def handle_data(self, data):
        self.text = data

    def handle_endtag(self, tag):
        if tag == "tr":
            self.sum += int(self.text)


def work(size, seed):
    draw = random.Random(seed)
    rows = [{"name": f"<{draw.getrandbits(16):04x}>", "number": draw.randrange(1_000_000)} for _ in range(size)]
    template = jinja2.Environment(autoescape=True).from_string(TEMPLATE)
    page = template.render(user=USER, rows=rows)
    reader = Reader()
    reader.feed(page)
    wanted = {"html": 1, "head": 1, "title": 1, "body": 1, "p": 1, "table": 1, "tr": size, "td": 3 * size}
    workload.check({tag: n for tag, n in reader.tags.items() if n} == {tag: n for tag, n in wanted.items() if n},
                   "the page has other elements")
    workload.check(reader.sum == sum(row["number"] for row in rows), "the page has other numbers")
    return {"bytes": len(page), "sum": reader.sum, "sha256": hashlib.sha256(page.encode()).hexdigest()}


parameters = {"size": (0, 20_000, 300), "seed": (0, 2**32 - 1, 1)}
handler = workload.handler("dynamic-html-python", parameters, work)
