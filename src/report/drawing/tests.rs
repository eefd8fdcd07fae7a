use super::*;
use crate::profile;

fn of(programs: &str) -> Option<ProgramDrawing> {
    let text = format!(r#"{{"remit":1,"name":"x","programs":{programs}}}"#);
    drawing(&ProgramGraph::of(&profile::read(text.as_bytes()).expect("a profile").profile))
}

/// A profile with 60 programs: a script, its shell, tools and workers that run each other.
fn sixty() -> String {
    let mut programs =
        vec![r#"{"path":"/usr/local/bin/docker-entrypoint.sh","entry":true,"interpreter":"/bin/bash","may_run":["/bin/bash","/opt/app/releases/1.0/bin/server-0"]}"#.to_owned()];
    let tools: Vec<String> = (0..25).map(|n| format!("/usr/bin/tool-number-{n}")).collect();
    programs.push(format!(r#"{{"path":"/bin/bash","may_run":{tools:?}}}"#));
    programs.extend(tools.iter().map(|tool| format!(r#"{{"path":"{tool}"}}"#)));
    for n in 0..33 {
        let next: Vec<String> = [n + 1, n * 2 + 1, n * 3 % 33]
            .into_iter()
            .filter(|next| *next < 33 && *next != n)
            .map(|next| format!("/opt/app/releases/1.0/bin/server-{next}"))
            .collect();
        programs.push(format!(r#"{{"path":"/opt/app/releases/1.0/bin/server-{n}","may_run":{next:?}}}"#));
    }
    format!("[{}]", programs.join(","))
}

/// The rectangle of a label, as wide as the widest font of the style sheet makes it.
fn rectangle(label: &ShapeLabel) -> LayoutBox {
    let value = |text: &str| text.parse::<f64>().expect("a number");
    let width = columns(&label.text) as f64 * COLUMN;
    LayoutBox { x: value(&label.x), y: value(&label.y) - 12.0, width, height: 15.0 }
}

#[test]
fn at_sixty_programs_labels_are_apart_and_in_their_boxes() {
    let found = of(&sixty()).expect("a drawing");
    let names: usize = found.shapes.iter().map(|shape| shape.names.len()).sum();
    assert_eq!(names, 60);
    let labels: Vec<(LayoutBox, &ProgramShape)> = found
        .shapes
        .iter()
        .flat_map(|shape| shape.labels.iter().map(move |label| (rectangle(label), shape)))
        .collect();
    assert!(labels.len() >= 60, "each has its label: {}", labels.len());
    let (width, height) =
        (found.width.parse::<f64>().expect("width"), found.height.parse::<f64>().expect("height"));
    for (index, (one, shape)) in labels.iter().enumerate() {
        let place = shape.place;
        assert!(place.x <= one.x && one.right() <= place.right(), "{:?}", shape.names);
        assert!(
            place.y <= one.y && one.bottom() <= place.bottom() + 0.1,
            "{:?}: {one:?} in {place:?}",
            shape.names
        );
        assert!(place.x >= 0.0 && place.y >= 0.0 && place.right() <= width && place.bottom() <= height);
        for (other, _) in &labels[index + 1..] {
            let apart = one.right() <= other.x
                || other.right() <= one.x
                || one.bottom() <= other.y
                || other.bottom() <= one.y;
            assert!(apart, "{one:?} and {other:?} overlap");
        }
    }
    assert_eq!(of(&sixty()), Some(found), "the same profile gives the same drawing");
}

#[test]
fn shapes_differ_by_role() {
    let at = LayoutBox { x: 0.0, y: 0.0, width: 100.0, height: 30.0 };
    let roles =
        [ProgramRole::Executable, ProgramRole::Script, ProgramRole::Directory, ProgramRole::InterpreterOnly];
    let outlines: BTreeSet<String> = roles.iter().map(|role| outline(*role, &at)).collect();
    assert_eq!(outlines.len(), roles.len());
    let found = of(r#"[{"path":"/a","entry":true,"may_run":["/b"]},{"path":"/b"}]"#).expect("a drawing");
    assert!(!found.shapes[0].mark.is_empty() && found.shapes[1].mark.is_empty());
    assert_eq!(found.arrows[0].title, "/a may run /b");
}

#[test]
fn an_arrow_back_ends_with_a_curve_where_its_box_fills_the_layer() {
    let found = of(r#"[{"path":"/a","entry":true,"may_run":["/b"]},{"path":"/b","may_run":["/a"]}]"#)
        .expect("a drawing");
    assert_eq!(found.arrows[1].title, "/b may run /a");
    assert!(!found.arrows[1].path.contains('L'), "{}", found.arrows[1].path);
}

#[test]
fn a_script_and_its_interpreter_are_connected() {
    let found = of(r#"[{"path":"/a.sh","entry":true,"interpreter":"/bin/sh"}]"#).expect("a drawing");
    let classes: Vec<&str> = found.shapes.iter().map(|shape| shape.class).collect();
    assert_eq!(classes, ["box script entry", "box interpreter"]);
    assert_eq!((found.arrows[0].class, &*found.arrows[0].title), ("read", "/a.sh is read by /bin/sh"));
}

#[test]
fn hundreds_of_programs_that_run_each_other_are_one_box() {
    let paths: Vec<String> = (0..200).map(|n| format!("/app/{n}")).collect();
    let programs: Vec<String> =
        paths.iter().map(|path| format!(r#"{{"path":"{path}","entry":true,"may_run":{paths:?}}}"#)).collect();
    let found = of(&format!("[{}]", programs.join(","))).expect("a drawing");
    assert_eq!((found.shapes.len(), found.arrows.len()), (1, 0));
    let labels: Vec<&str> = found.shapes[0].labels.iter().map(|label| label.text.as_str()).collect();
    assert_eq!(labels.len(), ROWS * MOST_COLUMNS + 1);
    assert_eq!(labels[ROWS * MOST_COLUMNS - 1..], ["and 153 more", "each may run each"]);
}

#[test]
fn numbers_are_short() {
    for (value, text) in [(0.0, "0"), (1.25, "1.3"), (-0.04, "0"), (-2.5, "-2.5"), (12.0, "12")] {
        assert_eq!(number(value), text);
    }
}
