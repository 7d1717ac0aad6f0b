"""Text of others in a comment, rendered by GitHub's own Markdown, and looked at as GitHub does afterwards: nothing in it lives."""

from __future__ import annotations

import html
import re

import cmarkgfm
import pytest

from utils.show import markdown

pytestmark = pytest.mark.hostile

FOREIGN = (
    # links
    "https://evil.example/login", "_https://evil.example/login", "1https://evil.example", "(https://evil.example)", "HTTPS://EVIL.example",
    "ftp://evil.example/x", "_ftp://evil.example", "www.evil.example", "_www.evil.example", "1www.evil.example", "WWW.evil.example/x",
    "mailto:me@evil.example", "xmpp:me@evil.example", "me@evil.example", "a.b+c@evil.example", "<https://evil.example>",
    "[x](https://evil.example)", "[x]: https://evil.example", "![x](https://evil.example/p.png)", "[x][y]", "![][x]",
    # mentions and references
    "@acme/gpu-admins", "@user", "x @user", "x,@user", "&#64;user", "\\@user", "@\u200buser", "@@user", "(@user)",
    "#1", "acme/bench#2", "\\#3", "GH-4", "gh-5", "#\u20601", "&#35;6", "deadbeefcafe1", "acme/bench@deadbeefcafe1", "d" * 40,
    # markup
    "<b>x</b>", "<script>x</script>", "<!-- servematrix:plan -->", "</details>", "<img src=x>", "&lt;b&gt;", "**x**", "__x__", "~~x~~",
    "`x`", "```\nx", "$x$", "$$x$$", "# x", "> x", "- x", "1. x", "x | y", "x\n\ny", "x\r\ny", "x\u2028y", "\\", "x\\", "\tx", "    x",
    # letters that nobody sees
    "a\u200bb", "a\u200cb", "a\u200db", "a\u200eb", "a\u200fb", "a\u061cb", "a\u2060b", "a\ufeffb", "a\u202eb", "a\u2066b", "a\U000e0041b",
    "a\u00adb", "a\u034fb", "a\u115fb", "a\u3164b", "a\ufe0fb", "a\U000e0100b", "a\x00b", "a\x1b[31mb", "a\x1b]8;;https://evil.example\x07b", "a\ue000b",
    "\ud800",
)  # fmt: skip
TOKEN = "ghp_" + "a1B2" * 6


def shown(text: str) -> str:
    """A cell and a sentence of a comment, as HTML."""
    source = markdown.table(["a"], [[text]]) + f"\n- {markdown.escape(text)}\n"
    found: str = cmarkgfm.github_flavored_markdown_to_html(source)
    return found


@pytest.mark.parametrize("text", FOREIGN, ids=ascii)
def test_foreign_text_is_text(text: str) -> None:
    """No tag of its own, no link, no picture; and no mention, reference or commit in what is left after rendering."""
    found = shown(text)
    tags = set(re.findall(r"<(\w+)", found))
    assert tags <= {"table", "thead", "tbody", "tr", "th", "td", "ul", "li"}, found
    seen = html.unescape(re.sub(r"<[^>]*>", "\n", found))
    assert not re.search(r"@[A-Za-z0-9]|#\d|(?i:gh)-\d", seen)
    assert not re.search(r"(?<!\w)[0-9a-f]{7,40}(?!\w)", seen)
    assert not re.search(r"\w://|(?i:www)\.", seen)
    assert len(re.findall(r"<tr>", found)) == 2, "one row of heads, one of text"


@pytest.mark.parametrize("text", FOREIGN, ids=ascii)
def test_foreign_text_in_code_is_text(text: str) -> None:
    """A span of code, and nothing before or behind it."""
    found = cmarkgfm.github_flavored_markdown_to_html(f"x {markdown.code(text)} y")
    assert re.fullmatch(r"<p>x <code>[^<]*</code> y</p>\n", found), found


@pytest.mark.parametrize(
    "letter",
    ["\u200b", "\u2060", "\x00", "\u00ad", "\U000e0041", "\ufe0f", "\u3164", "\x1b[0m", "\ud800"],
    ids=ascii,
)
@pytest.mark.parametrize("sink", [markdown.escape, markdown.code])
def test_a_token_that_invisible_letters_split_is_redacted(letter: str, sink: object) -> None:
    """What a reader sees is what is searched."""
    split = TOKEN[:12] + letter + TOKEN[12:]
    assert callable(sink)
    found = sink(f"x {split} y")
    assert "a1B2" not in found
    assert "*" in found


def test_words_stay_as_they_are() -> None:
    """Rows, points and reasons read as before."""
    seen = shown("8k1k-tp8-ep8-c256 is 3.4 % slower (n = 2+2), k1:x")
    assert seen.count("8k1k-tp8-ep8-c256 is 3.4 % slower (n = 2+2), k1:x") == 2
    assert markdown.code("env.FAKE_VLLM = a`b") == "`env.FAKE_VLLM = a'b`"
