#!/usr/bin/env bash
#SBATCH --job-name=servematrix/organisation-repository/42/0123456789ab/89abcdef/minimaxm3-fp8-mi300x-vllm-aiter.tp8-ep8/0
#SBATCH --partition=compute-0
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gres=gpu:8
#SBATCH --cpus-per-task=128
#SBATCH --time=94
#SBATCH --dependency=singleton
#SBATCH --chdir=/
#SBATCH --export=ALL
#SBATCH --output=/tmp/servematrix-e928c084d3ce.log
#SBATCH --open-mode=append
#SBATCH --no-requeue
#
# minimaxm3-fp8-mi300x-vllm-aiter.tp8-ep8, attempt 0: 1 points, 2 run(s), each one container start.
# This script stays outside the container. What it says to the launcher are lines of events.jsonl.

set -uo pipefail
umask 077
unset "${!SBATCH_@}" SLURM_JWT
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
work=/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce   # this job's folder on the node
out=/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/results   # results, which wait here until they are fetched
done="$work/done"   # the exit code, once all is over
token=00112233445566ff   # marks what this script says; no container sees it
export TMPDIR=/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/outside
export ENROOT_TEMP_PATH=/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/outside
export ENROOT_CACHE_PATH=/raid/inferencex/squash/servematrix-1000/layers
export XDG_RUNTIME_DIR=/tmp/enroot-runtime-1000

main() {
  begin
  outside preflight utils.node.host.ready
  outside image utils.node.host.image # vllm/vllm-openai-rocm:v0.32.0
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
    --cpus-per-task=128 \
    --export=HOME=/workspace/own,LC_ALL=C.UTF-8,PYTHONDONTWRITEBYTECODE=1 \
    --container-image=/raid/inferencex/squash/servematrix-1000/vllm+vllm-openai-rocm+v0.32.0.6829d51f.sqsh \
    --container-mounts=/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/box/canary:/workspace,/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/results/canary:/workspace/results,/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/meter:/workspace/meter:ro,/raid/inferencex/hf-hub-cache:/mnt/hf_hub_cache:ro,/dev/kfd:/dev/kfd,/dev/dri:/dev/dri \
    --container-workdir=/workspace/payload \
    --no-container-mount-home \
    --container-writable \
    --no-container-remap-root \
    --no-container-entrypoint \
    "$@"
}

# shellcheck disable=SC2317 # called by its name
in_run_0_head() {
  exec srun \
    --ntasks=1 \
    --overlap \
    --cpus-per-task=128 \
    --export=HOME=/workspace/own,LC_ALL=C.UTF-8,PYTHONDONTWRITEBYTECODE=1 \
    --container-image=/raid/inferencex/squash/servematrix-1000/vllm+vllm-openai-rocm+v0.32.0.6829d51f.sqsh \
    --container-mounts=/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/box/run-0-head:/workspace,/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/results/run-0-head:/workspace/results,/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/meter:/workspace/meter:ro,/raid/inferencex/hf-hub-cache:/mnt/hf_hub_cache:ro,/dev/kfd:/dev/kfd,/dev/dri:/dev/dri \
    --container-workdir=/workspace/payload \
    --no-container-mount-home \
    --container-writable \
    --no-container-remap-root \
    --no-container-entrypoint \
    "$@"
}

# shellcheck disable=SC2317 # called by its name
in_run_1_head() {
  exec srun \
    --ntasks=1 \
    --overlap \
    --cpus-per-task=128 \
    --export=HOME=/workspace/own,LC_ALL=C.UTF-8,PYTHONDONTWRITEBYTECODE=1 \
    --container-image=/raid/inferencex/squash/servematrix-1000/vllm+vllm-openai-rocm+v0.32.0.6829d51f.sqsh \
    --container-mounts=/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/box/run-1-head:/workspace,/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/results/run-1-head:/workspace/results,/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/meter:/workspace/meter:ro,/raid/inferencex/hf-hub-cache:/mnt/hf_hub_cache:ro,/dev/kfd:/dev/kfd,/dev/dri:/dev/dri \
    --container-workdir=/workspace/payload \
    --no-container-mount-home \
    --container-writable \
    --no-container-remap-root \
    --no-container-entrypoint \
    "$@"
}

