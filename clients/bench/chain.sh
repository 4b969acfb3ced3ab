#!/usr/bin/env bash
# Measures the node beside anvil, in one run on the same two cores; docs/benchmarks/chain.md has the figures.
#   NODE=target/release/examples/node LOAD=target/release/examples/load ANVIL=path/to/anvil clients/bench/chain.sh [transfers|finality|start|memory]...
# NODE and LOAD are examples of the chain crate (`cargo build --release --workspace --example node --example load`), so that the binary with its models need not be built.
# anvil: `npm install @foundry-rs/anvil@1.7.1`; without it the peer's lines are left out.
set -euo pipefail
NODE=${NODE:-target/release/examples/node}
LOAD=${LOAD:-target/release/examples/load}
ANVIL=${ANVIL:-}
CORES=${CORES:-0,1}
# What both get, and what ours gets besides.
SAME_TRANSFERS=${SAME_TRANSFERS:-2000}
TRANSFERS=${TRANSFERS:-20000}
RUNS=${RUNS:-3}
work=$(mktemp -d)
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  pids=()
}
trap 'stop; rm -rf "$work"' EXIT

up() { # until a node answers at $1 with a block above $2
  for _ in $(seq 3000); do
    height=$(curl -s -m 1 -H 'content-type: application/json' -d '{"id":1,"method":"eth_blockNumber","jsonrpc":"2.0"}' "http://$1" |
      sed -n 's/.*"result":"0x\([0-9a-f]*\)".*/\1/p') || true
    [ -n "$height" ] && [ $((16#$height)) -gt "$2" ] && return 0
    sleep 0.01
  done
  echo "no answer from $1" >&2
  return 1
}
memory() { awk '/^VmRSS/ {printf "%.0f MB", $2 / 1024}' "/proc/$1/status"; }

transfers() {
  echo "== transfers through JSON-RPC, one validator"
  taskset -c "$CORES" "$LOAD" recover 40000
  for total in "$SAME_TRANSFERS" "$TRANSFERS"; do
    one "$work/one"
    for batch in 1 100; do
      for _ in $(seq "$RUNS"); do taskset -c "$CORES" "$LOAD" throughput 127.0.0.1:18545 "$total" $batch 100; done
    done
    stop
  done
  [ -n "$ANVIL" ] || return 0
  for options in "" "--block-time 1 --gas-limit 3000000000 --order fifo"; do
    for batch in 1 100; do
      for _ in $(seq "$RUNS"); do
        # A fresh process each, since what it holds slows it down.
        # shellcheck disable=SC2086
        taskset -c "$CORES" "$ANVIL" --port 18546 --silent $options >/dev/null 2>&1 &
        pids+=($!)
        up 127.0.0.1:18546 -1
        echo "anvil $options"
        timeout 25 taskset -c "$CORES" "$LOAD" throughput 127.0.0.1:18546 "$SAME_TRANSFERS" $batch 100 || echo "not done within 25 s"
        stop
      done
    done
  done
}

one() { # starts a lone validator in folder $1
  rm -rf "$1"
  "$NODE" init "$1" 1 31302 18545
  taskset -c "$CORES" "$NODE" run "$1" >"$1.log" 2>&1 &
  pids+=($!)
  up 127.0.0.1:18545 0
}

four() { # starts four validators, with blocks every $1 ms if given
  rm -rf "$work/four"
  "$NODE" init "$work/four" 4 31303 18551 "$@"
  started=$(date +%s%N)
  for i in 0 1 2 3; do
    taskset -c "$CORES" "$NODE" run "$work/four/node$i" >"$work/four$i.log" 2>&1 &
    pids+=($!)
  done
  up 127.0.0.1:18551 0
  echo "first block after $((($(date +%s%N) - started) / 1000000)) ms"
}

finality() {
  for interval in ${INTERVALS:-50 20 250}; do # 50 ms is the default of a new network
    echo "== four validators, blocks every $interval ms at most, 1,000 transfers/s"
    four "$interval"
    taskset -c "$CORES" "$LOAD" finality "${SECONDS_OF_LOAD:-10}" 1000 127.0.0.1:18551 127.0.0.1:18552 127.0.0.1:18553 127.0.0.1:18554
    stop
  done
}

start() {
  echo "== from starting four validators to their first block"
  for _ in $(seq "${STARTS:-10}"); do
    four
    stop
  done
}

at_rest() {
  echo "== memory at rest"
  one "$work/rest"
  sleep 5
  echo "one validator: $(memory "${pids[0]}")"
  stop
  four
  sleep 10
  echo "each of four: $(for pid in "${pids[@]}"; do memory "$pid"; echo -n ' '; done)"
  stop
}

for what in "${@:-transfers finality start memory}"; do
  for part in $what; do
    case $part in
    transfers) transfers ;;
    finality) finality ;;
    start) start ;;
    memory) at_rest ;;
    *) echo "unknown part: $part" >&2; exit 2 ;;
    esac
  done
done
