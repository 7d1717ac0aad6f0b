#!/usr/bin/env bash
# minimaxm3-fp8-mi300x-vllm.tp8-ep8.40c17bcc: the exact commands of this job, to run by hand.
# The harness reads the warm-up's rate and raises --num-prompts of the load where more are needed for the minimum
# duration; lengths and order of the prompts follow from --seed and --num-prompts.
# It also pins the client to the node's last cores (32), and the server to the others (taskset -c).
set -eu

# On the cluster: allocate, then enter the container; what follows runs inside.
#   salloc --partition=compute-0 --gres=gpu:8 --nodes=1 --cpus-per-task=128 --time=120
#   export XDG_RUNTIME_DIR="/tmp/enroot-runtime-$UID"; mkdir -p -m 0700 "$XDG_RUNTIME_DIR"
#   mkdir -p /tmp/servematrix-by-hand/payload
#   [ -e /raid/inferencex/squash/servematrix-1000/vllm+vllm-openai-rocm+v0.32.0.6829d51f.sqsh ] || enroot import --output /raid/inferencex/squash/servematrix-1000/vllm+vllm-openai-rocm+v0.32.0.6829d51f.sqsh docker://vllm/vllm-openai-rocm:v0.32.0
#   srun --ntasks=1 --overlap --cpus-per-task=128 --container-image=/raid/inferencex/squash/servematrix-1000/vllm+vllm-openai-rocm+v0.32.0.6829d51f.sqsh --container-mounts=/tmp/servematrix-by-hand:/workspace,/raid/inferencex/hf-hub-cache:/mnt/hf_hub_cache:ro,/dev/kfd:/dev/kfd,/dev/dri:/dev/dri --container-workdir=/workspace/payload --no-container-mount-home --container-writable --no-container-remap-root --no-container-entrypoint --pty bash

export HF_HUB_CACHE=/mnt/hf_hub_cache
export VLLM_ENGINE_READY_TIMEOUT_S=3600
export VLLM_USE_BREAKABLE_CUDAGRAPH=0
if [ -n "${ROCR_VISIBLE_DEVICES:-}" ]; then export HIP_VISIBLE_DEVICES="$ROCR_VISIBLE_DEVICES"; fi

vllm serve MiniMaxAI/MiniMax-M3-MXFP8 \
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
  --port 8000 &
server=$!
trap 'kill "$server"' EXIT
until curl -sf http://127.0.0.1:8000/health >/dev/null; do
  kill -0 "$server" # ends the script when the server did
  sleep 1
done

# minimaxm3-fp8-mi300x-vllm/8k1k-tp8-ep8-c256: at least 2560 requests and 300 s
mkdir -p results/8k1k-tp8-ep8-c256
vllm bench serve \
  --backend vllm \
  --host 127.0.0.1 \
  --port 8000 \
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
  --result-dir results/8k1k-tp8-ep8-c256 \
  --result-filename warmup.json
vllm bench serve \
  --backend vllm \
  --host 127.0.0.1 \
  --port 8000 \
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
  --result-dir results/8k1k-tp8-ep8-c256 \
  --result-filename load.json
