#!/usr/bin/env bash
#SBATCH --job-name=servematrix/organisation-repository/42/0123456789ab/89abcdef/minimaxm3-layers-h100x4.tp4-ep4/0
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --time=20
#SBATCH --dependency=singleton
#SBATCH --chdir=/
#SBATCH --export=ALL
#SBATCH --output=/home/perf/results/golden/jobs/minimaxm3-layers-h100x4.tp4-ep4.slurm.log
#SBATCH --open-mode=append
#SBATCH --no-requeue
#
# minimaxm3-layers-h100x4.tp4-ep4, attempt 0: 2 points, 2 run(s), each one container start.
# This script stays outside the container. What it says to the launcher are lines of events.jsonl.

set -uo pipefail
umask 077
unset "${!SBATCH_@}" SLURM_JWT
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
work=/tmp/servematrix-1000/258b212fe312   # this job's folder on the node
out=/home/perf/results/golden/jobs/minimaxm3-layers-h100x4.tp4-ep4   # results, which the login node sees
done="$out/done"   # the exit code, once all is over
token=00112233445566ff   # marks what this script says; no container sees it
export TMPDIR=/tmp/servematrix-1000/258b212fe312/outside

main() {
  begin
  outside preflight utils.node.host.ready
  cp "$work/payload/found.json" "$out/found.json" || finish 23 # where no container reaches: the judge compares records with it
  alone
  meter
  trap 'stopped=1 killed=1' TERM INT
  canary canary head
  measure run-0-head head
  measure run-1-head head
  stopped=0 # a signal that comes now cuts nothing off
  finish "$worst"
}

# shellcheck disable=SC2317 # called by its name
in_canary() {
  exec srun \
    --ntasks=1 \
    --overlap \
    --export=HOME=/tmp/servematrix-1000/258b212fe312/scratch,LC_ALL=C.UTF-8,PYTHONDONTWRITEBYTECODE=1,PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --chdir=/tmp/servematrix-1000/258b212fe312/payload sh -c 'if unshare --mount --pid --fork --kill-child --mount-proc true 2>/dev/null; then exec unshare --mount --pid --fork --kill-child --mount-proc "$@"; fi
if unshare --user --map-current-user --mount --pid --fork --kill-child --mount-proc true 2>/dev/null; then exec unshare --user --map-current-user --mount --pid --fork --kill-child --mount-proc "$@"; fi
exec "$@"' sh \
    "$@"
}

# shellcheck disable=SC2317 # called by its name
in_run_0_head() {
  exec srun \
    --ntasks=1 \
    --overlap \
    --export=HOME=/tmp/servematrix-1000/258b212fe312/scratch,LC_ALL=C.UTF-8,PYTHONDONTWRITEBYTECODE=1,PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --chdir=/tmp/servematrix-1000/258b212fe312/payload sh -c 'if unshare --mount --pid --fork --kill-child --mount-proc true 2>/dev/null; then exec unshare --mount --pid --fork --kill-child --mount-proc "$@"; fi
if unshare --user --map-current-user --mount --pid --fork --kill-child --mount-proc true 2>/dev/null; then exec unshare --user --map-current-user --mount --pid --fork --kill-child --mount-proc "$@"; fi
exec "$@"' sh \
    "$@"
}

# shellcheck disable=SC2317 # called by its name
in_run_1_head() {
  exec srun \
    --ntasks=1 \
    --overlap \
    --export=HOME=/tmp/servematrix-1000/258b212fe312/scratch,LC_ALL=C.UTF-8,PYTHONDONTWRITEBYTECODE=1,PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --chdir=/tmp/servematrix-1000/258b212fe312/payload sh -c 'if unshare --mount --pid --fork --kill-child --mount-proc true 2>/dev/null; then exec unshare --mount --pid --fork --kill-child --mount-proc "$@"; fi
if unshare --user --map-current-user --mount --pid --fork --kill-child --mount-proc true 2>/dev/null; then exec unshare --user --map-current-user --mount --pid --fork --kill-child --mount-proc "$@"; fi
exec "$@"' sh \
    "$@"
}

