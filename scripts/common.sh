# shellcheck shell=bash disable=SC2154
# What run, test and the other scripts share: messages, logged steps, configuring and building.
# Sourced, with `set -euo pipefail` on and $root at the project's folder.
# Everything here writes to stderr: stdout belongs to the program.

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "$(basename "$0"): $*"
  exit 1
}

# Shows the steps of a build or an installation as they pass, read from stdin: on a terminal as one
# line that changes, elsewhere as one line in ten seconds.
show_progress() {
  local line width=0 last=$SECONDS
  [[ -t 2 ]] && width=$(tput cols 2>/dev/null || echo 80)
  while IFS= read -r line; do
    [[ $line =~ ^(\[[0-9]+/|Get:|Unpacking|Setting up) ]] || continue
    if ((width)); then
      printf '\r\033[K%s' "${line:0:width-1}" >&2
    elif ((SECONDS - last >= 10)); then
      say "  $line"
      last=$SECONDS
    fi
  done
  ((width == 0)) || printf '\r\033[K' >&2
}

# log_step LOG COMMAND...: runs the command with all its output in LOG and its progress on stderr.
# When the command fails, shows the end of LOG and returns 1.
log_step() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if ! "$@" </dev/null 2>&1 | tee "$log" | show_progress; then
    say "failed: $*"
    tail -n 40 "$log" | sed 's/^/  /' >&2
    say "(the whole log: $log)"
    return 1
  fi
}

# configure PRESET [CMAKE-ARGUMENT...]
configure() {
  local preset=$1 launcher=()
  shift
  if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  log_step "$root/build/$preset.configure.log" \
    cmake -S "$root" --preset "$preset" "${launcher[@]}" "$@"
}

# build PRESET [TARGET...]: all targets where none is named.
build() {
  local preset=$1
  shift
  log_step "$root/build/$preset.build.log" \
    env NINJA_STATUS='[%f/%t] ' ninja -C "$root/build/$preset" "$@"
}
