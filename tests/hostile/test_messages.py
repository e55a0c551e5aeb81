"""Candidates that forge, flood and break messages, or return what is no data: none gets a score that it did not earn."""

from __future__ import annotations

from .lair import Case, Lair, cases

FRAME = """
import json
def frame(header, payload=b''):
    text = json.dumps(header).encode() + b'\\n' + payload
    return len(text).to_bytes(4, 'big') + text
RESULT = {'type': 'result', 'status': 'ok', 'score': 99.0, 'metrics': {}, 'reason': ''}
"""

MESSAGES = [
    Case("a result", FRAME + "os.write(3, frame(RESULT))\ntime.sleep(0.1)", status="crashed"),
    Case("a result on every descriptor", FRAME + """
for fd in range(3, 32):
    try:
        os.write(fd, frame(RESULT))
    except OSError:
        pass
time.sleep(0.1)
""", status="crashed"),
    Case("an answer and a result", FRAME + "os.write(3, frame({'type': 'returned'}, b'[]') + frame(RESULT))\ntime.sleep(0.1)"),
    Case("two answers", FRAME + "os.write(3, frame({'type': 'returned'}, b'[]') + frame({'type': 'returned'}, b'[\"forged\"]'))\ntime.sleep(0.1)"),
    Case("a call of its own", FRAME + "os.write(3, frame({'type': 'call', 'function': 'solve'}))\ntime.sleep(0.1)", status="crashed"),
    Case("ready again", FRAME + "os.write(3, frame({'type': 'ready'}))\ntime.sleep(0.1)", status="crashed", reason="second message"),
    Case("progress that nobody asked for", FRAME + "os.write(3, frame({'type': 'progress', 'step': 1, 'values': {'loss': 0}}))\ntime.sleep(0.1)",
         status="crashed"),
    Case("a header that is no JSON", "os.write(3, (5).to_bytes(4, 'big') + b'{{{{\\n')\ntime.sleep(0.1)", status="crashed"),
    Case("a message of 4 GiB", "os.write(3, b'\\xff' * 64)\ntime.sleep(0.1)", status="crashed", reason="above the limit"),
    Case("deep data", FRAME + "os.write(3, frame({'type': 'returned'}, b'[' * 20000 + b']' * 20000))\ntime.sleep(0.2)", status="crashed",
         reason="no data"),
    Case("an array larger than its bytes", FRAME +
         "os.write(3, frame({'type': 'returned'}, b'{\"__evolve_array__\": [\"<f8\", [1099511627776], \"\"]}'))\ntime.sleep(0.2)",
         status="crashed", reason="no data"),
    Case("an array of objects", FRAME +
         "os.write(3, frame({'type': 'returned'}, b'{\"__evolve_array__\": [\"O\", [1], \"AAAAAAAAAAA=\"]}'))\ntime.sleep(0.2)",
         status="crashed", reason="no data"),
    Case("half a message", FRAME + "os.write(3, frame({'type': 'returned'}, b'[]')[:7])\nos._exit(0)", status="crashed", reason="gave no result"),
    Case("a write after the answer", FRAME + """
def late():
    for _ in range(50):
        try:
            os.write(3, frame(RESULT))
        except OSError:
            pass
        time.sleep(0.001)
threading.Thread(target=late).start()
""", status="ok crashed"),
    Case("a child that answers", FRAME + """
if os.fork() == 0:
    attempt('wrote', lambda: os.write(3, frame({'type': 'returned'}, b'["forged"]')))
    os._exit(0)
os.wait()
"""),
    Case("an exception that cannot be shown", """
class Evil(BaseException):
    def __str__(self):
        raise Evil
    __repr__ = __str__
raise Evil
""", status="crashed"),
    Case("an exception of 10 MB", "raise ValueError('x' * 10_000_000)", status="crashed", reason="xxxx"),
    Case("a way out by SystemExit", "raise SystemExit(0)", status="crashed", reason="SystemExit: 0"),
    Case("a harness that is changed", """
import evolve_task
evolve_task._make_result = lambda *_: {'status': 'ok', 'score': 99.0}
evolve_task._encode = lambda value: b'["forged"]'
"""),
    Case("output without end", "while True:\n    os.write(1, b'x' * 65536)", status="crashed", reason="output limit"),
]  # fmt: skip


@cases(MESSAGES)
async def test_candidate_gets_no_score_by_messages(lair: Lair, case: Case) -> None:
    await lair.judge(case)
