#!/usr/bin/env bash
# Commands of servematrix, to run by hand: what all jobs share, then each job. A job begins when the server of the one before
# has ended; the first one that fails ends the script.
# Run it from the folder that is to have results/. PORT=8001 in front of it takes another port.
if [ -z "${BASH_VERSION:-}" ]; then
  if [ -f "$0" ]; then exec bash "$0" "$@"; fi # sh FILE
  echo "this is a script for bash: give it to bash, not to sh" >&2
  exit 2
fi
set -eu
case ${TMPDIR-} in
*[[:space:]]*) echo "TMPDIR $TMPDIR has a blank in it, and a server that compiles below it may not start; set another one, such as TMPDIR=/tmp" >&2 ;;
esac
from=$PWD
loopback=127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

session() { # the living processes of a session: its leader, and all that it started
  if [ -z "$1" ]; then return 0; fi
  cat /proc/[0-9]*/stat 2>/dev/null |
    awk -v session="$1" '{ pid = $1; sub(/^.*\) /, ""); if ($4 == session && $1 != "Z") print pid }'
}
own_port() { # whether one of them listens on the port
  local sockets pid socket
  sockets=$(awk -v port="$(printf ':%04X' "$port")" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10 }' \
    /proc/net/tcp /proc/net/tcp6 2>/dev/null || true)
  for pid in $(session "$server"); do
    for socket in $sockets; do
      if [ -n "$(find "/proc/$pid/fd" -lname "socket:\[$socket\]" -print -quit 2>/dev/null)" ]; then return 0; fi
    done
  done
  return 1
}
stop() { # client and server end, with all that they started, before anything else begins
  trap - EXIT
  if [ -n "$client" ]; then kill -- "-$client" "$client" 2>/dev/null || true; fi
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
  local leader end=$((SECONDS + 20))
  for leader in $client $server; do
    while kill -0 "$leader" 2>/dev/null && [ "$SECONDS" -lt "$end" ]; do sleep 0.2; done
    kill -KILL -- "-$leader" 2>/dev/null || true # what it left, or all of it after 20 s
    wait "$leader" 2>/dev/null || true
    while [ -n "$(session "$leader")" ]; do sleep 0.2; done
  done
  cd "$from"
  rm -rf "$scratch"
}
fail() {
  echo "$job: $1" >&2
  exit 1
}
load() { # the client, which a signal ends
  setsid env "${both[@]}" "NO_PROXY=$loopback" "no_proxy=$loopback" "$@" &
  client=$!
  wait "$client"
  client=
}
refuse_taken_port() {
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    fail "port $port is taken by another process; end it, or set PORT to another one"
  fi
}
wait_healthy() { # while the server lives, for at most so many seconds; an answer of another program is none
  local end=$((SECONDS + $1))
  until curl -sf --noproxy '*' "$url/health" >/dev/null && own_port; do
    if ! kill -0 "$server" 2>/dev/null; then
      tail -n 30 "$log" >&2
      fail "the server ended before it was ready"
    fi
    if [ "$SECONDS" -ge "$end" ]; then
      tail -n 30 "$log" >&2
      fail "the server was not ready after $1 s"
    fi
    sleep 1
  done
}

# minimaxm3-fp8-mi300x-vllm.tp8-ep8.40c17bcc: the exact commands of this job, to run by hand.
# The harness reads the warm-up's rate and raises --num-prompts of the load where more are needed for the minimum
# duration; lengths and order of the prompts follow from --seed and --num-prompts.
# It also pins the client to the node's last cores (32), and the server to the others (taskset -c).

# On the cluster: allocate, then enter the container; what follows runs inside.
#   salloc --partition=compute-0 --gres=gpu:8 --nodes=1 --cpus-per-task=128 --time=120
#   export XDG_RUNTIME_DIR="/tmp/enroot-runtime-$UID"; mkdir -p -m 0700 "$XDG_RUNTIME_DIR"
#   mkdir -p /tmp/servematrix-by-hand/payload
#   [ -e /raid/inferencex/squash/servematrix-1000/vllm+vllm-openai-rocm+v0.32.0.6829d51f.sqsh ] || enroot import --output /raid/inferencex/squash/servematrix-1000/vllm+vllm-openai-rocm+v0.32.0.6829d51f.sqsh docker://vllm/vllm-openai-rocm:v0.32.0
#   srun --ntasks=1 --overlap --cpus-per-task=128 --container-image=/raid/inferencex/squash/servematrix-1000/vllm+vllm-openai-rocm+v0.32.0.6829d51f.sqsh --container-mounts=/tmp/servematrix-by-hand:/workspace,/raid/inferencex/hf-hub-cache:/mnt/hf_hub_cache:ro,/dev/kfd:/dev/kfd,/dev/dri:/dev/dri --container-workdir=/workspace/payload --no-container-mount-home --container-writable --no-container-remap-root --no-container-entrypoint --pty bash

