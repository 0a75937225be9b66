//! Leaves the functions' names out of what a browser gets: they are a quarter of it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_small = std::env::var("OPT_LEVEL").is_ok_and(|level| level == "z" || level == "s");
    if is_small && std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|target| target == "wasm32") {
        println!("cargo::rustc-link-arg-cdylib=--strip-all");
        // What wasm-bindgen reads.
        for section in ["__wasm_bindgen_unstable", "target_features"] {
            println!("cargo::rustc-link-arg-cdylib=--keep-section={section}");
        }
    }
}
