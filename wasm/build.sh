#!/bin/sh
# Owns build/: turns the sources into the files that the hosts load, and replaces only those
# whose bytes changed, so that nothing after it is rebuilt for a new time stamp.
#
#   wasm/build.sh guest          build/guest.wasm, the module that both hosts run
#   wasm/build.sh guest-faults   what only tests run: build/guest-faults.wasm, the same with faults
#                                to inject, and build/lending/, a domain of a user's own,
#                                build/lending-next/, the same a year later, and build/planted/,
#                                that one with faults that are switched on in its bytes
#   wasm/build.sh reproduce      builds the guest once more, from nothing: the bytes must be the same
#   wasm/build.sh worker         build/worker/, all that wrangler or workerd loads
#   wasm/build.sh domain DIR OUT  OUT/guest.wasm of the crate in DIR and, once the Worker is built,
#                                the Worker around it, which wrangler loads by OUT/entry.mjs
#   wasm/build.sh sizes          what `wrangler deploy --outdir build/deploy` would send
set -eu
if [ "${1:-}" = domain ]; then
    [ $# = 3 ] || { echo "usage: wasm/build.sh domain DIR OUT" >&2; exit 1; }
    mkdir -p "$3"
    crate=$(cd -P "$2" && pwd) out=$(cd -P "$3" && pwd)
fi
cd -P "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}

replace() { cmp -s "$1" "$2" || { mkdir -p "$(dirname "$2")" && cp "$1" "$2.new" && mv "$2.new" "$2"; }; }

# compile TARGET_DIR PACKAGE [cargo options]: prints the path of the module.
compile() {
    dir=$1 package=$2
    shift 2
    module=$dir/wasm32-unknown-unknown/release/$(echo "$package" | tr - _).wasm
    # The first build shows progress, later ones only what is wrong.
    [ -e "$module" ] && set -- -q "$@"
    cargo build --release -p "$package" --target wasm32-unknown-unknown --target-dir "$dir" "$@" >&2
    echo "$module"
}

# Both packages use the same flags and so share compiled dependencies. No path of this machine
# reaches the module: another checkout builds the same bytes.
environment() {
    RUSTUP_TOOLCHAIN=$(wasm/setup.sh toolchain)
    export RUSTUP_TOOLCHAIN
    unit=$(printf '\037')
    sysroot=$(rustc --print sysroot)
    flags=--remap-path-prefix=$PWD=/foldlog
    flags=$flags$unit--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo
    flags=$flags$unit--remap-path-prefix=$sysroot=/rust
    # Less is inlined than the compiler would: more than this does not fit the guest's 500 KB.
    flags=$flags$unit-Cllvm-args=-inline-threshold=45
    # A trap's trace names functions, so the modules do. As they are in the source: the hash that
    # ends each mangled name does not compress, which cost a twentieth of the guest.
    flags=$flags$unit-Csymbol-mangling-version=v0$unit-Clink-arg=--demangle
    if ! [ -d "$sysroot/lib/rustlib/wasm32-unknown-unknown" ]; then
        # Debian's compiler (wasm/setup.sh): build std along, which asks for the bootstrap key.
        export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
        export CARGO_UNSTABLE_BUILD_STD=std,panic_abort
        export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-19
    fi
    export CARGO_ENCODED_RUSTFLAGS="$flags"
    # Promises and futures through js-sys alone, as worker-build has it.
    export WASM_BINDGEN_USE_JS_SYS=1
}

guest() {
    replace "$(compile "$target" foldlog-standard)" build/guest.wasm
}

# A target directory of its own: with one, each build would evict the other's module.
guest_faults() {
    replace "$(compile "$target/faults" foldlog-standard --features faults)" build/guest-faults.wasm
}

# The module that is tested is the one that is shipped: two builds must not differ.
reproduce() {
    rm -rf "$target/again"
    again=$(compile "$target/again" foldlog-standard -q)
    cmp "$again" build/guest.wasm || { echo "two builds of the guest differ" >&2; exit 1; }
    rm -rf "$target/again"
}

# A crate of the user's own, here or anywhere: the profile of this workspace, so that inside it
# core is compiled once, and the memory's maximum stated in the module.
domain() {
    package=$(sed -n 's/^name = "\(.*\)"/\1/p' "$crate/Cargo.toml" | head -n 1)
    cargo rustc -q --release --manifest-path "$crate/Cargo.toml" --lib --crate-type cdylib \
        --target wasm32-unknown-unknown --target-dir "$target" \
        --config 'profile.release.opt-level="s"' --config 'profile.release.lto="fat"' --config profile.release.codegen-units=1 \
        --config 'profile.release.panic="abort"' --config 'profile.release.strip="debuginfo"' \
        -- -C link-arg=--max-memory=67108864 >&2
    replace "$target/wasm32-unknown-unknown/release/$(echo "$package" | tr - _).wasm" \
        "$out/guest.wasm"
    [ -e build/worker/entry.mjs ] || return 0
    replace build/worker/index.js "$out/index.js"
    replace build/worker/index_bg.wasm "$out/index_bg.wasm"
    entry "$out/guest.wasm" "$out/entry.mjs"
}

# A compiled module does not tell its bytes: the entry learns their hash here.
entry() {
    digest=$( (sha256sum "$1" || shasum -a 256 "$1") 2>/dev/null | cut -c1-64)
    sed "s/@GUEST_SHA256@/$digest/" build/worker/entry.in.mjs >"$2.made"
    replace "$2.made" "$2"
    rm -f "$2.made"
}

# What worker-build does, without its downloads.
worker() {
    module=$(compile "$target" foldlog-worker)
    new=build/worker.new
    rm -rf "$new"
    build/tools/wasm-bindgen "$module" --out-dir "$new/bindgen" --out-name index \
        --target module --no-typescript --experimental-reset-state-function
    # Neither esbuild nor every workerd knows source phase imports; of a .wasm file the plain
    # import is the same module.
    sed 's/import source /import /' "$new/bindgen/index.js" >"$new/bindgen/main.js"
    # One file: the snippets' names hold hashes, which a workerd configuration could not list.
    wasm/node node_modules/.bin/esbuild "$new/bindgen/main.js" --bundle --format=esm \
        --external:./index_bg.wasm --external:'cloudflare:*' --log-level=warning \
        --outfile="$new/index.js"
    # The entry too is one file: whoever loads it lists the same four modules for ever.
    wasm/node node_modules/.bin/esbuild wasm/worker/entry.mjs --bundle --format=esm \
        --external:./index.js --external:./guest.wasm --external:'cloudflare:*' \
        --log-level=warning --outfile="$new/entry.in.mjs"
    replace "$new/entry.in.mjs" build/worker/entry.in.mjs
    replace "$new/index.js" build/worker/index.js
    replace "$new/bindgen/index_bg.wasm" build/worker/index_bg.wasm
    replace build/guest.wasm build/worker/guest.wasm
    entry build/guest.wasm build/worker/entry.mjs
    rm -rf "$new"
}

# Per file and in all; the gzipped total is what Cloudflare counts (our goal: 600 KB).
sizes() {
    raw_total=0 gz_total=0
    for file in build/deploy/*.wasm build/deploy/*.js; do
        raw=$(wc -c <"$file") gz=$(gzip -9c "$file" | wc -c)
        raw_total=$((raw_total + raw)) gz_total=$((gz_total + gz))
        printf '%9d %9d gzipped  %s\n' "$raw" "$gz" "${file##*/}"
    done
    printf '%9d %9d gzipped  total\n' "$raw_total" "$gz_total"
}

case ${1:-} in
guest) wasm/setup.sh guest; environment; guest ;;
guest-faults)
    wasm/setup.sh guest; environment; guest_faults
    for pair in example-domain:lending example-domain-next:lending-next planted:planted; do
        crate=$PWD/tests/${pair%:*} out=$PWD/build/${pair#*:}
        mkdir -p "$out"
        domain
    done ;;
reproduce) wasm/setup.sh guest; environment; guest; reproduce ;;
worker) wasm/setup.sh worker; environment; guest; worker ;;
domain) wasm/setup.sh guest; environment; domain ;;
sizes) sizes ;;
*) echo "usage: wasm/build.sh guest|guest-faults|reproduce|worker|domain|sizes" >&2; exit 1 ;;
esac
