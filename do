#!/bin/sh
# The one command: ./do demo | test | drill | check | bench | docs. What a step does is in tools/.
set -eu

root=$(cd "$(dirname "$0")" && pwd -P)

note() { printf 'do: %s\n' "$*" >&2; }
fail() { note "$1"; shift; for line in "$@"; do printf '    %s\n' "$line" >&2; done; exit 1; }

usage() {
    cat <<'TEXT'
usage: ./do COMMAND [OPTIONS]

  demo   two parties on this machine intersect, train and evaluate (--data, --rows, --json, ...)
  test   the tests; with PATHS only these (tests/table, native, native/curve, ...)
  drill  the longer tests
  check  formatters, linters, types, floors, docstrings, error pages
  bench  measure an area (--json prints one line of JSON a measurement)
  docs   check the documentation and build it into build/docs

Options go to the command: ./do COMMAND --help. ATOLL_DO_SYNC=0 leaves the environment as it is.
TEXT
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    fail "Python 3.11 or newer is missing (python3 is $(python3 --version 2>/dev/null || echo absent))." \
        "Debian, Ubuntu: apt-get install python3 python3-venv" \
        "elsewhere: https://www.python.org/downloads, or set PYTHON to its path"
}

find_cargo() {
    # A cargo of rustup's looks for its toolchains below HOME, which may be another one today.
    cargo=$(command -v cargo || true)
    if [ -z "$cargo" ] && [ -x "${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin/cargo" ]; then
        cargo=${CARGO_HOME:-$HOME/.cargo}/bin/cargo
        PATH=$(dirname "$cargo"):$PATH
    fi
    [ -n "$cargo" ] || fail "a Rust toolchain (cargo) is missing." \
        "install it: https://rustup.rs, or: apt-get install cargo rustc (1.95 or newer is needed)"
    toolchains=$(dirname "$(dirname "$(dirname "$cargo")")")/.rustup
    if [ -z "${RUSTUP_HOME:-}" ] && [ ! -d "${HOME:-}/.rustup" ] && [ -d "$toolchains" ]; then
        export RUSTUP_HOME="$toolchains"
    fi
    answer=$(cd "$root/native" && cargo --version 2>&1) ||
        fail "cargo is there but does not start: $(printf '%s\n' "$answer" | head -n 1)" \
            "choose a toolchain: rustup default stable (or set RUSTUP_HOME)"
    command -v cc >/dev/null || fail "a C linker (cc) is missing; Rust needs it." \
        "Debian, Ubuntu: apt-get install gcc libc6-dev" "Fedora: dnf install gcc"
}

find_uv() {
    uv=$(command -v uv || true)
    [ -z "$uv" ] || return 0
    uv=$root/.do/uv/bin/uv
    if ! "$uv" --version >/dev/null 2>&1; then
        note "fetching uv (the package installer) into .do/uv"
        rm -rf "$root/.do/uv"
        "$python" -m venv "$root/.do/uv" >&2 || fail "this Python cannot make virtual environments." \
            "Debian, Ubuntu: apt-get install python3-venv"
        "$root/.do/uv/bin/python" -m pip install --quiet --disable-pip-version-check uv >&2 ||
            fail "pip could not fetch uv; is the package index reachable?"
    fi
}

prepare() {
    if [ "${ATOLL_DO_SYNC:-1}" = 0 ]; then
        find_cargo
        return
    fi
    python=$(find_python)
    find_cargo
    find_uv
    unset VIRTUAL_ENV
    # Companies put the certificate of their own mirror or proxy into the system's bundle.
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        [ ! -e "$bundle" ] || export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
    done
    export UV_PROJECT_ENVIRONMENT="$root/.venv" UV_PYTHON="$python" UV_PYTHON_DOWNLOADS=never
    if [ -d "$root/.venv" ]; then
        note "bringing .venv up to date"
    else
        note "building .venv from uv.lock and native/ (minutes at the first time)"
    fi
    # Fuzzers weigh more than all else together, and only drills use them.
    groups=
    [ "$command" != drill ] || groups="--group fuzz"
    # shellcheck disable=SC2086
    "$uv" sync --locked $groups --compile-bytecode --project "$root" --quiet ||
        fail "the environment could not be built; the lines above say why."
}

command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
    demo | test | drill | check | bench | docs) ;;
    help | -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "there is no command '$command'" ;;
esac

prepare
if [ -z "${ATOLL_DATA:-}" ] && [ -d "$root/../shared/data" ]; then
    ATOLL_DATA=$(cd "$root/../shared/data" && pwd -P)
    export ATOLL_DATA
fi
run=$root/.venv/bin/python
if [ "$command" = demo ]; then
    # Without a place of its own the report goes into the checkout, wherever we were called from.
    case " $* " in
        *" --report"* | *" --folder"* | *" --help "*) ;;
        *) set -- --report "$root/build/demo/report.html" "$@" ;;
    esac
    exec "$run" -m atoll demo "$@"
fi
cd "$root"
case $command in
    test | check | docs) exec "$run" -m "tools.$command" "$@" ;;
    drill) exec "$run" -m tools.test --drill "$@" ;;
    bench) exec "$run" -m bench "$@" ;;
esac
