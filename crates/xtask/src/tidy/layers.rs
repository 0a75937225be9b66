//! Dependencies point one way, as `crates/README.md` draws it.

use anyhow::{Context, Result};
use serde_json::Value;

use super::PURE;
use crate::process;

/// What each of our packages may use of our own. Development dependencies are held to the same: a test that
/// needs more belongs further up.
const MAY_USE: &[(&str, &[&str])] = &[
    ("causeway-core", &[]),
    ("causeway-wire", &["causeway-core"]),
    ("causeway-signal", &["causeway-core"]),
    ("causeway-engine", &["causeway-core", "causeway-wire"]),
    (
        "causeway-web",
        &[
            "causeway-core",
            "causeway-wire",
            "causeway-signal",
            "causeway-engine",
        ],
    ),
    ("causeway-tracker", &["causeway-core", "causeway-signal"]),
    (
        "causeway-bridge",
        &[
            "causeway-core",
            "causeway-wire",
            "causeway-signal",
            "causeway-engine",
            "causeway-tracker",
        ],
    ),
    (
        "causeway",
        &[
            "causeway-core",
            "causeway-engine",
            "causeway-tracker",
            "causeway-bridge",
        ],
    ),
    ("causeway-tests", &["causeway-core"]),
    (
        "causeway-fuzz",
        &[
            "causeway-core",
            "causeway-wire",
            "causeway-signal",
            "causeway-engine",
            "causeway-tracker",
        ],
    ),
    (
        "causeway-sim",
        &[
            "causeway-core",
            "causeway-wire",
            "causeway-signal",
            "causeway-engine",
            "causeway-tracker",
        ],
    ),
    ("xtask", &[]),
];

/// What brings a clock, sockets, threads, a runtime or a browser with it: no crate without I/O is built on
/// any of these.
const WORLDLY: &[&str] = &[
    "async-std",
    "axum",
    "getrandom",
    "gloo-timers",
    "hyper",
    "js-sys",
    "mio",
    "rand",
    "reqwest",
    "smol",
    "socket2",
    "tokio",
    "wasm-bindgen",
    "wasm-bindgen-futures",
    "web-sys",
    "web-time",
];

/// A package of this workspace and what it depends on directly.
#[derive(Debug)]
pub(super) struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    is_for_tests: bool,
}

/// The packages of this workspace, as cargo understands their manifests.
pub(super) fn packages() -> Result<Vec<Package>> {
    let mut command = process::cargo(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let metadata = process::answer(&mut command).context("`cargo metadata` failed")?;
    parse(&metadata).context("`cargo metadata` says something that is not understood")
}

fn parse(metadata: &str) -> Option<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).ok()?;
    let package = |package: &Value| {
        let dependency = |dependency: &Value| {
            let name = dependency["name"].as_str()?.to_owned();
            Some(Dependency {
                name,
                is_for_tests: dependency["kind"] == "dev",
            })
        };
        let dependencies = package["dependencies"]
            .as_array()?
            .iter()
            .map(dependency)
            .collect::<Option<_>>()?;
        Some(Package {
            name: package["name"].as_str()?.to_owned(),
            dependencies,
        })
    };
    metadata["packages"].as_array()?.iter().map(package).collect()
}

/// Finds dependencies that point the wrong way, and packages that have no place in the order.
pub(super) fn check(packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    for Package { name, dependencies } in packages {
        let Some((_, may_use)) = MAY_USE.iter().find(|(package, _)| package == name) else {
            findings.push(format!("{name}: say in {} what it may depend on", file!()));
            continue;
        };
        let is_pure = name
            .strip_prefix("causeway-")
            .is_some_and(|folder| PURE.contains(&folder));
        for dependency in dependencies {
            let used = dependency.name.as_str();
            let is_ours = MAY_USE.iter().any(|(package, _)| *package == used);
            if is_ours && !may_use.contains(&used) {
                findings.push(format!(
                    "{name} must not depend on {used}: dependencies point the other way"
                ));
            }
            if is_pure && !dependency.is_for_tests && WORLDLY.contains(&used) {
                findings.push(format!("{name} must not depend on {used}: it does no I/O"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, used: &str, kind: &str) -> Vec<String> {
        let metadata = format!(
            r#"{{"packages":[{{"name":"{name}","dependencies":[{{"name":"{used}","kind":{kind}}}]}}]}}"#
        );
        check(&parse(&metadata).expect("a fixture that is understood"))
    }

    #[test]
    fn dependencies_point_one_way_only() {
        assert_eq!(findings("causeway-wire", "causeway-core", "null"), [""; 0]);
        assert_eq!(findings("causeway-web", "causeway-engine", "null"), [""; 0]);
        for (name, used) in [
            ("causeway-core", "causeway-wire"),
            ("causeway-engine", "causeway-web"),
            ("xtask", "causeway"),
        ] {
            for kind in ["null", r#""dev""#] {
                let findings = findings(name, used, kind);
                assert!(
                    findings[0].contains(&format!("{name} must not depend on {used}")),
                    "{findings:?}"
                );
            }
        }
    }

    #[test]
    fn crates_without_io_have_no_runtime_below_them() {
        assert_eq!(findings("causeway-engine", "tokio", "null").len(), 1);
        assert_eq!(findings("causeway-core", "web-sys", "null").len(), 1);
        assert_eq!(findings("causeway-core", "wasm-bindgen", r#""dev""#), [""; 0]);
        assert_eq!(findings("causeway-tracker", "tokio", "null"), [""; 0]);
    }

    #[test]
    fn a_new_package_has_to_be_given_its_place() {
        let findings = findings("causeway-new", "bytes", "null");
        assert!(findings[0].starts_with("causeway-new: say in"), "{findings:?}");
    }

    #[test]
    fn cargo_knows_every_package_that_has_a_place() {
        let packages = packages().expect("this project has metadata");
        for (name, _) in MAY_USE {
            assert!(
                packages.iter().any(|package| package.name == *name),
                "there is no package {name}"
            );
        }
    }
}
