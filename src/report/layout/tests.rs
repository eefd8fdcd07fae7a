use super::*;

/// Numbers that look random and are the same on every machine (Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}

fn check(sizes: &[(f64, f64)], arrows: &BTreeSet<(usize, usize)>) -> GraphLayout {
    let found = layout(sizes, &[0], arrows).expect("it is small enough");
    assert_eq!(found.boxes.len(), sizes.len());
    for (index, one) in found.boxes.iter().enumerate() {
        assert_eq!((one.width, one.height), sizes[index]);
        assert!(one.x >= 0.0 && one.y >= 0.0, "{one:?}");
        assert!(one.right() <= found.width && one.bottom() <= found.height, "{one:?} in {found:?}");
        for other in &found.boxes[index + 1..] {
            let beside = one.right() <= other.x || other.right() <= one.x;
            let above =
                one.bottom() + DISTANCE <= other.y + 0.01 || other.bottom() + DISTANCE <= one.y + 0.01;
            assert!(beside || above, "{one:?} and {other:?} overlap");
        }
    }
    let wanted: Vec<(usize, usize)> = arrows.iter().copied().filter(|(from, to)| from != to).collect();
    assert_eq!(found.routes.iter().map(|route| route.ends).collect::<Vec<_>>(), wanted);
    for route in &found.routes {
        let (left, right) = route.sides();
        let (left, right) = (&found.boxes[left], &found.boxes[right]);
        let (start, end) = (route.points[0], route.points[route.points.len() - 1]);
        assert_eq!((start.x, end.x), (left.right(), right.x), "{route:?}");
        assert!((left.y..=left.bottom()).contains(&start.y) && (right.y..=right.bottom()).contains(&end.y));
        assert!(route.points.is_sorted_by_key(|point| (point.x * 8.0) as i64), "{route:?}");
        for point in &route.points {
            assert!((0.0..=found.width).contains(&point.x) && (0.0..=found.height).contains(&point.y));
        }
        // Where it leaves or passes a layer, it is outside of all boxes of it.
        for pair in route.points[..route.points.len() - 1].chunks(2) {
            let inside = |one: &&LayoutBox| {
                let beside = pair[1].x <= one.x || one.right() <= pair[0].x;
                !beside && one.y < pair[0].y && pair[0].y < one.bottom()
            };
            assert_eq!(found.boxes.iter().find(inside), None, "{route:?}");
        }
    }
    found
}

#[test]
fn sixty_boxes_do_not_overlap_whatever_their_arrows() {
    let mut numbers = Numbers(7);
    for case in 0..10 {
        let count = 60;
        let sizes: Vec<(f64, f64)> = (0..count)
            .map(|_| (40.0 + numbers.below(200) as f64, 24.0 + 16.0 * numbers.below(8) as f64))
            .collect();
        let mut arrows = BTreeSet::new();
        for to in 1..count {
            arrows.insert((numbers.below(to), to));
        }
        for _ in 0..case * 8 {
            arrows.insert((numbers.below(count), numbers.below(count)));
        }
        let found = check(&sizes, &arrows);
        assert_eq!(found, check(&sizes, &arrows), "the same input gives the same layout");
    }
}

#[test]
fn a_chain_goes_from_left_to_right_and_a_circle_back() {
    let sizes = [(100.0, 24.0); 4];
    let found = check(&sizes, &[(0, 1), (1, 2), (2, 3), (3, 0), (0, 3), (2, 2)].into());
    assert!(found.boxes.windows(2).all(|pair| pair[0].right() < pair[1].x), "{found:?}");
    let back: Vec<(usize, usize)> =
        found.routes.iter().filter(|route| route.is_back).map(|route| route.ends).collect();
    assert_eq!(back, [(3, 0)]);
}

#[test]
fn boxes_without_arrows_are_below_each_other() {
    let found = check(&[(100.0, 24.0); 5], &BTreeSet::new());
    assert!(found.boxes.windows(2).all(|pair| pair[0].bottom() < pair[1].y && pair[0].x == pair[1].x));
    check(&[], &BTreeSet::new());
}

#[test]
fn two_boxes_that_lead_to_each_other_have_both_arrows() {
    let found = check(&[(100.0, 24.0); 2], &[(0, 1), (1, 0)].into());
    assert_eq!(found.routes.iter().map(|route| route.is_back).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn what_is_too_large_is_not_drawn() {
    assert_eq!(layout(&[(1.0, 1.0); MOST_BOXES + 1], &[], &BTreeSet::new()), None);
    let all = (0..30).flat_map(|from| (0..30).map(move |to| (from, to))).collect();
    assert_eq!(layout(&[(1.0, 1.0); 30], &[], &all), None);
    let dense: BTreeSet<(usize, usize)> =
        (0..28).flat_map(|from| (0..28).map(move |to| (from, to))).filter(|(from, to)| from < to).collect();
    let found = layout(&[(1.0, 1.0); 28], &[], &dense);
    assert_eq!(found, None, "{} places are too many", 28 * 27 * 26 / 6);
}

#[test]
fn boxes_between_others_may_have_no_arrow() {
    let found = check(&[(100.0, 24.0); 6], &[(1, 3), (1, 5), (3, 5)].into());
    assert_eq!(found.routes.len(), 3);
    assert!(found.boxes[1].right() < found.boxes[3].x && found.boxes[3].right() < found.boxes[5].x);
}
