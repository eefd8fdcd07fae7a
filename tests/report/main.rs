//! `remit report` from outside: the HTML by itself, and in a browser.
#![cfg(feature = "tool")]

mod browser;
mod hostile;
mod html;
mod made;
mod pages;
#[path = "../harness/place.rs"]
mod place;
#[path = "../support/skip.rs"]
mod skip;
mod style;

use place::Place;

impl Place {
    /// The report with these arguments, as `report.html` has it.
    fn report(&self, arguments: &[&str]) -> String {
        self.done(&[&["report", "-o", "report.html"], arguments].concat());
        self.text("report.html")
    }
}

/// The reports that are looked at from all sides: of ready profiles, of a learned one with all that a report can
/// have, and of a large one.
fn examples() -> Vec<(&'static str, String)> {
    let place = Place::new();
    made::built(&place);
    place.put("large.json", made::large().to_string());
    place.put("events", made::events("sha256:0"));
    let learned = place.report(&["app.json", "--events", "events", "--against", "nginx", "--arch", "x86_64"]);
    let large = place.report(&["large.json", "--events", "events", "--against", "app.json"]);
    let mut all = vec![("learned", learned), ("large", large)];
    all.extend(
        ["baseline", "strict", "static", "nginx", "postgres", "java"]
            .map(|name| (name, place.report(&[name]))),
    );
    all
}
