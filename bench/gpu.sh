#!/usr/bin/env bash
# Everything about speed that only a GPU can show, in one go: what the device can do, that it computes
# what the reference computes, and both sides of every comparison with llama.cpp's Vulkan backend.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/scripts/common.sh"

usage() {
  cat <<'END'
Usage: bench/gpu.sh [--device N] [--rounds N] [--small] [OUT]

Writes to OUT (build/gpu unless given):
  devices.json    the devices, their features, and how fast they copy
  tests.txt       the Vulkan tests, on the best device
  counts.txt      dispatches, barriers and bytes of a step
  peers.md, .json, .svg   Sluice and llama.cpp in turn, with the bound that copying sets
  profile-*.md, .json     time, GB/s and GFLOP/s of every op, by the device's clock
  float32-*.md, .json     the same of a prompt without cooperative matrices: what those are worth

  --device N   as `sluice devices` counts; 0 unless given
  --rounds N   of the comparison; 5 unless given
  --small      Qwen3-0.6B alone, not Qwen3-30B-A3B (18 GB on disk and on the device)
END
}

device=0 rounds=5 out=$root/build/gpu
shapes=(qwen3-0.6b qwen3-30b-a3b)
while (($#)); do
  case $1 in
    -h | --help) usage && exit ;;
    --device) device=$2 && shift 2 ;;
    --rounds) rounds=$2 && shift 2 ;;
    --small) shapes=(qwen3-0.6b) && shift ;;
    -*) usage >&2 && exit 2 ;;
    *) out=$1 && shift ;;
  esac
done
mkdir -p "$out/models"

configure release -DSLUICE_BUILD_TESTS=ON -DSLUICE_BUILD_BENCH=ON
build release
sluice=$root/build/release/sluice
on_device=(--backend vulkan --device "$device")

"$sluice" devices --measure --format json | tee "$out/devices.json"
ctest --test-dir "$root/build/release" -R '^vulkan' --output-on-failure | tee "$out/tests.txt"

models=()
for shape in "${shapes[@]}"; do
  models+=("$shape-q4_k_m")
  file=$out/models/$shape-q4_k_m.gguf
  [[ -f $file ]] || "$sluice" make-model "$shape" "$file" --type Q4_K_M
  {
    echo "== $shape"
    "$sluice" inspect "$file" "${on_device[@]}"
  } >>"$out/counts.txt"
  for format in md json; do
    "$sluice" profile "$file" "${on_device[@]}" -p 512 -n 64 --by op,kernel,node \
      --format "$format" >"$out/profile-$shape.$format"
    "$sluice" profile "$file" "${on_device[@]}" --no-coopmat -p 512 -n 0 --by op,kernel,node \
      --format "$format" >"$out/float32-$shape.$format"
  done
done

"$root/bench/peers/run" --device "$device" --rounds "$rounds" --keep-models "$out/models" \
  --models "$(IFS=, && echo "${models[*]}")" --tests pp2048,pp512,pp32,tg128,par4,par16 \
  --json "$out/peers.json" --plot "$out/peers.svg" | tee "$out/peers.md"
say "All of it is in $out."
