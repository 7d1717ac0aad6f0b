"""What each gate cannot see, for docs/gates.md: a reader of figures should know what was not checked."""

from __future__ import annotations

CANNOT_SEE = {
    "requests_complete": "a request that completed with a wrong answer",
    "output_lengths": "tokens that were counted and never made; `stream` looks for them in one completion",
    "input_lengths": "prompts of the right lengths that are not random",
    "server_counts": "a server whose counters and `usage` tell the same lie",
    "itl_sum": "a clock that is wrong everywhere alike",
    "chunks": "up to a tenth of the tokens without an answer of their own, which is a note from 2 % on or where every request lacks one; which tokens they were; an empty answer for each token that has none, so that counts are the same",
    "stream": "a server that is honest to this one completion and not to the load; the chat endpoint; a server that sends no ids of tokens",
    "first_token": "an empty first answer in the second half of a prompt's time; one where decoding takes longer than the prompt; one in fewer than a fifth of the requests. From a fifth to three in ten it is a note",
    "span": "idle time inside of the load, which `littles_law` checks",
    "node_clock": "a node whose own clock is wrong",
    "littles_law": "a loop that is full of something else, such as a stall, which counts as latency",
    "silence": "a stall of less than a quarter of a second, or of less than 2.5 times what is usual; of some requests while others get tokens",
    "evenness": "a first wave that is slow while its prompts are taken in, or whose first answer ends before its last prompt is in; decay of less than 15 %; anything in loads without a steady window",
    "reported_means": "a client whose rows are wrong themselves",
    "prefix_cache": "a cache that does not count its hits; only its speed would show it",
    "preemptions": "fewer than one in ten, which are in the record",
    "client_limited": "a client that waits for memory or for the kernel, not for its core",
    "machine_busy": "memory bandwidth and caches that others use; processes of a virtual machine's host, except for steal; waits for disks, which a server under load does not use; a quota of processor time that the run's own container has; load average and the pressure on cores, which are in the record without a bound. A server on all its cores causes both by itself (0.72 to 0.78 on CPUs where others used less than 5 %), and what others use of these cores is in their share",
    "devices_own": "who uses the devices where no meter runs, for less than five seconds, or from another container; on AMD cards why clocks were lowered",
    "server_alive": "a server that ended and was started again by itself, which `one_engine` checks",
    "one_engine": "an engine that begins again within its process and keeps its counters",
    "server_log": "what was not logged, or not as an error, a traceback or a restart",
    "jit": "compilers that write neither into the log nor a file into a cache that is known; `evenness` sees what they cost if it is much",
    "kernel_path": "what an honest marker does not count; points without a kernel have none",
    "same_pace": "answers from a cache where all requests have them, or where none runs beside them (a concurrency of 1); waits for a first answer; requests of fewer than eight answers; up to one in twenty requests, from one in a hundred on with a note",
    "one_by_one": "something that collects answers and hands them on more than a quarter of a millisecond apart; tokens that come in one answer, which `chunks` counts",
    "engine_times": "an engine that does not say it, or says less than it was; an early answer in few requests, or by less than what lies between client and engine anyway; time between engine and client of less than a quarter of the latency, which is not even a note: a queue in the server's front, a proxy, a client that waits",
    "every_engine": "engines behind several servers, of which each has a page of its own; a concurrency below two for each engine; whether they are alike, but for a note where one finished less than half of its share",
}
