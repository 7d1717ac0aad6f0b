"""The probe of a run, with a FAKE server in the place of vLLM: who is compared with whom, and what is no proof."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from matrix import select
from matrix.plan import KernelChoice, Point
from matrix.source import Folder
from matrix.tree import Tree
from utils.node import parity_answers
from utils.node.kernel_counts import Layers, Marker
from utils.node.record import Accuracy
from utils.node.vllm import parity_probe, probe
from utils.node.vllm.server import Server


class Answer:
    """Of requests."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body

    def json(self) -> dict[str, Any]:
        """What it holds."""
        return self.body


class FakeServer:
    """FAKE: its log-probabilities follow from the context, with noise of its batch; `wrong` moves them in batches of that size."""

    model = "m"

    def __init__(self, seed: int, wrong: tuple[int, float] = (0, 0.0)) -> None:
        self.seed, self.wrong = seed, wrong
        self.batches: list[int] = []

    def ask(self, method: str, path: str, body: dict[str, Any], limit_s: float) -> Answer:
        """As /v1/completions does, in the shape of vLLM 0.32."""
        assert (method, path, body["temperature"]) == ("POST", "/v1/completions", 0)
        assert limit_s > 60
        asked = body["prompt"]
        self.batches.append(len(asked))
        rng = np.random.default_rng((self.seed, len(asked)))
        moved = self.wrong[1] if len(asked) == self.wrong[0] else 0.0
        choices = []
        for index, prompt in enumerate(asked):
            true = np.random.default_rng(prompt[:24]).normal(size=(body["max_tokens"], 3))
            noisy = true + rng.normal(0, 0.01, true.shape) + moved * rng.normal(size=true.shape)
            if "prompt_logprobs" in body:
                rows = [
                    None,
                    *({str(token): {"logprob": float(noisy[0, 0]), "rank": 1}} for token in prompt[1:]),
                ]
                choices.append({"index": index, "prompt_logprobs": rows})
                continue
            tops = [{f"token_id:{10 + i}": float(value) for i, value in enumerate(row)} for row in noisy]
            best = [max(top, key=lambda name: top[name]) for top in tops]
            said = {
                "tokens": best,
                "token_logprobs": [top[b] for top, b in zip(tops, best, strict=True)],
                "top_logprobs": tops,
            }
            choices.append({"index": index, "logprobs": said})
        return Answer({"choices": choices[::-1]})


@pytest.fixture
def point(tree: Path) -> Point:
    """At eight requests at once."""
    job = select.chosen(Tree.of(Folder(tree)), ["r"]).jobs[0]
    return job.points[0].model_copy(update={"concurrency": 8})


def probed(
    server: FakeServer, point: Point, folder: Path, asked: Path | None = None, *, first: bool = True
) -> list[Accuracy]:
    """What a run's probe says of its point."""
    where = parity_probe.Where(folder / "run", folder, first=first)
    return parity_probe.probe_run(cast(Server, server), [point], where, asked).get(point.id, [])


def test_the_first_run_is_what_the_others_are_compared_with(point: Point, tmp_path: Path) -> None:
    """It decodes at the point's own concurrency, and at another batch for what it differs from itself by."""
    first = FakeServer(0)
    assert probed(first, point, tmp_path) == []
    assert first.batches[:2] == [8, 8], "sixteen prompts, eight at once"
    assert 4 in first.batches
    for server, verdict in (
        (FakeServer(1), "passed"),
        (FakeServer(2, (8, 0.5)), "failed"),
        (FakeServer(3, (4, 0.5)), "passed"),
    ):
        found = probed(server, point, tmp_path)
        assert (found[0].name, found[0].verdict) == ("decode at 8", verdict), found[0].why
        assert found[1].name == "prefill"
        assert found[0].figures["prompts"] == 16


def test_a_server_that_does_not_answer_so_tests_nothing(point: Point, tmp_path: Path) -> None:
    """Neither is that a failure of the run; but where the base did answer, it is the change's."""

    class Silent(FakeServer):
        def ask(self, method: str, path: str, body: dict[str, Any], limit_s: float) -> Answer:
            del method, path, body, limit_s
            return Answer({"usage": {"completion_tokens": 4}})

    found = probed(Silent(0), point, tmp_path)
    assert [one.verdict for one in found] == ["not tested"]
    assert "lacks 'choices'" in found[0].why
    probed(FakeServer(1), point, tmp_path)
    after_the_base = probed(Silent(2), point, tmp_path)
    assert [one.verdict for one in after_the_base] == ["failed"], "NaN is no JSON, so that a server refuses"
    assert "the base answered, and this server did not" in after_the_base[0].why


def test_a_head_is_never_what_the_others_are_compared_with(point: Point, tmp_path: Path) -> None:
    """Where the base's run left nothing, or nothing that can be read, no head's run tests anything, and no run fails of it."""
    path = tmp_path / parity_answers.of_base(point.id)
    for content in (
        None,
        b"",
        gzip.compress(b"{}"),
        gzip.compress(b"[1]" * 999)[:-9],
        b"\x1f\x8b\x08garbage",
    ):
        if content is not None:
            path.write_bytes(content)
        found = probed(FakeServer(1), point, tmp_path, first=False)
        assert [one.verdict for one in found] == ["not tested"]
        assert "base left" in found[0].why if content is None else "cannot be read" in found[0].why
        assert path.exists() == (content is not None)


