"""Which cells a user means, as text: `cell_type=B,T`, `n_genes>=200`, or an expression such as
`cell_type == 'B' and not (pct_counts_mt > 20 or donor in ('D1', 'D2'))`.

The standard library only, so that a mistyped expression is a usage error before anything is opened.
Python parses an expression, and nothing of it is ever run: what is not a comparison of a column with
values, `and`, `or`, `not` or a parenthesis is refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias, Union

from scgx.errors import UsageError

_SHORT = re.compile(r"\s*([^=!<>]*[^=!<>\s])\s*(==|=|!=|>=|<=|>|<)\s*(.*?)\s*", re.DOTALL)
_LONGEST = 4000
_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Eq: "=", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.In: "=", ast.NotIn: "!=",
}  # fmt: skip
_FLIPPED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Condition(NamedTuple):
    """A column of obs, how it is compared, and with what."""

    column: str
    sign: str  # one of = != >= <= > <
    value: str
    options: tuple[str, ...] | None = None  # each in quotes of its own: a comma divides nothing

    def __str__(self) -> str:
        return f"{self.column}{self.sign}{self.value}"

    @property
    def values(self) -> list[str]:
        """The values of a list (`D1,D2`); a comma may belong to a value too, so see `value` first."""
        if self.options is not None:
            return list(self.options)
        return [word.strip() for word in self.value.split(",")]


class Junction(NamedTuple):
    """All of the parts (`and`), or any of them (`or`)."""

    word: str
    parts: tuple[Wish, ...]

    def __str__(self) -> str:
        return "(" + f" {self.word} ".join(map(str, self.parts)) + ")"


class Negation(NamedTuple):
    """What a part is known not to be; a missing value is neither."""

    part: Wish

    def __str__(self) -> str:
        return f"not {self.part}"


Wish: TypeAlias = Union[Condition, Junction, Negation]  # noqa: UP007  a forward reference is in it


def conditions(wish: Wish) -> Iterator[Condition]:
    """The comparisons that a wish is made of."""
    if isinstance(wish, Condition):
        yield wish
    for part in (wish.part,) if isinstance(wish, Negation) else ():
        yield from conditions(part)
    for part in wish.parts if isinstance(wish, Junction) else ():
        yield from conditions(part)


def parse(text: str, option: str = "--where") -> Wish:
    """One wish, short (COLUMN SIGN VALUE, no quotes) or an expression; a UsageError where neither.

    `=` is any of a list, `!=` none of it; `<`, `<=`, `>`, `>=` compare numbers. In an expression
    words stand in quotes, `in` takes a list, and a column with odd characters stands in backticks.
    """
    if (tree := _expression(text)) is not None:
        return _Reader(text, option).wish(tree)
    match = _SHORT.fullmatch(text)
    if not match:
        fix = "write COLUMN=VALUE, COLUMN>=NUMBER, or \"A == 'x' and B > 5\""
        raise UsageError(f"{option} {text!r} is no condition", fix=fix)
    column, sign, value = match[1], match[2], match[3]
    if not value:
        raise UsageError(f"{option} {text!r} names no value", fix=f"{column}{sign}VALUE")
    if value[0] in "'\"":
        fix = "mind the quotes and parentheses; a column with odd characters stands in backticks"
        raise UsageError(f"{option} {text!r} cannot be read", fix=fix)
    if sign[0] in "<>" and _number(value) is None:
        fix = f"{column}{sign}200, or {column}={value}"
        raise UsageError(f"{option} {text!r} compares with {value!r}, which is no number", fix=fix)
    return Condition(column, "=" if sign == "==" else sign, value)


def _expression(text: str) -> ast.expr | None:
    """The tree of an expression; None where the short form is meant, which has neither quotes nor
    `and`, `or`, `not`, `in` nor two signs.
    """
    if len(text) > _LONGEST:
        raise UsageError(f"an expression of {len(text):,} characters is too long")
    try:
        tree = ast.parse(_unquoted(text).strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    rich = (ast.BoolOp, ast.UnaryOp, ast.In, ast.NotIn, ast.BinOp, ast.Call, ast.JoinedStr)
    for node in ast.walk(tree):
        quoted = isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        chained = isinstance(node, ast.Compare) and (
            len(node.ops) > 1 or isinstance(node.left, ast.Constant | ast.UnaryOp)
        )
        minus = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        if quoted or chained or (isinstance(node, rich) and not minus) or "`" in text:
            return tree
    return None


def _unquoted(text: str) -> str:
    """Names in backticks as names that Python reads."""
    return re.sub(r"`([^`]+)`", lambda match: _PREFIX + match[1].encode().hex(), text)


_PREFIX = "column_in_backticks_"


class _Reader:
    """Turns the tree of an expression into wishes."""

    def __init__(self, text: str, option: str) -> None:
        self.text = text
        self.option = option

    def wish(self, node: ast.expr) -> Wish:
        if isinstance(node, ast.BoolOp):
            word = "and" if isinstance(node.op, ast.And) else "or"
            return Junction(word, tuple(self.wish(part) for part in node.values))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return Negation(self.wish(node.operand))
        if isinstance(node, ast.Name):
            return Condition(self._column(node), "=", "True", ("True",))
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.BinOp):
            raise self._refusal("use and, or, not, with no arithmetic")
        raise self._refusal("compare columns with numbers or quoted words")

    def _compare(self, node: ast.Compare) -> Wish:
        sides = [node.left, *node.comparators]
        made = [
            self._pair(left, operator, right)
            for left, operator, right in zip(sides, node.ops, sides[1:])
        ]
        return made[0] if len(made) == 1 else Junction("and", tuple(made))

    def _pair(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> Condition:
        sign = _SIGNS.get(type(operator))
        if sign is None:
            raise self._refusal("compare with ==, !=, <, <=, >, >= or in")
        if isinstance(left, ast.Name) and isinstance(right, ast.Name):
            fix = f"put the word in quotes: {left.id} {sign} '{right.id}'"
            raise self._refusal(fix)
        if isinstance(right, ast.Name) and not isinstance(operator, ast.In | ast.NotIn):
            left, right, sign = right, left, _FLIPPED[sign]
        if not isinstance(left, ast.Name):
            raise self._refusal("compare a column with a value")
        if isinstance(operator, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
                raise self._refusal(f"write {left.id} in ('A', 'B')")
            words = tuple(self._value(item) for item in right.elts)
        else:
            words = (self._value(right),)
            if sign[0] in "<>" and (
                isinstance(right, ast.Constant) and isinstance(right.value, str)
            ):
                raise self._refusal(f"{sign} compares with a number, without quotes")
        return Condition(self._column(left), sign, ",".join(words), words)

    def _column(self, node: ast.Name) -> str:
        if node.id.startswith(_PREFIX):
            return bytes.fromhex(node.id.removeprefix(_PREFIX)).decode()
        return node.id

    def _value(self, node: ast.expr) -> str:
        minus = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        inner = node.operand if isinstance(node, ast.UnaryOp) and minus else node
        if not isinstance(inner, ast.Constant):
            raise self._refusal("values are numbers or quoted words")
        value = inner.value
        if isinstance(value, str) and not minus:
            return value
        if isinstance(value, bool) and not minus:
            return str(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{'-' if minus else ''}{value!r}"
        raise self._refusal("values are numbers, quoted words, True or False")

    def _refusal(self, fix: str) -> UsageError:
        return UsageError(f"{self.option} {self.text!r} is no condition", fix=fix)


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