job=minimaxm3-fp8-mi300x-vllm.tp8-ep8.40c17bcc
port=${PORT:-8000}
url=http://127.0.0.1:$port
out=$from/results/minimaxm3-fp8-mi300x-vllm
scratch=$(mktemp -d)
server=
client=
trap stop EXIT

refuse_taken_port
mkdir -p "$out" "$scratch/home" "$scratch/t"
cd "$scratch/home" # `python -m`, which vLLM starts, imports from there first

# Client and server have an environment of their own over what the image sets; the recipe's variables are the server's.
both=("PATH=$PATH" "HOME=$scratch/home" "TMPDIR=$scratch/t" LANG=C.UTF-8
  PYTHONUNBUFFERED=1 USER=servematrix LOGNAME=servematrix)
both+=("TORCHINDUCTOR_CACHE_DIR=$scratch/home/.cache/inductor")
both+=(HF_HUB_CACHE=/mnt/hf_hub_cache)
if [ -n "${ROCR_VISIBLE_DEVICES:-}" ]; then both+=("HIP_VISIBLE_DEVICES=$ROCR_VISIBLE_DEVICES"); fi
servers=()
servers+=(VLLM_ENGINE_READY_TIMEOUT_S=3600)
servers+=(VLLM_USE_BREAKABLE_CUDAGRAPH=0)

log=$out/tp8-ep8.40c17bcc.server.log
setsid env "${both[@]}" "${servers[@]}" vllm serve MiniMaxAI/MiniMax-M3-MXFP8 \
  --attention-backend TRITON_ATTN \
  --block-size 128 \
  --enable-auto-tool-choice \
  --enable-expert-parallel \
  --no-enable-prefix-caching \
  --language-model-only \
  --max-model-len 9472 \
  --max-num-batched-tokens 32768 \
  --reasoning-parser minimax_m3 \
  --tensor-parallel-size 8 \
  --tool-call-parser minimax_m3 \
  --host 127.0.0.1 \
  --port "$port" >"$log" 2>&1 &
server=$!
echo "$job: the server's log is $log"
wait_healthy 3600
# Some servers are healthy until their first completion.
curl -sSf --noproxy '*' -H 'Content-Type: application/json' -d '{"model": "MiniMaxAI/MiniMax-M3-MXFP8", "prompt": [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36], "max_tokens": 4, "temperature": 0, "ignore_eos": true}' \
  "$url/v1/completions" >/dev/null

# minimaxm3-fp8-mi300x-vllm/8k1k-tp8-ep8-c256: at least 2560 requests and 300 s
mkdir -p "$out"/8k1k-tp8-ep8-c256
load vllm bench serve \
  --backend vllm \
  --host 127.0.0.1 \
  --port "$port" \
  --model MiniMaxAI/MiniMax-M3-MXFP8 \
  --dataset-name random \
  --random-input-len 7373 \
  --random-output-len 922 \
  --random-range-ratio '{"input": 0.11104706, "output": 0.11035792}' \
  --num-prompts 512 \
  --max-concurrency 256 \
  --request-rate inf \
  --ignore-eos \
  --temperature 0 \
  --seed 214606744 \
  --ready-check-timeout-sec 0 \
  --num-warmups 0 \
  --percentile-metrics ttft,tpot,itl,e2el \
  --metric-percentiles 50,90,95,99 \
  --save-result \
  --save-detailed \
  --result-dir "$out"/8k1k-tp8-ep8-c256 \
  --result-filename warmup.json
load vllm bench serve \
  --backend vllm \
  --host 127.0.0.1 \
  --port "$port" \
  --model MiniMaxAI/MiniMax-M3-MXFP8 \
  --dataset-name random \
  --random-input-len 7373 \
  --random-output-len 922 \
  --random-range-ratio '{"input": 0.11104706, "output": 0.11035792}' \
  --num-prompts 2560 \
  --max-concurrency 256 \
  --request-rate inf \
  --ignore-eos \
  --temperature 0 \
  --seed 1681404196 \
  --ready-check-timeout-sec 0 \
  --num-warmups 0 \
  --percentile-metrics ttft,tpot,itl,e2el \
  --metric-percentiles 50,90,95,99 \
  --save-result \
  --save-detailed \
  --result-dir "$out"/8k1k-tp8-ep8-c256 \
  --result-filename load.json
stop