# shellcheck disable=SC2317 # called by its name
in_canary_server() {
  exec srun \
    --ntasks=1 \
    --overlap \
    --cpus-per-task=128 \
    --export=HOME=/workspace/scratch,LC_ALL=C.UTF-8,PYTHONDONTWRITEBYTECODE=1 \
    --container-image=/raid/inferencex/squash/servematrix-1000/vllm+vllm-openai-rocm+v0.32.0.6829d51f.sqsh \
    --container-mounts=/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/box/server.canary:/workspace,/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/box/canary/scratch:/workspace/scratch,/raid/inferencex/hf-hub-cache:/mnt/hf_hub_cache:ro,/dev/kfd:/dev/kfd,/dev/dri:/dev/dri \
    --container-workdir=/workspace/payload \
    --no-container-mount-home \
    --container-writable \
    --no-container-remap-root \
    --no-container-entrypoint \
    "$@"
}

# shellcheck disable=SC2317 # called by its name
in_run_0_head_server() {
  exec srun \
    --ntasks=1 \
    --overlap \
    --cpus-per-task=128 \
    --export=HOME=/workspace/scratch,LC_ALL=C.UTF-8,PYTHONDONTWRITEBYTECODE=1 \
    --container-image=/raid/inferencex/squash/servematrix-1000/vllm+vllm-openai-rocm+v0.32.0.6829d51f.sqsh \
    --container-mounts=/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/box/server.run-0-head:/workspace,/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/box/run-0-head/scratch:/workspace/scratch,/raid/inferencex/hf-hub-cache:/mnt/hf_hub_cache:ro,/dev/kfd:/dev/kfd,/dev/dri:/dev/dri \
    --container-workdir=/workspace/payload \
    --no-container-mount-home \
    --container-writable \
    --no-container-remap-root \
    --no-container-entrypoint \
    "$@"
}

# shellcheck disable=SC2317 # called by its name
in_run_1_head_server() {
  exec srun \
    --ntasks=1 \
    --overlap \
    --cpus-per-task=128 \
    --export=HOME=/workspace/scratch,LC_ALL=C.UTF-8,PYTHONDONTWRITEBYTECODE=1 \
    --container-image=/raid/inferencex/squash/servematrix-1000/vllm+vllm-openai-rocm+v0.32.0.6829d51f.sqsh \
    --container-mounts=/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/box/server.run-1-head:/workspace,/raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/box/run-1-head/scratch:/workspace/scratch,/raid/inferencex/hf-hub-cache:/mnt/hf_hub_cache:ro,/dev/kfd:/dev/kfd,/dev/dri:/dev/dri \
    --container-workdir=/workspace/payload \
    --no-container-mount-home \
    --container-writable \
    --no-container-remap-root \
    --no-container-entrypoint \
    "$@"
}

begin() {
  if [ -e "$done" ] && [ "${SLURM_RESTART_COUNT:-0}" -eq 0 ]; then # the same job, submitted twice: what the first one left is what is wanted
    read -r code mark <"$done"
    [ "$mark" != "$token" ] || exit "$code"
  fi
  clear_away "$work"
  if ! { mkdir -p "$work/"{payload,outside,image,scratch,meter,server/image} "$out" && : >>"$out/events.jsonl"; }; then
    echo "servematrix: $work or $out cannot be made on $(hostname)" >&2
    exit 23
  fi
  say '"kind":"begin","name":"%s","facts":{"attempt":0,"slurm":%d,"restarts":%d}' \
    "${SLURMD_NODENAME:-}" "${SLURM_JOB_ID:-0}" "${SLURM_RESTART_COUNT:-0}"
  { mkdir -p "$XDG_RUNTIME_DIR" && chmod 0700 "$XDG_RUNTIME_DIR"; } || finish 20
  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
    say '"kind":"check","name":"python","text":"slurm.python of the cluster file is missing on this node, or older than Python 3.9","facts":{"passed":false}'
    finish 20
  fi
  payload 2>"$out/payload.log" | tar -xz -C "$work/payload" 2>>"$out/payload.log" || finish 26
}