begin() {
  if [ -e "$done" ] && [ "${SLURM_RESTART_COUNT:-0}" -eq 0 ]; then # the same job, submitted twice: what the first one left is what is wanted
    read -r code mark <"$done"
    [ "$mark" != "$token" ] || exit "$code"
  fi
  clear_away "$work"
  if [ -s "$out/events.jsonl" ]; then # Slurm started this job again: what broke off is kept, and is not judged
    mkdir -p /home/perf/results/golden/broken/minimaxm3-layers-h100x4.tp4-ep4.0 && echo '{"why": "Slurm started the job again"}' >/home/perf/results/golden/broken/minimaxm3-layers-h100x4.tp4-ep4.0/broken.json || exit 23 # before there is anything to judge
    mv "$out" /home/perf/results/golden/broken/minimaxm3-layers-h100x4.tp4-ep4.0"/start-${SLURM_RESTART_COUNT:-0}" || exit 23
  fi
  if ! { mkdir -p "$work/"{payload,outside,image,scratch,meter} "$out" && : >>"$out/events.jsonl"; }; then
    echo "servematrix: $work or $out cannot be made on $(hostname)" >&2
    exit 23
  fi
  say '"kind":"begin","name":"%s","facts":{"attempt":0,"slurm":%d,"restarts":%d}' \
    "${SLURMD_NODENAME:-}" "${SLURM_JOB_ID:-0}" "${SLURM_RESTART_COUNT:-0}"
  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
    say '"kind":"check","name":"python","text":"slurm.python of the cluster file is missing on this node, or older than Python 3.9","facts":{"passed":false}'
    finish 20
  fi
  payload 2>"$out/payload.log" | tar -xz -C "$work/payload" 2>>"$out/payload.log" || finish 26
}

outside() { # a name, and a module of ours that runs outside the container
  (cd "$work/payload" && SERVEMATRIX_TOKEN=$token exec python3 -s -m "$2" /tmp/servematrix-1000/258b212fe312/payload/host.json found.json) \
    >>"$out/events.jsonl" 2>"$out/$1.log" || finish "$?"
}

alone() { # keeps other runs off this job's cores and GPUs until it ends, and waits for one that is there
  (cd "$work/payload" && SERVEMATRIX_TOKEN=$token exec python3 -s -m utils.node.host.machine_lock "$work/alone") \
    >>"$out/events.jsonl" 2>"$out/alone.log" &
  holds=$!
  until [ -e "$work/alone" ] || ! kill -0 "$holds" 2>/dev/null; do sleep 0.1; done
}

meter() { # samples power outside of every container: what runs inside reads them, and writes none
  (cd "$work/payload" && exec python3 -s -m utils.node.host.meter cuda "$work/meter/power.csv" "$out/power.csv") \
    >/dev/null 2>"$out/meter.log" &
  meter=$!
}

start() { # a run's name, and its arm
  [ "$stopped" -eq 0 ] || finish 130 # the signal came between two runs, and none of them could say so
  mkdir -p "$work/box/$1" "$out/$1" || finish 23
  # What its arm's canary compiled, as a copy: no run changes what the next one starts with, and no arm sees the other's.
  if [ -d "$work/caches/$2" ]; then
    { mkdir "$work/box/$1/caches" && cp -R "$work/caches/$2" "$work/box/$1/caches/$2"; } || finish 23
  fi
  say '"kind":"srun","name":"%s"' "$1"
  # TMPDIR is set inside: slurmstepd would make it outside, and sets another one where it cannot. The first thing inside says that it is there; what is said inside and what is said outside are different evidence.
  # shellcheck disable=SC2016 # the inner shell expands this
  "in_${1//-/_}" sh -c ': >"$1/started" && exec 2>"$1/stderr.log" && export TMPDIR="$2" && shift 2 && exec "$@"' sh "$out/$1" /tmp/servematrix-1000/258b212fe312/scratch \
    python3 -s -m utils.node /tmp/servematrix-1000/258b212fe312/payload"/$1.json" /tmp/servematrix-1000/258b212fe312/payload/found.json \
    >>"$out/events.jsonl" 2>"$out/$1.srun.log" &
  local run=$!
  wait "$run"
  code=$?
  while kill -0 "$run" 2>/dev/null; do # a signal ended the wait, not the run
    wait "$run"
    code=$?
  done
  gone "$out/$1/stderr.log"
  [ "$(tail -c 1 "$out/events.jsonl" | wc -l)" -eq 1 ] || echo >>"$out/events.jsonl" # what was being said is no part of the next line
  say '"kind":"srun","name":"%s","facts":{"exit":%d}' "$1" "$code"
}

