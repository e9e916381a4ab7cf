#!/usr/bin/env bash
# What each pass is worth: a model with all passes and with one left out, in turn, so that the
# machine's moods hit both alike. Prints a table of medians, speed with all passes over speed
# without that one.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: bench/pass_effects.sh [MODEL] [ROUNDS]

MODEL: a GGUF file, "" for the embedded model. ROUNDS: 5 unless given. Needs build/release/sluice.
BENCH_FLAGS: flags for `sluice bench`, "-p 128 -n 32 -t 2" unless set.
EOF
}

[[ ${1:-} != --help ]] || { usage; exit 0; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
model=${1:-}
rounds=${2:-5}
read -ra flags <<<"${BENCH_FLAGS:--p 128 -n 32 -t 2}"
passes=(fuse_gate_up fuse_qkv fuse_qk_norm_rope fuse_scaled_add fuse_add_rms_norm specialise
  absorb_moe_gather prepack_weights)

# speeds [FLAG...]: tokens per second of each test, in one line.
speeds() {
  "$root/build/release/sluice" bench ${model:+"$model"} "${flags[@]}" -r 1 -o md "$@" |
    awk -F'|' 'NR > 2 { split($(NF - 1), words, " "); printf "%s ", words[1] }'
  echo
}

# median_ratio COLUMN FILE FILE: of the second file's figures against the first's, line by line.
median_ratio() {
  paste -d' ' <(awk -v c="$1" '{ print $c }' "$2") <(awk -v c="$1" '{ print $c }' "$3") |
    awk '{ print $2 / $1 }' | sort -n | awk '{ v[NR] = $1 } END { printf "%.2f", v[int((NR + 1) / 2)] }'
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "| pass | prompt | generation |"
echo "|---|---:|---:|"
for pass in "${passes[@]}"; do
  : >"$work/without"
  : >"$work/with"
  for ((round = 0; round < rounds; ++round)); do
    speeds --disable-pass "$pass" >>"$work/without"
    speeds >>"$work/with"
  done
  echo "| $pass | $(median_ratio 1 "$work/without" "$work/with") | $(median_ratio 2 "$work/without" "$work/with") |"
done
