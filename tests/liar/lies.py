"""The lies, in the order of their points, and what catches each with the real client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lie:
    """One point's."""

    name: str
    does: str
    gate: str = ""
    """That calls the point invalid; empty for an honest one, and where a note is all."""
    note: str = ""
    """Words of the note."""
    brief: bool = False
    """Short outputs are enough for it."""


LIES = (
    Lie("honest", "nothing: the control before all lies"),
    Lie("stall", "no token for 5 s in the middle of the load", "silence"),
    Lie("stop", "the server is stopped by SIGSTOP for 5.5 s, as a suspended job's", "silence"),
    Lie("hiccup", "no token for 0.5 s, where 20 ms are usual", "silence"),
    Lie("decay", "each token takes longer, to about five times as long at the end", "evenness"),
    Lie("slow-half", "six times slower over the first half of the requests", "evenness"),
    Lie("empty-first", "an empty first answer at once; two tokens come in one answer later", "first_token"),
    Lie(
        "unstreamed",
        "4 % of the tokens are counted and never streamed",
        note="no streamed answer of their own",
    ),
    Lie("burst-first", "the first 10 tokens come in one answer", "chunks"),
    Lie("half-chunks", "two tokens in each answer", "chunks"),
    Lie("late-usage", "the answer's end comes 200 ms after its last token", "littles_law"),
    Lie("refuses", "one request in forty is answered 503", "requests_complete"),
    Lie("cache", "a prefix cache that admits its hits", "prefix_cache"),
    Lie("restart-words", "'worker came back, re-initialized' in the log, within the load", "server_log"),
    Lie("warm-up-error", "an error in the log, within the warm-up, without a traceback", "server_log"),
    Lie("counters-back", "counters begin again at 0 before the point", "one_engine"),
    Lie("cached", "one request in four is answered at once, from a cache", "same_pace", brief=True),
    Lie("stutters", "no token for 0.2 s, again and again, where 20 ms are usual", "short_stalls", brief=True),
    Lie("collected", "something collects answers and hands them on by eight", "one_by_one", brief=True),
    Lie(
        "early",
        "an empty first answer 10 ms before the engine's first token, as many answers as tokens",
        "engine_times",
        brief=True,
    ),
    Lie("dead-engine", "one of two engines finishes no request", "every_engine", brief=True),
    Lie(
        "forgets",
        "counters forget what they counted in the first half of the warm-up",
        "one_engine",
        brief=True,
    ),
    Lie("starved", "one of two engines finishes a tenth of the requests", note="unequal shares", brief=True),
    Lie(
        "half-restart",
        "one of two engines begins again in the load, and the sum of both counters goes on rising",
        "server_counts",
        brief=True,
    ),
    Lie("twice", "each answer comes twice", "chunks", brief=True),
    Lie("one-short", "one request ends a token early", "output_lengths", brief=True),
    Lie("cut", "one connection breaks in the middle of an answer", "requests_complete", brief=True),
    Lie(
        "error-event",
        "one answer ends with an error instead of tokens, after status 200",
        "server_counts",
        brief=True,
    ),
    Lie("no-answer", "one request is answered 200, and without any token", "requests_complete", brief=True),
    Lie(
        "hangs",
        "one request in ten waits 1.5 s in its middle, while others get tokens",
        "same_pace",
        brief=True,
    ),
    Lie(
        "front-queue",
        "requests wait 0.25 s before the engine knows of them",
        note="outside of the engine",
        brief=True,
    ),
    Lie(
        "floods",
        "40 MB in the log within the load",
        note="of the server's log were not looked at",
        brief=True,
    ),
    Lie("stale", "/metrics stays as it was before the load", "server_counts", brief=True),
    Lie("engine-ms", "the engine counts milliseconds as seconds", "engine_times", brief=True),
    Lie("new-start", "another process_start_time_seconds from here on", "one_engine"),
)
"""What the last one does stays so, which is why it is the last."""
