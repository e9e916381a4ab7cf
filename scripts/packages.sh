# shellcheck shell=bash disable=SC2154
# The Debian packages that the project needs, in one place, and how missing ones get installed.
# Sourced after common.sh. The names are those of Debian 12 and later and Ubuntu 24.04 and later.

# To build the program. libdnnl-dev's CMake files look for OpenCL without depending on it.
# shellcheck disable=SC2034
build_packages=(
  g++ cmake ninja-build pkg-config
  libabsl-dev libdnnl-dev ocl-icd-opencl-dev libprotobuf-dev protobuf-compiler
  libcli11-dev nlohmann-json3-dev libpcre2-dev
)

# On top of those, to build and run every test: GoogleTest and Google Benchmark, Clang with
# libFuzzer and an OpenMP runtime for the fuzzers, and the formatter.
# shellcheck disable=SC2034
test_packages=(
  libgtest-dev libgmock-dev libbenchmark-dev
  clang libclang-rt-dev libomp-dev
  clang-format
)

missing_packages() {
  local installed
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
    sed -n 's/^installed //p' || true)
  printf '%s\n' "$@" | grep -vxF "$installed" || true
}

# install_packages PACKAGE...: asks apt-get for those that are missing, if any.
install_packages() {
  if ! command -v apt-get >/dev/null; then
    # Not Debian: nothing can be checked. A tree that was configured once has what it needs.
    [[ -f $root/build/release/build.ninja ]] ||
      say "No apt-get here. If the build fails, install what these Debian packages hold: $*"
    return
  fi

  local missing=() apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120)
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      fail "these packages are missing, and there is no sudo to install them: ${missing[*]}"
    apt=(sudo "${apt[@]}")
  fi

  say "Installing ${missing[*]}"
  # An old package list may still do.
  log_step "$root/build/apt-update.log" "${apt[@]}" update || true
  log_step "$root/build/apt-install.log" \
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" ||
    fail "could not install ${missing[*]}"
}
