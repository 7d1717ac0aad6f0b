"""A record's file: written whole, read in every version that there ever was."""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from matrix.errors import WORTH_ANOTHER_TRY, Exit, HarnessError
from utils.node import record
from utils.node.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

MOST = 20_000_000
"""Bytes of a record: of a kernel with counts of many sizes, some hundred thousand."""


def save(one: record.Record, folder: Path) -> Path:
    """Write a record into its folder."""
    path = folder / record.FILE
    write_whole(path, (one.model_dump_json(indent=1) + "\n").encode())
    return path


def read(path: Path) -> record.Record:
    """Read a record.

    Raises:
        HarnessError: RECORD_UNREADABLE, with the place where it stops being a record.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(
                os.fstat(file.fileno()).st_mode
            ):  # a guest may have left anything, links and pipes too
                raise HarnessError(
                    Exit.RECORD_UNREADABLE, f"{path} is not a file; name the folder that a run wrote"
                )
            content = file.read(MOST + 1)
            if len(content) > MOST:
                raise HarnessError(
                    Exit.RECORD_UNREADABLE,
                    f"{path} is larger than the {MOST:,} bytes of a record; measure the point again, or take the file away",
                )
            return record.Record.model_validate(migrated(_body(content.decode("utf-8-sig"))))
    except OSError as error:
        raise HarnessError(
            Exit.RECORD_UNREADABLE,
            f"{path} cannot be read: {error.strerror}; name the folder that a run wrote",
        ) from error
    except json.JSONDecodeError as error:
        raise HarnessError(
            Exit.RECORD_UNREADABLE,
            f"{path}:{error.lineno}:{error.colno}: not a whole record ({error.msg}); "
            "it was cut short or changed by hand: measure the point again, or take the file away",
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise HarnessError(
            Exit.RECORD_UNREADABLE,
            f"{path}: not a record of version 1 to {record.SCHEMA}: {where}: {first['msg']}; a newer servematrix may have written it: update this one",
        ) from error
    except (ValueError, LookupError, RecursionError, AttributeError, TypeError, OverflowError) as error:
        raise HarnessError(
            Exit.RECORD_UNREADABLE,
            f"{path}: not a record ({type(error).__name__}); take the file away, or measure the point again",
        ) from error


def _body(text: str) -> Any:  # noqa: ANN401 - JSON
    r"""Raises ValueError also for half of a letter, which JSON may name (`\ud800`), and no file, no comment and no other JSON can hold."""
    body = json.loads(text)
    if re.search(r"\\u[dD]", text):
        json.dumps(body, ensure_ascii=False).encode()
    return body


def migrated(content: dict[str, Any]) -> dict[str, Any]:
    """A record's content in today's version; what is not known of an old one stays at its default."""
    if content.get("schema_version", 1) != 1:
        return content
    content = {**content, "schema_version": record.SCHEMA}
    if failure := content.get("failure"):
        cancelled = failure["reason"] == Exit.CANCELLED.name
        retry = failure["reason"] in {code.name for code in WORTH_ANOTHER_TRY}
        content["failure"] = {**failure, "retry": retry}
        content["status"] = "cancelled" if cancelled else content["status"]
    return content
