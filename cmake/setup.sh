# Sourced by ./run and ./test: installs the Debian packages that are missing, configures and
# builds a preset. What it does it says on stderr; there is nothing to say the second time.
# shellcheck shell=bash disable=SC2034

packages=(
    clang-19 lld-19 libclang-rt-19-dev libstdc++-12-dev              # compiler, linker, sanitizers
    llvm-19                                                          # names in their reports
    cmake ninja-build ccache pkg-config                              # build
    liburing-dev libcereal-dev libboost1.81-dev libssl-dev libc-ares-dev  # the library
    libgtest-dev libgmock-dev libbenchmark-dev python3               # tests, benchmarks
    libcli11-dev libfmt-dev                                          # examples, asyncio-ps
    gdb binutils                                                     # tests of the tools
    openssl dnsmasq-base curl socat netcat-openbsd                   # the other ends of tests
)

mkdir -p build
jobs=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
    say "$@"
    exit 1
}

# Prints those of the named packages that are not installed.
missing_packages() {
    comm -23 <(printf '%s\n' "$@" | LC_ALL=C sort -u) <(
        dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
            sed -n 's/^installed //p' | LC_ALL=C sort -u)
}

# install_missing PACKAGE...
install_missing() {
    if ! command -v dpkg-query >/dev/null; then
        local tool
        for tool in clang++-19 cmake ninja; do
            command -v "$tool" >/dev/null ||
                die "this is not Debian and there is no $tool: please install what these" \
                    "Debian packages hold: $*"
        done
        return 0
    fi
    local missing
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0

    local advice="as root: apt-get install ${missing[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get)
    if ((EUID != 0)); then
        # sudo may ask for a password only where somebody is there to type it.
        if ! command -v sudo >/dev/null || ! { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
            die "packages are missing; $advice"
        fi
        apt=(sudo "${apt[@]}")
    fi
    say "installing ${missing[*]}"
    local log=build/packages.log
    local install=("${apt[@]}" install -y -qq --no-install-recommends "${missing[@]}")
    # Package lists that are absent or old are fetched, and the install tried once more.
    "${install[@]}" &>"$log" && return
    "${apt[@]}" update -qq &>"$log" || true
    if ! "${install[@]}" &>>"$log"; then
        tail -n 20 "$log" >&2
        die "could not install packages; $advice"
    fi
}

# build PRESET [TARGET...]
build() {
    local preset=$1 directory=build/$1
    shift
    # Once there is a build it notices changed CMake files itself, all but the presets.
    if [[ ! $directory/build.ninja -nt CMakePresets.json ]]; then
        say "configuring $directory"
        if ! cmake --preset "$preset" &>"$directory.log"; then
            cat "$directory.log" >&2
            die "cmake --preset $preset failed"
        fi
    fi
    # On a terminal ninja shows its progress in one line; elsewhere only what goes wrong.
    local quiet=(--quiet)
    [[ -t 2 ]] && quiet=()
    [[ -t 2 ]] || say "building $directory"
    cmake --build --preset "$preset" ${1+--target "$@"} -- -j "$jobs" "${quiet[@]}" >&2
}
