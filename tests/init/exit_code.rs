//! The exit code is the app's own, 128+n for a signal, and what `-e` makes of it.

use crate::harness::run;
use crate::ways;

#[test]
fn the_exit_code_is_the_apps() {
    for way in ways() {
        for (act, code) in [(["exit", "0"], 0), (["exit", "3"], 3), (["die", "9"], 137), (["die", "15"], 143)]
        {
            let ended = run(&mut way.shim(&[], &act));
            assert_eq!(ended.code, code, "{way:?} {act:?}: {ended:?}");
            assert_eq!(ended.stderr, "", "{way:?} {act:?}: as silent as tini");
        }
        assert_eq!(run(&mut way.shim(&["-e", "143", "-e", "4"], &["die", "15"])).code, 0, "{way:?}");
        assert_eq!(run(&mut way.shim(&["-e", "143", "-e", "4"], &["exit", "4"])).code, 0, "{way:?}");
        assert_eq!(run(&mut way.shim(&["-e", "143"], &["exit", "5"])).code, 5, "{way:?}");
    }
}
