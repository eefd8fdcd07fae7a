use super::super::diff::ProfileDiff;
use super::super::random::{RandomProfile, random, repository, with_one_more};
use super::*;
use crate::profile::Document;

fn of(document: &Document) -> Exposure {
    Exposure::of(&document.profile)
}

/// Where one profile permits all that another does, no row of it is better.
fn is_no_better(less: &Document, more: &Document) -> bool {
    if ProfileDiff::of(more, less, None, None).grants_more() {
        return false;
    }
    let (less_exposed, more_exposed) = (of(less), of(more));
    for (one, other) in less_exposed.rows.iter().zip(&more_exposed.rows) {
        assert!(
            other.badness >= one.badness,
            "{}: {} became {}\n{}\n{}",
            one.id,
            one.badness,
            other.badness,
            less.text,
            more.text
        );
    }
    assert!(more_exposed.value >= less_exposed.value);
    true
}

#[test]
fn a_grant_more_never_lowers_a_row() {
    let mut source = RandomProfile(23);
    let mut compared = 0;
    for document in repository() {
        for _ in 0..10 {
            compared += usize::from(is_no_better(&document, &with_one_more(&document, &mut source)));
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn of_any_two_profiles_the_one_that_permits_more_is_no_better() {
    let mut source = RandomProfile(29);
    let mut compared = 0;
    for _ in 0..120 {
        let one = random(&mut source);
        let other = random(&mut source);
        compared += usize::from(is_no_better(&one, &other)) + usize::from(is_no_better(&other, &one));
        let mut more = one.clone();
        for _ in 0..3 {
            more = with_one_more(&more, &mut source);
            compared += usize::from(is_no_better(&one, &more));
        }
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn the_table_is_sound() {
    let mut ids = std::collections::BTreeSet::new();
    for row in rows::ROWS {
        assert!(ids.insert(row.id), "{} twice", row.id);
        assert!(row.weight > 0 && row.docker <= WORST, "{}", row.id);
        assert!(row.good.ends_with('.') && row.bad.ends_with('.') && row.good != row.bad, "{}", row.id);
    }
    for document in repository() {
        let exposure = of(&document);
        assert_eq!(exposure.rows.len(), rows::ROWS.len());
        for row in exposure.rows.iter().filter(|row| row.badness > 0.0) {
            assert!(!row.pointers.is_empty(), "{}: a bad row names what makes it bad", row.id);
        }
    }
}

#[test]
fn what_confines_less_is_more_exposed() {
    let named = |name: &str| {
        let text = crate::profile::embedded::named(name).expect("an embedded profile");
        of(&read(text.as_bytes()).expect("valid"))
    };
    let [strict, nginx, baseline] = ["strict", "nginx", "baseline"].map(named);
    let docker = Exposure::docker();
    assert!(
        strict.value < nginx.value && nginx.value < baseline.value && baseline.value < docker.value,
        "{} {} {} {}",
        strict.value,
        nginx.value,
        baseline.value,
        docker.value
    );
    assert_eq!(baseline, Exposure::baseline());
    let off = crate::profile::embedded::named("strict").expect("one").replacen(
        "\"name\"",
        "\"mode\": \"off\", \"name\"",
        1,
    );
    let off = of(&read(off.as_bytes()).expect("valid"));
    assert_eq!((off.value, off.band()), (10.0, "DANGEROUS"));
}

#[test]
fn the_documentation_has_the_table() {
    let documented = include_str!("../../../docs/review.md").contains(&table());
    assert!(documented, "put into docs/review.md:\n{}", table());
}