@pytest.mark.parametrize("taken", [True, False])
def test_without_the_kernels_path_nothing_is_proven(
    point: Point, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, taken: bool
) -> None:
    """The marker's counts over the probe decide; a failure stays one."""
    kernel = KernelChoice(name="k", variant="v", expect="taken", files="0")
    with_kernel = point.model_copy(update={"kernel": kernel, "devices": 1})
    counts = iter(range(1, 100))

    def answer(folder: Path, word: str, expected: int) -> list[Marker]:
        del folder, word, expected
        steps = {8: next(counts)}
        path = {"taken": steps, "taken_most": steps} if taken else {"fallback": steps}
        return [
            Marker.model_validate(
                {"worker": 0, "kernel": "k", "variant": "v", "bound": 256, "layers": Layers(gated=1), **path}
            )
        ]

    monkeypatch.setattr("utils.node.marker.ask", answer)
    probed(FakeServer(0), point, tmp_path)
    found = probed(FakeServer(1), with_kernel, tmp_path, tmp_path)[0]
    assert found.verdict == ("passed" if taken else "not tested")
    assert taken or "the kernel's path over the probe: never taken" in found.why
    assert probed(FakeServer(2, (8, 0.5)), with_kernel, tmp_path, tmp_path)[0].verdict == "failed"


def test_prompts_are_of_the_models_vocabulary(tmp_path: Path) -> None:
    """The same for a seed; within what a carried model knows."""
    (tmp_path / "config.json").write_text('{"text_config": {"vocab_size": 40}}')
    made = probe.prompts(str(tmp_path), 50, 7)
    assert made == probe.prompts(str(tmp_path), 50, 7) != probe.prompts(str(tmp_path), 50, 8)
    assert {token for one in made for token in one} == set(range(5, 40))
    assert probe.vocabulary("somebody/model") == 1000


def changed(name: str, value: Any) -> Any:
    """A change of choices: of a field, or of one inside their logprobs."""

    def change(choices: list[dict[str, Any]]) -> None:
        for choice in choices:
            inside = choice.get("logprobs") if name not in choice else choice
            if inside is not None and name in inside:
                inside[name] = value(inside[name])

    return change


ODD = {
    "no logprobs": (changed("logprobs", lambda _: None), "has no logprobs, which were asked for"),
    "no likeliest": (changed("top_logprobs", lambda _: None), "logprobs are not in the known shape"),
    "one without": (changed("top_logprobs", lambda said: [None, *said[1:]]), "logprobs are not in the known"),
    "tokens as text": (changed("tokens", lambda said: ["hello"] * len(said)), "'hello'"),
    "tokens as numbers": (changed("tokens", lambda said: [1] * len(said)), "logprobs are not in the known"),
    "tokens fewer": (changed("tokens", lambda said: said[:3]), "logprobs are not in the known shape"),
    "no number": (changed("token_logprobs", lambda said: [10**400] * len(said)), "too large"),
    "one index": (changed("index", lambda _: 0), "do not say which prompt is theirs"),
    "no index": (changed("index", lambda _: None), "/v1/completions is not in the known shape"),
    "no scores": (changed("prompt_logprobs", lambda _: None), "no prompt_logprobs for a text of"),
    "scores fewer": (changed("prompt_logprobs", lambda said: said[:-2]), "54 prompt_logprobs for a text of 56"),
    "of other tokens": (changed("prompt_logprobs", lambda said: [{"1": {}}] * len(said)), "prompt_logprobs are"),
    "rows of nothing": (changed("prompt_logprobs", lambda said: [None] * len(said)), "prompt_logprobs are"),
}  # fmt: skip


class Odd(FakeServer):
    """FAKE: as the other, and then its choices are changed."""

    change: Any = None

    def ask(self, method: str, path: str, body: dict[str, Any], limit_s: float) -> Answer:
        """Its answer, changed."""
        said = super().ask(method, path, body, limit_s)
        self.change(said.body["choices"])
        return said


@pytest.mark.parametrize(("change", "why"), ODD.values(), ids=ODD)
def test_answers_in_another_shape_have_a_reason(point: Point, tmp_path: Path, change: Any, why: str) -> None:
    """In words; a base that answers so is none, and no run ends for it."""
    server = Odd(1)
    server.change = change
    base = probed(server, point, tmp_path)
    assert [one.verdict for one in base] == ["not tested"]
    assert why in base[0].why
    assert not (tmp_path / parity_answers.of_base(point.id)).exists()
    probed(FakeServer(0), point, tmp_path)
    head = probed(server, point, tmp_path)
    assert [one.verdict for one in head] == ["failed"]
    assert why in head[0].why


def test_a_base_that_stops_early_is_none(point: Point, tmp_path: Path) -> None:
    """A head that answers all that was asked would be blamed for it."""
    server = Odd(1)

    def shorter(choices: list[dict[str, Any]]) -> None:
        for choice in choices:
            if "logprobs" in choice:
                choice["logprobs"] = {name: said[:3] for name, said in choice["logprobs"].items()}

    server.change = shorter
    found = probed(server, point, tmp_path)
    assert [one.verdict for one in found] == ["not tested"]
    assert "an answer has 3 tokens with log-probabilities, 32 were asked for" in found[0].why


@pytest.mark.parametrize("odd", [float("nan"), float("-inf"), None])
def test_scores_that_are_no_numbers_fail(point: Point, tmp_path: Path, odd: float | None) -> None:
    """Prefill, and not decode, which was fine."""
    probed(FakeServer(0), point, tmp_path)
    server = Odd(1)
    server.change = changed("prompt_logprobs", lambda said: [
        row and {token: {"logprob": odd} for token in row} for row in said
    ])  # fmt: skip
    found = probed(server, point, tmp_path)
    assert [one.verdict for one in found] == ["passed", "failed"]
    assert all(Accuracy.model_validate_json(one.model_dump_json()) == one for one in found)
