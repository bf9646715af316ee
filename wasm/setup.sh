#!/bin/sh
# Owns what must be installed before anything is built. Safe to run at any time: it looks first,
# and does and prints nothing when nothing is missing.
#
#   wasm/setup.sh toolchain   print the name of the rustup toolchain to build with
#   wasm/setup.sh guest       what `make run` needs: Rust and a way to compile for wasm
#   wasm/setup.sh worker      also wasm-bindgen, node_modules and the links in build/tools/
#   wasm/setup.sh postgres    what the tests of PostgreSQL need, if it can be had
#
# The only hosts it needs are crates.io, npm and a Debian mirror; rustup's own server is used
# when it answers.
set -eu
cd -P "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

# The version in rust-toolchain.toml, under whatever name this machine has it: images often
# carry `stable` only, and asking rustup for the number would be a download.
toolchain() {
    wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    command -v rustup >/dev/null || { echo "$wanted"; return; }
    for name in ${RUSTUP_TOOLCHAIN:-} "$wanted" stable; do
        case $(RUSTUP_AUTO_INSTALL=0 RUSTUP_TOOLCHAIN=$name rustc --version 2>/dev/null) in
        "rustc $wanted "*) echo "$name"; return ;;
        esac
    done
    say "installing Rust $wanted"
    if rustup -q toolchain install "$wanted" --profile minimal -c clippy -c rustfmt >&2; then
        echo "$wanted"
    else
        say "Rust $wanted is out of reach: building with stable"
        echo stable
    fi
}

has_wasm_std() { [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ]; }
has_debian_rust() { [ -x /usr/bin/rustc ] && [ -d /usr/lib/rustlib/src/rust/library ] &&
    command -v wasm-ld-19 >/dev/null; }

guest() {
    command -v cargo >/dev/null || die "Rust is missing: see https://rustup.rs"
    RUSTUP_TOOLCHAIN=$(toolchain)
    export RUSTUP_TOOLCHAIN
    has_wasm_std || has_debian_rust && return
    say "adding the wasm target"
    rustup -q target add wasm32-unknown-unknown >&2 && has_wasm_std && return
    # Without rustup's server: Debian's compiler and the sources of the same std, which
    # wasm/build.sh then builds along (-Z build-std). The native host stays with rustup's.
    say "no prebuilt std: installing Debian's rustc-web, rust-web-src and lld-19"
    root=$([ "$(id -u)" = 0 ] || echo sudo)
    $root apt-get -qq update >&2 || say "apt-get update failed: trying with the lists at hand"
    DEBIAN_FRONTEND=noninteractive $root apt-get -qq install -y --no-install-recommends \
        rustc-web rust-web-src lld-19 >/dev/null
    has_debian_rust || die "no way to compile for wasm32-unknown-unknown"
}

# wasm-bindgen refuses a module built with any other version than its own.
wasm_bindgen() {
    version=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/[^0-9.]/, ""); print }' Cargo.lock)
    root=${XDG_CACHE_HOME:-$HOME/.cache}/foldlog/wasm-bindgen-$version
    if ! [ -x "$root/bin/wasm-bindgen" ]; then
        say "building wasm-bindgen $version, once for this machine (4 minutes of CPU)"
        # Outside the checkout, or a flag or target directory meant for it would apply. With
        # --locked it stops at once when a pinned dependency is gone from the registry.
        (cd / && unset CARGO_TARGET_DIR RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
            set -- cargo install -q wasm-bindgen-cli --version "=$version" \
                --bin wasm-bindgen --root "$root"
            "$@" --locked 2>/dev/null || "$@") || die "wasm-bindgen $version does not build"
    fi
    link "$root/bin/wasm-bindgen"
}

# The copy of the lock file is written last: an interrupted installation is started again.
node_modules() {
    if ! cmp -s package-lock.json node_modules/.installed-lock; then
        command -v npm >/dev/null || die "npm is missing: install Node 20 or newer"
        say "installing node_modules"
        # No scripts: the platform's packages hold the binaries, and scripts may be blocked.
        npm ci --silent --ignore-scripts >&2
        cp package-lock.json node_modules/.installed-lock
    fi
    # The binary itself, not npm's wrapper: a test that kills it must hit the server.
    for workerd in node_modules/@cloudflare/workerd-*/bin/workerd; do
        link "$PWD/$workerd"
    done
}

# Debian's server, of which the tests start one of their own, as nobody's: no cluster is made or
# started by installing it. Where it can not be had the tests say that they were skipped.
postgres() {
    command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && return
    say "installing Debian's postgresql"
    root=$([ "$(id -u)" = 0 ] || echo "sudo -n")
    export DEBIAN_FRONTEND=noninteractive
    { $root apt-get -qq update && $root apt-get -qq install -y --no-install-recommends \
        postgresql-common &&
        $root sed -i 's/^#* *create_main_cluster.*/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf &&
        $root apt-get -qq install -y --no-install-recommends postgresql; } >/dev/null 2>&1 ||
        say "PostgreSQL is out of reach: its tests will be skipped"
}

link() {
    [ "$(readlink "build/tools/${1##*/}" || true)" = "$1" ] && return
    mkdir -p build/tools
    ln -sfn "$1" "build/tools/${1##*/}"
}

case ${1:-} in
toolchain) toolchain ;;
guest) guest ;;
worker) guest; node_modules; wasm_bindgen ;;
postgres) postgres ;;
*) die "usage: wasm/setup.sh toolchain|guest|worker|postgres" ;;
esac