outside() { # a name, and a module of ours that runs outside the container
  (cd "$work/payload" && SERVEMATRIX_TOKEN=$token exec python3 -s -m "$2" /raid/inferencex/squash/servematrix-spool-1000/e928c084d3ce/payload/host.json found.json) \
    >>"$out/events.jsonl" 2>"$out/$1.log" || finish "$?"
}

alone() { # keeps other runs off this job's cores and GPUs until it ends, and waits for one that is there
  (cd "$work/payload" && SERVEMATRIX_TOKEN=$token exec python3 -s -m utils.node.host.machine_lock "$work/alone") \
    >>"$out/events.jsonl" 2>"$out/alone.log" &
  holds=$!
  until [ -e "$work/alone" ] || ! kill -0 "$holds" 2>/dev/null; do sleep 0.1; done
}

meter() { # samples power outside of every container: what runs inside reads them, and writes none
  (cd "$work/payload" && exec python3 -s -m utils.node.host.meter rocm "$work/meter/power.csv" "$out/power.csv") \
    >/dev/null 2>"$out/meter.log" &
  meter=$!
}

start() { # a run's name, and its arm
  [ "$stopped" -eq 0 ] || finish 130 # the signal came between two runs, and none of them could say so
  # Folders that no run before could have touched: nothing in them leads elsewhere, and the code is as it was sent.
  mkdir -p "$work/box/$1/"{scratch,agreed,results,meter,own} "$out/$1" || finish 23
  cp -R "$work/payload" "$work/box/$1/payload" || finish 23
  mkdir -p "$work/box/server.$1/"{scratch,results} || finish 23
  cp -R "$work/payload" "$work/box/server.$1/payload" || finish 23
  [ ! -e "$out/"requests.json ] || cp "$out/"requests.json "$work/box/$1/agreed/" || finish 23
  # What its arm's canary compiled, as a copy: no run changes what the next one starts with, and no arm sees the other's.
  if [ -d "$work/caches/$2" ]; then
    { mkdir "$work/box/$1/caches" && cp -R "$work/caches/$2" "$work/box/$1/caches/$2"; } || finish 23
  fi
  say '"kind":"srun","name":"%s"' "$1"
  # Recorder and load client; the server has a container of its own, beside the arm's code, which sees nothing of what is recorded.
  # shellcheck disable=SC2016 # the inner shell expands this
  "in_${1//-/_}" sh -c ': >"$1/started" && exec 2>"$1/stderr.log" && export TMPDIR="$2" && shift 2 && exec "$@"' sh /workspace/results /workspace/own \
    python3 -s -m utils.node /workspace/payload"/$1.json" /workspace/payload/found.json \
    >>"$out/events.jsonl" 2>"$out/$1.load.log" &
  local run=$!
  serve "$1" "$run"
  wait "$run"
  code=$?
  while kill -0 "$run" 2>/dev/null; do # a signal ended the wait, not the run
    wait "$run"
    code=$?
  done
  gone "$out/$1/stderr.log"
  ended "$work/box/server.$1/results/stderr.log"
  take "$work/box/server.$1/results" stderr.log "$out/$1.server.log" # what it said; nothing else that it left is anybody's result
  [ "$(tail -c 1 "$out/events.jsonl" | wc -l)" -eq 1 ] || echo >>"$out/events.jsonl" # what was being said is no part of the next line
  say '"kind":"srun","name":"%s","facts":{"exit":%d}' "$1" "$code"
}

