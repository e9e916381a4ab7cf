# shellcheck shell=bash disable=SC2154
# The Debian packages that the project needs, in one place, and how missing ones get installed.
# Sourced after common.sh. The names are those of Debian 12 and later and Ubuntu 24.04 and later.

# To build the program. libdnnl-dev's CMake files look for OpenCL without depending on it.
# shellcheck disable=SC2034
build_packages=(
  g++ cmake ninja-build pkg-config
  libabsl-dev libdnnl-dev ocl-icd-opencl-dev libprotobuf-dev protobuf-compiler
  libcli11-dev libcpp-httplib-dev nlohmann-json3-dev libedit-dev libpcre2-dev libutf8proc-dev
  libvulkan-dev glslang-tools
)

# On top of those, to build and run every test: GoogleTest and Google Benchmark, Clang with
# libFuzzer and an OpenMP runtime for the fuzzers, the formatter, and a Vulkan device that needs no
# GPU, with the layers that check how it is used. Names with a question mark are installed where the distribution has them (Ubuntu has no Chromium package); without them the tests
# of pictures are skipped. Graphviz is also what `sluice dump --format svg` runs.
# shellcheck disable=SC2034
test_packages=(
  libgtest-dev libgmock-dev libbenchmark-dev
  clang libclang-rt-dev libomp-dev
  clang-format
  mesa-vulkan-drivers vulkan-validationlayers 'spirv-tools?'
  'graphviz?' 'chromium?'
)

# On top of those to build the program, for bench/peers: llama.cpp comes from npm.
# shellcheck disable=SC2034
peers_packages=(nodejs npm)

# known_packages PACKAGE...: those that apt-get could install.
known_packages() {
  local name
  for name in "$@"; do
    if apt-cache show --no-all-versions "$name" &>/dev/null; then printf '%s\n' "$name"; fi
  done
}

missing_packages() {
  (($#)) || return 0
  local installed
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
    sed -n 's/^installed //p' || true)
  printf '%s\n' "$@" | grep -vxF "$installed" || true
}

# install_packages PACKAGE...: asks apt-get for those that are missing, if any. PACKAGE? stands for
# one that may stay missing.
install_packages() {
  if ! command -v apt-get >/dev/null; then
    # Not Debian: nothing can be checked. A tree that was configured once has what it needs.
    [[ -f $root/build/release/build.ninja ]] ||
      say "No apt-get here. If the build fails, install what these Debian packages hold: $*"
    return
  fi

  local name required=() optional=()
  for name in "$@"; do
    if [[ $name == *'?' ]]; then optional+=("${name%'?'}"); else required+=("$name"); fi
  done
  mapfile -t required < <(missing_packages "${required[@]}")
  mapfile -t optional < <(missing_packages "${optional[@]}")
  ((${#required[@]})) || [[ -n $(known_packages "${optional[@]}") ]] || return 0

  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120)
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      ((${#required[@]})) || return 0
      fail "these packages are missing, and there is no sudo to install them: ${required[*]}"
    fi
    apt=(sudo "${apt[@]}")
  fi

  say "Installing ${required[*]} ${optional[*]}"
  # An old package list may still do.
  log_step "$root/build/apt-update.log" "${apt[@]}" update || true
  mapfile -t optional < <(known_packages "${optional[@]}")
  log_step "$root/build/apt-install.log" \
    "${apt[@]}" install -y --no-install-recommends "${required[@]}" "${optional[@]}" ||
    fail "could not install ${required[*]} ${optional[*]}"
}
