//! The fuzzer of one target, which `CAUSEWAY_FUZZ_TARGET` names. `cargo xtask fuzz` builds and runs it.

#![no_main]

use std::sync::LazyLock;

use causeway_fuzz::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("CAUSEWAY_FUZZ_TARGET").unwrap_or_default();
    causeway_fuzz::target(&name).expect("CAUSEWAY_FUZZ_TARGET names a target")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));
