"""Calls the handlers of the Python examples."""

import base64
import importlib.util
import json
import pathlib
import types
import unittest

EXAMPLES = pathlib.Path(__file__).resolve().parents[3] / "examples"
CONTEXT = types.SimpleNamespace(log_stream_name="i", get_remaining_time_in_millis=lambda: 5)


def load(name):
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), EXAMPLES / name / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Hello(unittest.TestCase):
    def test_it_greets_by_name_and_counts_calls(self):
        app = load("python-hello")
        self.assertEqual(app.handler({}, CONTEXT)["message"], "Hello, world!")
        answer = app.handler({"queryStringParameters": {"name": "Ada"}}, CONTEXT)
        self.assertEqual((answer["message"], answer["calls"]), ("Hello, Ada!", 2))


class WordCount(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.app = load("python-wordcount")

    def ask(self, body, **event):
        return self.app.handler({"body": body, **event}, CONTEXT)

    def test_words_are_counted_and_misspelt_ones_recognised(self):
        answer = self.ask(json.dumps({"text": "The sporr and the mushrom, don't \u00c4xyzq"}))
        self.assertEqual((answer["words"], answer["distinct"]), (7, 6))
        self.assertEqual(answer["top"][0], ("the", 2))
        self.assertEqual(answer["meant"], {"sporr": "spore", "mushrom": "mushroom", "don't": None, "\u00e4xyzq": None})
        self.assertGreater(answer["table"]["entries"], 10_000)

    def test_plain_and_encoded_bodies_are_taken(self):
        self.assertEqual(self.ask("one two")["words"], 2)
        self.assertEqual(self.ask(base64.b64encode(b"one two three").decode(), isBase64Encoded=True)["words"], 3)
        self.assertEqual(self.ask(None)["words"], 0)

    def test_what_is_wrong_is_a_client_error(self):
        for body in ("{", '{"text": 3}', '{"other": "x"}', json.dumps({"text": "x " * 600_000})):
            self.assertEqual(self.ask(body)["statusCode"], 400, body[:20])


if __name__ == "__main__":
    unittest.main()
