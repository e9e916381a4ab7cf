#!/usr/bin/env bash
# Runs clang-tidy with the checks of .clang-tidy over everything that ./test builds:
#   scripts/tidy.sh            all of it; takes a while
#   scripts/tidy.sh graph/     files whose path begins so
# Not part of ./test for its time. Needs Debian's clang-tidy and what ./test installs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/scripts/common.sh"

# A build folder of its own: Clang understands neither all of GCC's options nor its precompiled
# headers. Nothing is built there but the generated headers.
folder=$root/build/tidy
log_step "$folder.log" cmake -S "$root" -B "$folder" -G Ninja \
  -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON
log_step "$folder.log" ninja -C "$folder" sluice_proto

files=$(sed -n 's/^ *"file": "\(.*\.cc\)",\?$/\1/p' "$folder/compile_commands.json" |
  grep -F "$root/${1-}" | grep -vF "$folder/" | sort -u) || fail "no source file begins with ${1-}"
xargs -P "$(nproc)" -n 1 clang-tidy --quiet -p "$folder" <<<"$files"
