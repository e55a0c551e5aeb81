"""A program in another language than Python, taken apart for recombination."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal as OneOf

from engine.designers.recombine.comments import Rules, match_rules, said_in
from engine.designers.recombine.languages.numbers import Number, brackets_of, find_numbers, numbers_in_text, spelled
from engine.designers.recombine.messages import Tunable, Value
from engine.designers.recombine.program import EditError
from engine.designers.recombine.tunable import Blank, owner_of, tunables_of
from engine.programs.folders import is_file_line
from engine.programs.languages.base import Language
from engine.programs.languages.grammar import GrammarReader
from engine.programs.languages.kinds import Grammar
from engine.programs.languages.parsed import Part, is_comment, preamble_of, texts, without_comments
from engine.programs.outline import ProgramError

__all__ = ["Item", "Source", "Token", "read_source"]

Kind = OneOf["import", "function", "class", "assign", "other"]

_KINDS: dict[str, Kind] = {"function": "function", "type": "class", "value": "assign", "import": "import"}
_WORDS = re.compile(r"[A-Za-z_]\w*|\S")


@dataclass(frozen=True)
class Token:
    """A word or a sign of a program."""

    start: int
    end: int
    text: str
    is_name: bool


@dataclass(frozen=True)
class Item:
    """A top-level definition, or another top-level part."""

    index: int
    kind: Kind
    names: tuple[str, ...]
    reads: frozenset[str]
    start: int
    """Its first byte, with comments directly before it."""
    end: int
    """The byte after its last, with a comment behind it on its line."""
    parameters: int
    text: str
    """Its tokens without comments and layout."""
    numbers: tuple[Number, ...]
    part: Part | None
    """None in a text."""
    locals: frozenset[str] = frozenset()
    """Names that are local in some inner scope: not told in other languages than Python."""


@lru_cache(maxsize=64)
def read_source(code: str, language: Language) -> Source:
    """Take a program apart; the result is cached for later requests.

    Raises:
        EditError: it has a syntax error.
    """
    return Source(code, language)


class Source:
    """A program.

    Args:
        code: its text.
        language: what it is written in.

    Raises:
        EditError: it has a syntax error.
    """

    def __init__(self, code: str, language: Language) -> None:
        self.code, self.language = code, language
        self.bytes = code.encode("utf-8", "surrogatepass")
        self._brackets: list[tuple[int, int]] = []
        reader = language.reader
        try:
            self.items = self._split(reader) if isinstance(reader, GrammarReader) else [self._whole()]
        except (ProgramError, RecursionError) as exc:
            raise EditError(f"not valid {language.title or 'text'}: {getattr(exc, 'reason', exc)}") from None
        self.by_name: dict[str, list[Item]] = {}
        for item in self.items:
            if item.kind != "import":
                for name in item.names:
                    self.by_name.setdefault(name, []).append(item)

    @cached_property
    def functions(self) -> dict[str, Item]:
        """Return the functions that are defined once, by name."""
        return {
            name: items[0] for name, items in self.by_name.items() if len(items) == 1 and items[0].kind == "function"
        }

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Return how many parameters each of the functions has."""
        return {name: item.parameters for name, item in self.functions.items()}

    @property
    def public(self) -> set[str]:
        """Return its functions."""
        return set(self.functions)

    @cached_property
    def literals(self) -> list[tuple[Number, ...]]:
        """Return the literals whose value can be changed, by item."""
        return [item.numbers for item in self.items]

    @cached_property
    def owners(self) -> dict[str, Item]:
        """Return every item by the name of its literals."""
        found: dict[str, Item] = {}
        for item in self.items:
            found.setdefault(owner_of(item), item)
        return found

    @cached_property
    def rules(self) -> Rules:
        """Return the rules of its `tune:` comments."""
        sign = re.escape(self.language.comment) if self.language.comment else r"(?:#|//|--|;|%|!)"
        mark = re.compile(rf"(?:{sign}|/\*)\s*tune:\s*(?P<said>.*?)\s*(?:\*/.*|{sign}.*)?$", re.IGNORECASE)
        lines = enumerate(self.code.split("\n"), 1)
        said = said_in((line, found["said"]) for line, text in lines if (found := mark.search(text)))
        if not said:
            return Rules({}, [])
        places = {
            (item.index, index): (number.line, number.value)
            for item in self.items
            for index, number in enumerate(item.numbers)
        }
        return match_rules(said, places, self._brackets)

    def file_of(self, at: int) -> str:
        """Return the line that names the file in which a byte lies; empty for a program of one file."""
        lines = self.bytes[:at].decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if is_file_line(line)), "")

    def closure(self, names: Iterable[str], stop: frozenset[str] = frozenset()) -> set[str]:
        """Return names reachable from `names` by reading; names in `stop` are not followed, but those given are."""
        reached: set[str] = set()
        first = [name for name in names if name in self.by_name]
        pending = list(first)
        while pending:
            name = pending.pop()
            if name in reached:
                continue
            reached.add(name)
            if name in stop and name not in first:
                continue
            for item in self.by_name[name]:
                pending += [read for read in (*item.reads, *item.names) if read in self.by_name and read not in reached]
        return reached

    def live(self, required: Iterable[str]) -> set[str]:
        """Return names reachable from those that the task requires; without those, from names that no other reads."""
        roots = {name for name in required if name in self.by_name}
        if not roots:
            read = {name for item in self.items for name in item.reads - set(item.names)}
            roots = set(self.by_name) - read
        roots |= {name for item in self.items if item.kind == "other" for name in item.reads if name in self.by_name}
        return self.closure(roots)

    def tunables(self, required: Iterable[str]) -> list[Tunable]:
        """Return values that can be tuned and are reachable from the required names, in the order of the text."""
        live = self.live(required)
        return [
            tunable
            for item in self.items
            if item.kind == "other"
            or (live.intersection(item.names) and all(len(self.by_name[name]) == 1 for name in item.names))
            for tunable in tunables_of(self, item)
        ]

    def origins(self, name: str) -> set[str]:
        """Return where a name is imported from: that is not told in other languages than Python."""
        return set()

    def form(self, index: int) -> object:
        """Return what equals for parts that differ in comments and layout alone."""
        return self.items[index].text

    def shape(self, index: int, blank: Blank = "nothing") -> tuple[str, tuple[str, ...]]:
        """Return a part as text without names and without some of its values, and the names in order."""
        found = self._shapes.get((index, blank))
        if found is None:
            tokens = self._blanked(self.items[index], blank)
            text = "\n".join("" if token.is_name else token.text for token in tokens)
            found = self._shapes[index, blank] = (text, tuple(token.text for token in tokens if token.is_name))
        return found

    @cached_property
    def _shapes(self) -> dict[tuple[int, Blank], tuple[str, tuple[str, ...]]]:
        return {}

    def _blanked(self, item: Item, blank: Blank) -> list[Token]:
        """Return the tokens of an item, with `?` in the place of some of its literals."""
        chosen = set(range(len(item.numbers)))
        if blank == "nothing":
            return self.tokens(item)
        if blank == "tunables":
            chosen = {tunable.index for tunable in tunables_of(self, item)}
        elif blank == "numbers":
            chosen = {index for index in chosen if not isinstance(item.numbers[index].value, bool)}
        spans = [(item.numbers[index].start, item.numbers[index].end) for index in sorted(chosen)]
        if item.part is None:
            words = self._replaced([(*span, "?") for span in spans]).split()
            return [Token(0, 0, word, False) for word in words]
        out: list[Token] = []
        at = 0
        for token in self.tokens(item):
            while at < len(spans) and spans[at][1] <= token.start:
                at += 1
            if at < len(spans) and spans[at][0] <= token.start < spans[at][1]:
                if not out or out[-1].text != "?" or out[-1].start != spans[at][0]:
                    out.append(Token(*spans[at], "?", False))
            else:
                out.append(token)
        return out

    def with_values(self, values: Sequence[tuple[int, int, Value]]) -> str:
        """Return the program with some of its literals changed.

        Args:
            values: for each literal its item, its place among the item's literals, and the new value.
        """
        changes: list[tuple[int, int, str]] = []
        for item, index, value in values:
            number = self.literals[item][index]
            old = self.bytes[number.start : number.end].decode()
            changes.append((number.start, number.end, spelled(value, old, number.place == "loose")))
        return self._replaced(changes)

    def _replaced(self, changes: Iterable[tuple[int, int, str]]) -> str:
        """Return the text with other text in the place of some of its bytes."""
        text = self.bytes
        for start, end, new in sorted(changes, reverse=True):
            text = text[:start] + new.encode() + text[end:]
        return text.decode("utf-8", "surrogatepass")

    def tokens(self, item: Item) -> list[Token]:
        """Return the words and signs of an item, comments left out."""
        known = self._tokens.get(item.index)
        if known is None:
            known = self._tokens[item.index] = list(self._read_tokens(item))
        return known

    @cached_property
    def _tokens(self) -> dict[int, list[Token]]:
        return {}

    def _read_tokens(self, item: Item) -> list[Token]:
        if item.part is None:
            return [Token(item.start, item.end, line.strip(), False) for line in self.code.splitlines() if line.strip()]
        reader = self.language.reader
        assert isinstance(reader, GrammarReader)
        grammar = reader.grammar
        found: list[Token] = []
        pending = [item.part.node, *reversed(item.part.leading)]
        while pending:
            node = pending.pop()
            if is_comment(node):
                continue
            if node.type in grammar.opaque:
                text = texts(node)
                kept = re.split(r"//|/\*", text)[0] if without_comments(text) != text.strip() else text
                for match in _WORDS.finditer(kept):
                    start = node.start_byte + len(kept[: match.start()].encode())
                    found.append(Token(start, start + len(match[0].encode()), match[0], match[0][0].isalpha()))
            elif not node.child_count or "string" in node.type or "char" in node.type:
                text = texts(node).strip()
                if text:
                    found.append(Token(node.start_byte, node.end_byte, text, node.type in grammar.names))
            else:
                pending += reversed(node.children)
        return found

    def _split(self, reader: GrammarReader) -> list[Item]:
        parsed = reader.parsed(self.code)
        items: list[Item] = []
        for part in parsed.parts:
            kind = _KINDS.get(part.kind, "other")
            names = part.names if kind not in ("other", "import") else ()
            numbers = [] if kind == "import" else find_numbers(reader.grammar, part.node, names[0] if names else "")
            self._brackets += brackets_of(reader.grammar, part.node)
            start, end = self._with_comments(part, reader.grammar)
            items.append(
                Item(part.index, kind, names, part.reads, start, end, part.parameters, part.text, tuple(numbers), part)
            )
        return items

    def _whole(self) -> Item:
        if not self.code.strip():
            raise EditError("the program is empty")
        text = "\n".join(" ".join(line.split()) for line in self.code.splitlines() if line.strip())
        return Item(0, "other", (), frozenset(), 0, len(self.bytes), 0, text, tuple(numbers_in_text(self.code)), None)

    def _with_comments(self, part: Part, grammar: Grammar) -> tuple[int, int]:
        """Return where a part begins and ends, with the comments that belong to it."""
        start, end = part.start, part.end
        while end > start and self.bytes[end - 1 : end] in (b"\n", b"\r"):
            end -= 1  # a directive of the preprocessor
        line_end = self.bytes.find(b"\n", end)
        rest = self.bytes[end : line_end if line_end >= 0 else len(self.bytes)]
        behind = re.fullmatch(rf"[ \t]*;?[ \t]*(?:(?:{self.language.comment}|/\*).*)?".encode(), rest.rstrip())
        if behind is not None:
            end += len(rest.rstrip())
        if part.kind == "import" and part.node.type in grammar.preambles:
            before_it = preamble_of(part.node)
            return (before_it[0].start_byte if before_it else start), end
        if part.kind in ("import", "other"):
            return start, end
        first = self.bytes.rfind(b"\n", 0, start) + 1
        if self.bytes[first:start].strip():
            return start, end
        signs = (self.language.comment.encode(), b"/*", b"*")
        while first:
            before = self.bytes.rfind(b"\n", 0, first - 1) + 1
            line = self.bytes[before : first - 1].strip()
            if not (line.startswith(signs) or line.endswith(b"*/")) or is_file_line(line.decode("utf-8", "replace")):
                break
            first = before
        return min(first, start) if self.bytes[first:start].strip() else start, end
