"""The mutants of a module: its source with one small thing wrong, each in another place.

A mutant is what a slip of the hand might have left: another operator, a bound off by one, a check
that is gone, two arguments in the wrong order. Words for people, docstrings and annotations are
left as they are, because no test should hold them to the letter.
"""

import ast
import copy
import difflib
from collections.abc import Iterator
from dataclasses import dataclass

OPERATORS = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Mult],
    ast.Mod: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
    # Another bound, and the contrary.
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
}
NAMES = [("min", "max"), ("any", "all"), ("sum", "mean"), ("zeros_like", "ones_like")]
OTHER_NAME = {a: b for pair in NAMES for a, b in (pair, pair[::-1])}

# What is not for the machine: its fields, by the node that has them.
NOT_CODE = {
    ast.arg: {"annotation"},
    ast.AnnAssign: {"annotation"},
    ast.FunctionDef: {"returns"},
    ast.Raise: {"exc", "cause"},
    ast.JoinedStr: {"values"},
}


@dataclass(frozen=True)
class Mutant:
    """One wrong version of a module.

    Args:
        where: the function or class that is changed, "" outside of any.
        line: of the change, in the right version.
        change: the lines that went, each after "- ", and those that came, each after "+ ".
        source: the whole wrong version.
    """

    where: str
    line: int
    change: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines, no two of them alike."""
    text, found = source.encode(), {}
    starts = [0]
    for row in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(row))
    for node, where in _code(ast.parse(source)):
        for old, new in _changes(node):
            start = starts[old.lineno - 1] + old.col_offset
            end = starts[old.end_lineno - 1] + old.end_col_offset
            wrong = (text[:start] + new.encode() + text[end:]).decode()
            if wrong != source:
                found[wrong] = Mutant(where, old.lineno, _difference(source, wrong), wrong)
    return sorted(found.values(), key=lambda mutant: mutant.line)


def _difference(source: str, wrong: str) -> str:
    lines = difflib.unified_diff(source.splitlines(), wrong.splitlines(), n=0, lineterm="")
    changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in changed)


def _code(node: ast.AST, where: str = "") -> Iterator[tuple[ast.AST, str]]:
    """The nodes that compute something, each with the function or class that it stands in."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        where = f"{where}.{node.name}".lstrip(".")
    yield node, where
    for name, value in ast.iter_fields(node):
        if name not in NOT_CODE.get(type(node), ()):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not _is_for_people(child):
                    yield from _code(child, where)


def _is_for_people(node: ast.AST) -> bool:
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return text or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """What may go wrong at a node: (part of it, the text in its place)."""

    def put(field: str, value: object) -> tuple[ast.AST, str]:
        changed = copy.copy(node)
        setattr(changed, field, value)
        whole = ast.unparse(changed)
        return node, whole if isinstance(node, (ast.Call, ast.stmt)) else f"({whole})"

    match node:
        case ast.Constant(value=bool() as value):
            yield node, str(not value)
        case ast.Constant(value=int() | float() as value):
            yield node, repr(value + 1 if isinstance(value, int) else 2 * value or 1.0)
        case ast.Constant(value=str() as value) if value and " " not in value:
            yield node, repr(value + "_")
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op):
            yield from (put("op", other()) for other in OPERATORS.get(type(op), ()))
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                for other in OPERATORS[type(op)]:
                    yield put("ops", [*ops[:i], other(), *ops[i + 1 :]])
        case ast.UnaryOp(operand=operand):
            yield node, f"({ast.unparse(operand)})"
        case ast.Return(value=ast.expr()):
            yield node, "return None"
        case ast.Raise() | ast.Expr(value=ast.Call()):
            yield node, "pass"
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield node, "pass"
        case ast.Call(func=func, args=args, keywords=keywords):
            plain = not any(isinstance(arg, ast.Starred) for arg in args[:2])
            if len(args) > 1 and plain and ast.unparse(func) not in ("isinstance", "min", "max"):
                yield put("args", [args[1], args[0], *args[2:]])
            for i, keyword in enumerate(keywords):
                if keyword.arg:
                    yield put("keywords", keywords[:i] + keywords[i + 1 :])
            if isinstance(func, ast.Name) and func.id in OTHER_NAME:
                yield func, OTHER_NAME[func.id]
            if isinstance(func, ast.Attribute) and func.attr in OTHER_NAME:
                yield func, f"{ast.unparse(func.value)}.{OTHER_NAME[func.attr]}"
        case ast.FunctionDef(decorator_list=decorators):
            for decorator in decorators:
                if ast.unparse(decorator) not in ("property", "classmethod", "staticmethod"):
                    yield decorator, "(lambda decorated: decorated)"
    for condition in _conditions(node):
        if not isinstance(condition, (ast.Compare, ast.UnaryOp)):  # these have their own contrary
            yield condition, f"(not ({ast.unparse(condition)}))"


def _conditions(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.comprehension):
        return node.ifs
    return [node.test] if isinstance(node, (ast.If, ast.IfExp, ast.While)) else []
