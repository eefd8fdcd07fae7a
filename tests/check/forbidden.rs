//! Programs that the requirements forbid, by whatever name an entry lets them run.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::{Place, elf, executable};

/// A profile with one more program, and requirements that forbid these.
fn forbids(bench: &Place, program: &Value, forbidden: &[&str]) {
    let target = program["path"].as_str().or(program["beneath"].as_str()).expect("a place");
    let to = json!({ "path": target, "applet": program["applet"] });
    let to = if program["applet"].is_null() { json!(target) } else { to };
    let profile = json!({ "remit": 1, "name": "server", "files": ["@runtime"], "programs": [
        { "path": "/usr/sbin/server", "entry": true, "may_run": [to] }, program] });
    bench.put("p.json", format!("{profile:#}\n"));
    bench.put("require.json", json!({ "require": 1, "forbid": { "programs": forbidden } }).to_string());
}

/// The exit code, and the sentences of `forbidden-program`.
fn answer(bench: &Place, more: &[&str]) -> (i32, Vec<String>) {
    let checked = bench.check(&[&["--require", "require.json"], more].concat());
    let found = checked.of("forbidden-program").into_iter();
    (checked.code, found.map(|one| one["what"].as_str().expect("a sentence").to_owned()).collect())
}

const IMAGE: &[&str] = &["--image", "image"];

/// An image with busybox, nc as a link to it, and a program of its own.
fn image(bench: &Place) {
    bench.image();
    for name in ["usr/bin/busybox", "usr/bin/tool"] {
        bench.put(&format!("image/{name}"), elf(7));
        executable(&bench.path(&format!("image/{name}")));
    }
    symlink("busybox", bench.path("image/usr/bin/nc")).expect("a link");
    symlink("loop", bench.path("image/usr/bin/loop")).expect("a link");
    symlink("usr/bin", bench.path("image/bin")).expect("a link");
}

#[test]
fn a_directory_of_programs_is_looked_through_or_leaves_it_open() {
    let bench = Place::new();
    image(&bench);
    let beneath = |directory: &str| json!({ "beneath": directory, "why": "tools" });
    forbids(&bench, &beneath("/usr/bin"), &["nc"]);
    let (code, what) = answer(&bench, &[]);
    assert_eq!((code, what.len()), (3, 1), "{what:?}");
    let (code, what) = answer(&bench, IMAGE);
    assert!(code == 1 && what.len() == 1 && what[0].contains("/usr/bin/nc in image"), "{code} {what:?}");
    // The applet needs no link.
    forbids(&bench, &beneath("/usr/bin"), &["wget"]);
    let (code, what) = answer(&bench, IMAGE);
    assert!(code == 1 && what[0].contains("/usr/bin/busybox as any of its applets"), "{code} {what:?}");
    // A directory that is a link to it, and a path.
    forbids(&bench, &beneath("/bin"), &["/usr/bin/tool"]);
    assert_eq!(answer(&bench, IMAGE).0, 1);
    assert_eq!(answer(&bench, &[]).0, 1);
    // What is not there.
    forbids(&bench, &beneath("/usr/sbin"), &["nc"]);
    assert_eq!(answer(&bench, IMAGE), (0, vec![]));
    // A volume, of which the image knows nothing.
    forbids(&bench, &beneath("/srv/tools"), &["nc"]);
    let (_, what) = answer(&bench, IMAGE);
    assert!(what.len() == 1 && what[0].contains("cannot be seen in image"), "{what:?}");
}

#[test]
fn an_entry_of_its_own_takes_a_file_from_the_directory() {
    let bench = Place::new();
    image(&bench);
    forbids(&bench, &json!({ "beneath": "/usr/bin", "why": "tools" }), &["nc"]);
    bench.change(|profile| {
        let own = json!({ "path": "/usr/bin/busybox", "applet": "cat", "why": "a tool" });
        profile["programs"].as_array_mut().expect("a list").push(own);
    });
    assert_eq!(answer(&bench, IMAGE), (0, vec![]));
}

#[test]
fn a_program_with_applets_is_each_of_them() {
    let bench = Place::new();
    image(&bench);
    let busybox = |applet: Option<&str>| {
        let mut program = json!({ "path": "/usr/bin/busybox", "why": "tools" });
        applet.into_iter().for_each(|applet| program["applet"] = applet.into());
        program
    };
    for more in [&[], IMAGE] {
        forbids(&bench, &busybox(None), &["nc"]);
        let (code, what) = answer(&bench, more);
        assert!(code == 1 && what.len() == 1 && what[0].ends_with("the requirements forbid nc."), "{what:?}");
        forbids(&bench, &busybox(Some("cat")), &["nc"]);
        assert_eq!(answer(&bench, more), (0, vec![]));
        forbids(&bench, &busybox(Some("nc")), &["nc"]);
        assert_eq!(answer(&bench, more).0, 1);
    }
}

#[test]
fn a_link_is_what_it_leads_to() {
    let bench = Place::new();
    image(&bench);
    let busybox = json!({ "path": "/usr/bin/busybox", "why": "tools" });
    for path in ["/bin/nc", "/usr/bin/nc"] {
        forbids(&bench, &busybox, &[path]);
        let (code, what) = answer(&bench, IMAGE);
        assert!(code == 1 && what[0].contains(&format!("which is {path} in image")), "{code} {what:?}");
        assert_eq!(answer(&bench, &[]).0, 3, "it may be a link to busybox");
        forbids(&bench, &json!({ "path": "/usr/bin/busybox", "applet": "cat", "why": "a tool" }), &[path]);
        assert_eq!((answer(&bench, IMAGE), answer(&bench, &[])), ((0, vec![]), (0, vec![])));
    }
    // A link that is listed, to a program that is forbidden by its name.
    symlink("tool", bench.path("image/usr/bin/editor")).expect("a link");
    forbids(&bench, &json!({ "path": "/usr/bin/editor", "why": "a tool" }), &["tool"]);
    let (code, what) = answer(&bench, IMAGE);
    assert!(code == 1 && what[0].contains("which is /usr/bin/tool in image"), "{code} {what:?}");
    // Another form of the same path.
    forbids(&bench, &json!({ "path": "/bin/tool", "why": "a tool" }), &["/usr/bin/tool"]);
    assert_eq!(answer(&bench, &[]).0, 1);
}
