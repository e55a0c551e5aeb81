"""EVOLVE-BLOCKs: what stands outside stays, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.programs.blocks import keep_outside, read_blocks
from engine.programs.outline import ProgramError

START, END = "# EVOLVE-BLOCK-START\n", "# EVOLVE-BLOCK-END\n"
LINES = st.lists(st.sampled_from(["a = 1\n", "\n", "    b\r\n", "x"[:0] + "é = 2\n", "\x0c\n"]), max_size=4).map(
    "".join
)


@st.composite
def programs(draw: st.DrawFn, blocks: int) -> str:
    text = draw(LINES)
    for _ in range(blocks):
        text += START + draw(LINES) + END + draw(LINES)
    return text


@given(st.integers(1, 3).flatmap(lambda count: st.tuples(programs(count), programs(count))))
def test_program_keeps_its_blocks_and_the_parents_rest(pair: tuple[str, str]) -> None:
    parent, code = pair
    kept = read_blocks(keep_outside(parent, code))
    before, after = read_blocks(parent), read_blocks(code)
    assert kept is not None and before is not None and after is not None
    assert (kept.outside, kept.inside) == (before.outside, after.inside)
    assert keep_outside(parent, parent) == parent


@pytest.mark.parametrize(
    "sign",
    ["#", "//", "!", "<!--", "(*", "    #", "--"],
    ids=["hash", "slashes", "bang", "html", "ml", "indented", "sql"],
)
def test_marks_have_the_comment_sign_of_any_language(sign: str) -> None:
    blocks = read_blocks(f"head\n{sign} EVOLVE-BLOCK-START\nbody\n{sign} EVOLVE-BLOCK-END\ntail")
    assert blocks is not None and blocks.inside == ["body\n"]
    assert blocks.outside == [f"head\n{sign} EVOLVE-BLOCK-START\n", f"{sign} EVOLVE-BLOCK-END\ntail"]


@pytest.mark.parametrize(
    "code", ["x = 1\n", START + "x\n", END + START, START + START + END, START + "1\n" + END + END]
)
def test_program_without_the_parents_marks_is_refused(code: str) -> None:
    with pytest.raises(ProgramError, match="must keep the 1 pair of lines"):
        keep_outside(START + "y\n" + END, code)


def test_parent_without_blocks_asks_for_nothing() -> None:
    assert keep_outside("y = 1\n", "x = 1\n") == "x = 1\n"