serve() { # a run's name, and the process that waits for its server: what the server needs is prepared before anything of the arm's begins
  until [ -e "$work/box/$1/ready" ] || ! kill -0 "$2" 2>/dev/null; do sleep 0.1; done
  if [ ! -e "$work/box/$1/ready" ]; then return; fi
  (
    trap 'kill "$served" 2>/dev/null' TERM
    # All that is said inside goes to a file there: srun's own words are other evidence.
    # shellcheck disable=SC2016 # the inner shell expands this
    "in_${1//-/_}_server" sh -c 'exec 2>"$1/stderr.log" >&2 && export TMPDIR="$2" && shift 2 && exec "$@"' sh /workspace/results /workspace/scratch \
      python3 -s -m utils.node.vllm.server_host /workspace/scratch/server.sock >"$out/$1.srun.log" 2>&1 &
    served=$!
    wait "$served"
    status=$?
    while kill -0 "$served" 2>/dev/null; do wait "$served"; done
    echo "$status" >"$work/box/$1/server-ended"
  ) &
  server=$!
}

ended() { # the run has closed its side, so that its server's container ends by itself, or is ended
  if [ -z "$server" ]; then return; fi
  for _ in {1..300}; do
    kill -0 "$server" 2>/dev/null || break
    sleep 0.2
  done
  { kill "$server" && kill -CONT "$server"; } 2>/dev/null
  for _ in {1..100}; do
    kill -0 "$server" 2>/dev/null || break
    sleep 0.2
  done
  if kill -0 "$server" 2>/dev/null; then # it takes no signal, and no run shall begin beside it: the end of the job ends it
    say '"kind":"note","text":"the container of a server does not end; the job ends"'
    stuck=1
    { [ "$code" -ge 33 ] && [ "$code" -ne 42 ]; } || code=33
    return
  fi
  wait "$server"
  server=''
  gone "$1"
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
  clear_away "$work/box/$1" "$work/box/server.$1"
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
  agree "$work/box/$1/agreed" requests.json # the first run alone decides how many requests each point has
  clear_away "$work/box/$1" "$work/box/server.$1"
  [ "$code" -le "$worst" ] || worst=$code
  # What does not start now does not start next time; the rest would only take long to say so.
  if [ "$stuck" -eq 1 ] || [ "$code" -gt 42 ] || { [ "$code" -gt 0 ] && [ "$code" -lt 33 ]; }; then finish "$code"; fi
}

agree() { # a run's folder, and names: what it left there for the runs after it goes to where no container writes, once
  local from=$1 one
  shift
  for one; do
    [ -e "$out/$one" ] || take "$from" "$one" "$out/$one"
  done
}

take() { # a folder that a container can write to, a name in it, and where a copy goes: of a file alone, through no link, and of a bounded size
  if [ ! -L "$1" ] && [ ! -L "$1/$2" ] && [ -f "$1/$2" ] && [ "$(stat -c %s "$1/$2")" -le 50000000 ]; then
    # What a process that still runs put in its place meanwhile is no file, and what broke off is no copy.
    if timeout 60 cp -P "$1/$2" "$3.part" && [ ! -L "$3.part" ] && [ -f "$3.part" ]; then
      mv "$3.part" "$3"
    else
      rm -f "$3.part"
      say '"kind":"note","text":"the copy of %s broke off, and is left out"' "$2"
    fi
  fi
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
  local left=("$work/box" "$work/caches" "$work/outside" "$work/image" "$work/scratch" "$work/meter" "$work/server")
  [ "$killed" -eq 1 ] || chmod -R u+rwX "${left[@]}" 2>/dev/null
  [ "$killed" -eq 1 ] || rm -rf "${left[@]}"
  trap '' TERM INT
  if [ "$killed" -eq 1 ]; then # the job is killed soon: what was measured counts for more than a folder that is left
    timeout -s KILL 4 chmod -R u+rwX "${left[@]}" 2>/dev/null
    timeout -s KILL 4 rm -rf "${left[@]}"
  fi
  say '"kind":"end","name":"job","facts":{"exit":%d}' "$1"
  echo "$1 $token" >"$done.part" && mv "$done.part" "$done"
  if [ -e "$work/follower.lock" ]; then flock -w 45 "$work/follower.lock" true 2>/dev/null; fi
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

worst=0 stopped=0 killed=0 stuck=0 code=0 mark='' holds='' meter='' witness='' server=''
main
