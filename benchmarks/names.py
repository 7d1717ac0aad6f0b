"""Which modules outside of its packages know Slurm or vLLM: by a name, an import, a key or a command, not by a sentence for people.

    python -m benchmarks.names

Another launcher or another engine has to look at each of them. A sentence (text with a blank in it), a comment and a docstring do
not count: they say to people what runs there. How many name it in any way, sentences included, is the second figure.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
OWN = {"slurm": ("utils/launch/slurm/", "matrix/slurm/"), "vllm": ("utils/node/vllm/", "matrix/vllm/")}
"""The packages whose business it is, which may name it as often as they like."""


def knows(text: str, word: str) -> bool:
    """Whether a module's code has the word in it.

    Args:
        text: of the module.
        word: in small letters.
    """
    return any(word in name.lower() for name in _names(ast.parse(text)))


def _names(tree: ast.AST) -> Iterator[str]:
    """Identifiers, imported modules, and strings that are no sentence."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module, names=names):
                yield from (f"{module}.{name.name}" for name in names)
            case (
                ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name))
            ):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Constant(value=str(value)) if not any(letter.isspace() for letter in value):
                yield value


def modules(word: str, root: Path = ROOT) -> list[str]:
    """Those of `matrix` and `utils` that know it, outside of its packages."""
    return [name for name, text in _outside(word, root) if knows(text, word)]


def named(word: str, root: Path = ROOT) -> list[str]:
    """Those that have the word anywhere in their text, as grep finds it."""
    return [name for name, text in _outside(word, root) if word in text.lower()]


def _outside(word: str, root: Path) -> Iterator[tuple[str, str]]:
    found = sorted(path for part in ("matrix", "utils") for path in (root / part).rglob("*.py"))
    for path in found:
        name = path.relative_to(root).as_posix()
        if not name.startswith(OWN[word]):
            yield name, path.read_text()


def main(root: Path = ROOT) -> None:
    """Print them."""
    for word in OWN:
        known = modules(word, root)
        print(f"{word}: {len(known)} know it, {len(named(word, root))} name it", *known, sep="\n  ")


if __name__ == "__main__":
    main(*(Path(given) for given in sys.argv[1:]))
