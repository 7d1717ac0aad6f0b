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
