//! Every input that was ever worth keeping, once more.

use std::fs;
use std::path::Path;

use causeway_fuzz::TARGETS;

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the test harness shows the last one with the failure"
)]
fn no_known_input_breaks_a_target() {
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target.name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).expect("every target has a corpus") {
            let path = entry.expect("the folder can be read").path();
            let input = fs::read(&path).expect("a file");
            println!("{}", path.display());
            (target.run)(&input);
            inputs += 1;
        }
        assert!(inputs > 0, "{} has inputs", target.name);
    }
}
