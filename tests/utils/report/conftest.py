"""Pages in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.utils.report.generated import generated, write
from utils.pipeline.judge import judged
from utils.report.make import make
from utils.results.collect import placed

H100 = ROOT / "kernels/minimax_m3_ep/results/2026-11-26-h100-server"
CHROMIUM = "chromium"
PRICES = """\
- {device: H100, owner: rented, usd_per_hour: 2.5, source: invented for a test, date: 2026-11-26}
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One for all tests."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is in requirements/dev.lock")
    path = shutil.which(CHROMIUM)
    assert path, "chromium is in requirements/debian.txt: ./servematrix test installs it"
    with sync_api.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture(scope="session")
def h100(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of real records: a pair on two H100s, one run an arm."""
    found = placed([H100])
    sides = [[one for one, _ in found if one.arm == arm] for arm in ("base", "head")]
    out = tmp_path_factory.mktemp("h100")
    return make(found, judged(sides[0], sides[1], out / "ledger.jsonl", ROOT), None, out, lambda _: None)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 192 generated records, with prices."""
    from utils.report import prices

    folder = tmp_path_factory.mktemp("many")
    (folder / "prices.yaml").write_text(PRICES)
    found = write(generated(192), folder / "records")
    return make(found, None, prices.read(folder / "prices.yaml"), folder / "out", lambda _: None)


Opened = Callable[..., Any]


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    """Open a page; it may say nothing on the console and ask nothing of a network."""
    contexts: list[Any] = []
    said: list[str] = []

    def open_(path: Path, width: int = 1280, **more: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **more)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "blob:")) else said.append(request.url),
        )
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []
