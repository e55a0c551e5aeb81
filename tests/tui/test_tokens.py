"""What a terminal sends is cut into keys, sequences and pastes, wherever a read ends and whatever the bytes are."""

from __future__ import annotations

import re
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS

from tui.tokens import Token, Tokenizer

PIECES = [
    b"a", b"\x1b", b"\x1b[", b"[A", b"\x1b[A", b"\x1bOP", b"\x1bO", b"\x1b[M", b"\x1b[<0;1;1M", b"\x1b[200~",
    b"\x1b[201~", b"\x1b]11;rgb:ffff/ffff/ffff\x07", b"\x1b]", b"\x1bP1$r0m\x1b\\", b"\x1b\\", b"\x07", b"\x18",
    "ä漢".encode(), b"\xe4", b"\xe6\xbc", b"\x00", b"\x9b", b";99999", b"\x1b[[A", b"\r\n", b"\x1b[999999999999u",
]  # fmt: skip
streams = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)), max_size=30).map(b"".join)


def tokenizer(encoding: str = "utf-8") -> Tokenizer:
    """One that knows Textual's keys, and every control sequence that ends in `u`."""
    return Tokenizer(encoding, lambda text: text in ANSI_SEQUENCES_KEYS, lambda text: text.endswith("u"))


def told(tokens: list[Token]) -> list[Token]:
    """The tokens, with characters that came one after the other as one, as a single read would give them."""
    together: list[Token] = []
    for kind, group in groupby(tokens, key=lambda token: token.kind):
        parts = list(group)
        if kind == "keys":
            parts = [Token("keys", "".join(token.text for token in parts))]
        together += parts
    return [Token(kind, re.sub("\ufffd+", "\ufffd", text)) for kind, text in together]


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        (b"ab\x1b[Ac", [("keys", "ab"), ("sequence", "\x1b[A"), ("keys", "c")]),
        (b"\xe4z", [("keys", "\ufffdz")]),
        (b"\xff" * 5000, [("keys", "\ufffd")]),
        (b"\x1b[M\xff\xffqj", [("keys", "j")]),
        (b"\x1b[M !!j", [("keys", "j")]),
        (b"\x1b]11;rgb:00/00/00\x07j", [("keys", "j")]),
        (b"\x1b]11;rgb:00/00/00\x1b\\j", [("keys", "j")]),
        (b"\x1bP>|tmux 3.3a q\x1b\\j", [("keys", "j")]),
        (b"\x1b_Gi=1;OK\x1b\\j", [("keys", "j")]),
        (b"\x1bP unfinished \x1b[A", [("sequence", "\x1b[A")]),
        (b"\x1b[?62;22cj", [("keys", "j")]),
        (b"\x1b[" + b"9" * 5000 + b"qj", [("keys", "j")]),
        (b"\x1b[5\xe4j", [("keys", "\ufffdj")]),
        (b"\x1b[5\x18j", [("keys", "j")]),
        (b"\x1b[97;;97u", [("sequence", "\x1b[97;;97u")]),
        (b"\x1b[[Aj", [("sequence", "\x1b[[A"), ("keys", "j")]),
        (b"\x1bx\x1b\x1b[A", [("alt", "x"), ("sequence", "\x1b"), ("sequence", "\x1b[A")]),
        (b"\x1b[200~x\xffq\r\n\x1b[2J\x00\x9b\x1b[201~j", [("paste", "x\ufffdq\n[2J\ufffd"), ("keys", "j")]),
        ("ä".encode(), [("keys", "ä")]),
        (b"\x00", [("keys", "\x00")]),
    ],
)  # fmt: skip
def test_bytes_become_tokens(data: bytes, tokens: list[tuple[str, str]]) -> None:
    assert tokenizer().feed(data) == [Token(*token) for token in tokens]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        (b"\x1b", [("sequence", "\x1b")]), (b"\x1b[", [("alt", "[")]), (b"\x1bO", [("alt", "O")]),
        (b"\x1b[12;5", []), (b"\x1b]0;q", []), (b"\x1b[M!", []), (b"\xc3", [("keys", "\ufffd")]),
        (b"\x1b[200~never ended", [("paste", "never ended")]),
    ],
)  # fmt: skip
def test_unfinished_sequence_is_dropped_after_a_while(data: bytes, tokens: list[tuple[str, str]]) -> None:
    read = tokenizer()
    assert read.feed(data) == [] and read.patience is not None
    assert read.give_up() == [Token(*token) for token in tokens]  # type: ignore[arg-type]
    assert read.patience is None and read.feed(b"j") == [Token("keys", "j")]


@given(streams, st.data())
def test_split_reads_give_the_same_tokens(data: bytes, draws: st.DataObject) -> None:
    ends = sorted(draws.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    whole, pieces = tokenizer(), tokenizer()
    expected = whole.feed(data) + whole.give_up()
    found: list[Token] = []
    for start, end in zip([0, *ends], [*ends, len(data)], strict=True):
        found += pieces.feed(data[start:end])
    found += pieces.give_up()
    assert told(found) == told(expected)


@given(st.one_of(streams, st.binary(max_size=300)), st.sampled_from(["utf-8", "iso8859-1", "koi8-r", "big5"]))
def test_any_bytes_leave_the_tokenizer_working(data: bytes, encoding: str) -> None:
    read = tokenizer(encoding)
    for kind, text in read.feed(data) + read.give_up():
        assert text or kind == "paste"
        assert kind != "keys" or "\x1b" not in text
        assert kind != "paste" or not set(text) & {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))}
    assert read.patience is None
    assert read.feed(b"j") == [Token("keys", "j")]


def test_long_paste_arrives_in_pieces() -> None:
    read = tokenizer()
    found = read.feed(b"\x1b[200~")
    for _ in range(600):
        found += read.feed(b"x" * 4096)
    found += read.feed(b"\x1b[201~j")
    assert found.pop() == Token("keys", "j")
    assert {token.kind for token in found} == {"paste"} and len(found) > 1
    assert sum(len(token.text) for token in found) == 600 * 4096


def test_string_is_told_if_it_is_known_and_short() -> None:
    """A terminal's name, cut anywhere; another string; one that never seems to end; one that is cut off."""
    told_of = Tokenizer("utf-8", lambda text: False, lambda text: "kitty" in text)
    name = b"\x1bP>|kitty(0.42.1)\x1b\\"
    for cut in range(1, len(name)):
        assert told_of.feed(name[:cut]) + told_of.feed(name[cut:]) == [Token("sequence", name.decode())]
    for other in (
        b"\x1bP>|foot(1)\x1b\\",
        b"\x1b_kitty" + b"y" * 5000 + b"\x1b\\",
        b"\x1b_kitty\x18",
        b"\x1b_kitty\xff\x1b\\",
    ):
        assert told_of.feed(other + b"j") == [Token("keys", "j")]