gone() { # srun can end before its task, when Slurm ends the step: what still runs would write into folders that are cleared away next
  # The task holds a lock on it, as do its children. They may put a link or a pipe in its place at any moment: none is followed, nor waited for.
  timeout 20 python3 -I -c 'import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK), fcntl.LOCK_EX)' "$1" 2>/dev/null
}

canary() { # the smallest point on a server that nobody judges: it fails early, and fills its arm's compile caches
  start "$1" "$2"
  [ "$code" -eq 0 ] || [ "$code" -eq 42 ] || finish "$code"
  local made=$work/box/$1/caches
  if [ ! -L "$made" ] && [ ! -L "$made/$2" ] && [ -d "$made/$2" ]; then # a link could lead out of the job's folder
    mkdir -p "$work/caches" && mv "$made/$2" "$work/caches/$2"
  fi
  clear_away "$work/box/$1"
}

witness() { # asks a run's server what it counted, outside of its container; the judge compares the run's own words with it
  (cd "$work/payload" && exec python3 -s -m utils.node.host.witness "$out/$1" "$out/$1.metrics.csv") >/dev/null 2>>"$out/witness.log" &
  witness=$!
}

measure() {
  witness "$1"
  start "$1" "$2"
  beside "$witness" "what asks the server of $1 what it counted"
  [ -z "$meter" ] || beside "$meter" 'the meter of power'
  end "$witness"
  witness=''
  clear_away "$work/box/$1"
  [ "$code" -le "$worst" ] || worst=$code
  # What does not start now does not start next time; the rest would only take long to say so.
  if [ "$stuck" -eq 1 ] || [ "$code" -gt 42 ] || { [ "$code" -gt 0 ] && [ "$code" -lt 33 ]; }; then finish "$code"; fi
}

beside() { # a program of ours that ran beside a run: what ended it, if it did not end by itself, may be the run's own code
  [ "$stopped" -eq 1 ] || kill -0 "$1" 2>/dev/null || wait "$1" || say '"kind":"note","text":"%s was ended by something else; nothing that it would have seen is there"' "$2"
}

end() { # also what somebody stopped: a run of the same user can, and would be waited for
  { kill "$1" && kill -CONT "$1" && wait "$1"; kill -0 "$1" && wait "$1"; } 2>/dev/null # a signal cuts one wait off
}

finish() { # the exit code; once a signal came, what failed was ended by it, such as a copy that says nothing of the disk
  trap 'killed=1' TERM INT
  if [ "$stopped" -eq 1 ]; then # whoever finds no last word of a job that was ended clears away what is left
    trap '' TERM INT
    killed=0
    set -- 130
  fi
  [ -z "$witness" ] || end "$witness"
  [ -z "$meter" ] || end "$meter"
  [ -z "$holds" ] || end "$holds"
  [ ! -s "$out/power.csv" ] || gzip -f "$out/power.csv"
  cd /
  local left=("$work")
  [ "$killed" -eq 1 ] || chmod -R u+rwX "${left[@]}" 2>/dev/null
  [ "$killed" -eq 1 ] || rm -rf "${left[@]}"
  trap '' TERM INT
  if [ "$killed" -eq 1 ]; then # the job is killed soon: what was measured counts for more than a folder that is left
    timeout -s KILL 4 chmod -R u+rwX "${left[@]}" 2>/dev/null
    timeout -s KILL 4 rm -rf "${left[@]}"
  fi
  say '"kind":"end","name":"job","facts":{"exit":%d}' "$1"
  echo "$1 $token" >"$done.part" && mv "$done.part" "$done"
  exit "$1"
}

clear_away() { # also folders that a run closed behind itself
  chmod -R u+rwX "$@" 2>/dev/null
  rm -rf "$@"
}

say() { # a format of ours with values that Slurm made
  local format=$1
  shift
  # shellcheck disable=SC2059 # the format is a constant of this script
  printf "{\"token\":\"$token\",$format}\n" "$@" >>"$out/events.jsonl"
}

payload() {
  base64 -d <<'PAYLOAD'
cGF5bG9hZCBvZiB0aGlzIGpvYgo=
PAYLOAD
}

worst=0 stopped=0 killed=0 stuck=0 code=0 mark='' holds='' meter='' witness=''
main
