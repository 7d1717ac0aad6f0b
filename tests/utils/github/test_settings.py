"""`doctor --github`: settings that no file says, each with what to change."""

from __future__ import annotations

from matrix.errors import Exit
from tests.conftest import Cli
from tests.github.state import REPOSITORY, Fault
from tests.utils.conftest import GitHub
from utils.github import settings
from utils.github.pinned_actions import Pin


def asked(cli: Cli, github: GitHub) -> tuple[int, str]:
    env = {
        "GITHUB_TOKEN": "secret-token",
        "GITHUB_API_URL": github.stand_in.url,
        "GITHUB_REPOSITORY": REPOSITORY,
    }
    done = cli("doctor", "--github", env=env)
    assert "secret-token" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_repository_as_it_should_be(cli: Cli, github: GitHub) -> None:
    """Every line says ok, and there is no advice."""
    code, said = asked(cli, github)
    assert code == 0, said
    assert "BAD" not in said
    assert said.count("ok  ") == 16


def test_each_bad_setting_has_its_advice(cli: Cli, github: GitHub) -> None:
    """And the command fails."""
    github.state.settings = "bad"
    code, said = asked(cli, github)
    assert code == Exit.CHECK_FAILED
    assert said.count("BAD") == 17
    for advice in (
        "read repository contents",
        "allow it",
        "named ones only",
        "all external contributors",
        "Rulesets",
        "lint and test",
        "label servematrix",
        "a workflow of any branch may use them",
        "pinned action actions/checkout",
        "then pin the newest release's commit",
        "Runner groups, octo-runner-group, Workflow access: acme/bench/.github/workflows/sweep.yml@refs/heads/main and",
    ):
        assert advice in said


def test_what_a_token_may_not_see_is_said(github: GitHub) -> None:
    """No guess, and no failure."""
    github.state.faults.append(Fault("GET", "/actions/permissions", 403, times=99))
    found = {one.name: one.good for one in settings.look(github.api, ["servematrix"])}
    assert found["rights of a job's token"] is None
    assert found["runners with the label servematrix"] is True


def test_an_action_that_github_does_not_name_hides_no_other(github: GitHub) -> None:
    """As where it was taken away; the next one is out of date all the same."""
    github.state.settings = "bad"
    used = [Pin("gone/away", "a" * 40, "v1"), Pin("actions/checkout", "b" * 40, "v1.0.0")]
    found = {one.name: one for one in settings.look(github.api, [], used)}
    assert found["pinned action gone/away"].good is None
    assert found["pinned action actions/checkout"].good is False
    assert "v99.0.0" in found["pinned action actions/checkout"].found


def test_runners_of_a_person_have_no_group(github: GitHub) -> None:
    """Nobody asks for one; that every branch may use them is said."""
    github.state.owner, github.state.settings = "User", "bad"
    found = {one.name: one for one in settings.look(github.api, ["servematrix", "mi300x"])}
    assert found["runners in a group"].good is False
    assert found["runners with the label mi300x"].found == "none"
    assert not [call for call in github.state.calls if "/orgs/" in call]


def test_without_a_token_it_says_what_it_wants(cli: Cli) -> None:
    """And of this machine it needs none."""
    assert "GITHUB_TOKEN is not set" in cli("doctor", "--github").stderr
    assert cli("doctor").returncode == 0
