//! A layered layout of boxes and arrows, from left to right: rust-sugiyama orders each layer so that few arrows
//! cross, [`align`] brings what is connected to one height. An arrow over several layers gets a place of its own
//! in each between.

mod align;

use std::collections::{BTreeMap, BTreeSet};

use rust_sugiyama::configure::Config;
use rust_sugiyama::from_vertices_and_edges;

/// The least distance of two boxes of a layer, and of a box from an arrow that passes it.
pub(super) const DISTANCE: f64 = 16.0;
/// The distance of two layers, beside what their arrows add.
const LAYERS_APART: f64 = 56.0;
/// What each arrow between two layers adds to their distance, and all of them at the most.
const ARROW_ADDS: f64 = 3.0;
const ARROWS_ADD: f64 = 72.0;
/// The height that a passing arrow takes.
const PASSING: f64 = 6.0;
/// The margin around the drawing. Arrows that leave and enter the same box need it.
const MARGIN: f64 = 24.0;

/// The most boxes, arrows, and places of passing arrows that are laid out. More are no drawing that a
/// person reads.
const MOST_BOXES: usize = 120;
const MOST_ARROWS: usize = 400;
const MOST_PLACES: usize = 900;

/// A point of the drawing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayoutPoint {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
}

/// The place of a box.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayoutBox {
    /// Its left edge.
    pub x: f64,
    /// Its upper edge.
    pub y: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

impl LayoutBox {
    fn middle(&self) -> f64 {
        self.y + self.height / 2.0
    }

    /// The right edge.
    pub fn right(&self) -> f64 {
        self.x + self.width
    }

    /// The lower edge.
    pub fn bottom(&self) -> f64 {
        self.y + self.height
    }
}

/// The way of an arrow.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrowRoute {
    /// The boxes that it connects.
    pub ends: (usize, usize),
    /// Its points from left to right: the edge of the box on the left, the end of that box's layer, two for
    /// each layer that it passes, and the edge of the box on the right. Between the second and the third
    /// point, between the fourth and the fifth, and so on it crosses from one layer to the next.
    pub points: Vec<LayoutPoint>,
    /// It leads from the right to the left.
    pub is_back: bool,
}

/// The layout of a graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphLayout {
    /// The width of the drawing.
    pub width: f64,
    /// The height of the drawing.
    pub height: f64,
    /// The place of each box.
    pub boxes: Vec<LayoutBox>,
    /// The way of each arrow.
    pub routes: Vec<ArrowRoute>,
}

/// The layout of boxes with these widths and heights, of which those in `first` come first; `None` where
/// there are too many. An arrow from a box to itself is no part of it.
pub fn layout(
    sizes: &[(f64, f64)],
    first: &[usize],
    arrows: &BTreeSet<(usize, usize)>,
) -> Option<GraphLayout> {
    let arrows: BTreeSet<(usize, usize)> = arrows.iter().copied().filter(|(from, to)| from != to).collect();
    if sizes.len() > MOST_BOXES || arrows.len() > MOST_ARROWS {
        return None;
    }
    let forward = acyclic(sizes.len(), first, &arrows);
    let layers = layers(sizes.len(), &forward);
    let places = BoxPlaces::of(sizes, &forward, &layers)?;
    Some(places.layout(sizes, &arrows))
}

/// The arrows without those that close a circle, which are turned round.
fn acyclic(count: usize, first: &[usize], arrows: &BTreeSet<(usize, usize)>) -> BTreeSet<(usize, usize)> {
    let mut next = vec![Vec::new(); count];
    let mut has_origin = vec![false; count];
    for (from, to) in arrows {
        next[*from].push(*to);
        has_origin[*to] = true;
    }
    let mut begin: Vec<usize> = first.iter().copied().filter(|one| *one < count).collect();
    begin.extend((0..count).filter(|one| !has_origin[*one]));
    begin.extend(0..count);
    // Depth first, without recursion: a box that is left for good comes before all that were left earlier.
    let (mut seen, mut rank, mut left) = (vec![false; count], vec![0; count], count);
    for start in begin {
        let mut way = vec![(start, 0)];
        while let Some((at, turn)) = way.last_mut() {
            let at = *at;
            if *turn == 0 && seen[at] {
                way.pop();
                continue;
            }
            seen[at] = true;
            // Backwards, so that the first target ends up first.
            let Some(to) = next[at].len().checked_sub(*turn + 1).map(|turn| next[at][turn]) else {
                left -= 1;
                rank[at] = left;
                way.pop();
                continue;
            };
            *turn += 1;
            if !seen[to] {
                way.push((to, 0));
            }
        }
    }
    arrows
        .iter()
        .map(|(from, to)| if rank[*from] < rank[*to] { (*from, *to) } else { (*to, *from) })
        .collect()
}

/// The layer of each box: behind all from which an arrow leads to it, and a box without such directly
/// before the first that it leads to.
fn layers(count: usize, forward: &BTreeSet<(usize, usize)>) -> Vec<usize> {
    let mut layers = vec![0; count];
    // As often as there are boxes at the most, since there is no circle.
    let mut settled = false;
    while !settled {
        settled = true;
        for (from, to) in forward {
            if layers[*to] <= layers[*from] {
                layers[*to] = layers[*from] + 1;
                settled = false;
            }
        }
    }
    let has_origin: BTreeSet<usize> = forward.iter().map(|(_, to)| *to).collect();
    for one in (0..count).filter(|one| !has_origin.contains(one)) {
        let nearest = forward.iter().filter(|(from, _)| *from == one).map(|(_, to)| layers[*to]).min();
        layers[one] = nearest.map_or(0, |nearest| nearest - 1);
    }
    layers
}

/// Boxes and the places of passing arrows, layer by layer.
struct BoxPlaces<'l> {
    layers: &'l [usize],
    /// Of each arrow, the places between its boxes, in the order of the layers. They are numbered behind
    /// the boxes.
    passing: BTreeMap<(usize, usize), Vec<usize>>,
    /// From each layer to the next: a box or place, and one that an arrow connects it with.
    steps: Vec<(usize, usize)>,
    /// The parts of the graph that are not connected, each with its layers, each from top to bottom.
    parts: Vec<BTreeMap<usize, Vec<usize>>>,
}

impl BoxPlaces<'_> {
    fn of<'l>(
        sizes: &[(f64, f64)],
        forward: &BTreeSet<(usize, usize)>,
        layers: &'l [usize],
    ) -> Option<BoxPlaces<'l>> {
        let mut layer_of = layers.to_vec();
        let (mut passing, mut steps) = (BTreeMap::new(), Vec::new());
        for (from, to) in forward {
            let mut last = *from;
            let mut through = Vec::new();
            for layer in layers[*from] + 1..layers[*to] {
                let place = layer_of.len();
                layer_of.push(layer);
                through.push(place);
                steps.push((last, place));
                last = place;
            }
            steps.push((last, *to));
            passing.insert((*from, *to), through);
        }
        if layer_of.len() - sizes.len() > MOST_PLACES {
            return None;
        }
        let parts = parts(sizes, &steps, &layer_of);
        Some(BoxPlaces { layers, passing, steps, parts })
    }

    fn layout(&self, sizes: &[(f64, f64)], arrows: &BTreeSet<(usize, usize)>) -> GraphLayout {
        let columns = self.columns(sizes);
        let mut middles: BTreeMap<usize, f64> = BTreeMap::new();
        let mut top = MARGIN;
        for part in &self.parts {
            let rows: Vec<&[usize]> = part.values().map(Vec::as_slice).collect();
            let height = |one: usize| extent(sizes, one);
            let found = align::align(&rows, &self.steps, &height);
            let highest = found.iter().map(|(one, middle)| middle - height(*one) / 2.0);
            let shift = top - highest.fold(f64::INFINITY, f64::min);
            for (one, middle) in found {
                top = top.max(middle + shift + height(one) / 2.0);
                middles.insert(one, middle + shift);
            }
            top += 2.0 * DISTANCE;
        }
        let place = |(one, (width, height)): (usize, &(f64, f64))| {
            let middle = middles.get(&one).copied().unwrap_or_default();
            let (x, _) = columns[self.layers[one]];
            LayoutBox { x, y: middle - height / 2.0, width: *width, height: *height }
        };
        let boxes: Vec<LayoutBox> = sizes.iter().enumerate().map(place).collect();
        let right = columns.last().map_or(0.0, |(x, width)| x + width);
        let routes = arrows.iter().map(|ends| self.route(*ends, &boxes, &columns, &middles)).collect();
        GraphLayout {
            width: right + MARGIN,
            height: (top - 2.0 * DISTANCE).max(MARGIN) + MARGIN,
            routes: apart(routes, &boxes),
            boxes,
        }
    }

    /// The left edge and the width of each layer.
    fn columns(&self, sizes: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let count = self.layers.iter().max().map_or(0, |last| last + 1);
        let mut widths = vec![0.0f64; count];
        for (layer, (width, _)) in self.layers.iter().zip(sizes) {
            widths[*layer] = widths[*layer].max(*width);
        }
        let mut crossing = vec![0.0f64; count];
        for (from, to) in self.passing.keys() {
            crossing[self.layers[*from]..self.layers[*to]].iter_mut().for_each(|one| *one += ARROW_ADDS);
        }
        let mut x = MARGIN;
        widths
            .into_iter()
            .zip(crossing)
            .map(|(width, crossing)| {
                let column = (x, width);
                x += width + LAYERS_APART + crossing.min(ARROWS_ADD);
                column
            })
            .collect()
    }

    fn route(
        &self,
        ends: (usize, usize),
        boxes: &[LayoutBox],
        columns: &[(f64, f64)],
        middles: &BTreeMap<usize, f64>,
    ) -> ArrowRoute {
        let is_back = !self.passing.contains_key(&ends);
        let (left, right) = if is_back { (ends.1, ends.0) } else { ends };
        let through = self.passing.get(&(left, right)).map_or(&[][..], Vec::as_slice);
        let (x, width) = columns[self.layers[left]];
        let y = boxes[left].middle();
        let mut points = vec![LayoutPoint { x: boxes[left].right(), y }, LayoutPoint { x: x + width, y }];
        for (step, place) in through.iter().enumerate() {
            let (x, width) = columns[self.layers[left] + 1 + step];
            let y = middles.get(place).copied().unwrap_or_default();
            points.extend([LayoutPoint { x, y }, LayoutPoint { x: x + width, y }]);
        }
        points.push(LayoutPoint { x: boxes[right].x, y: boxes[right].middle() });
        ArrowRoute { ends, points, is_back }
    }
}

/// The height of a box, or of the place of an arrow.
fn extent(sizes: &[(f64, f64)], one: usize) -> f64 {
    sizes.get(one).map_or(PASSING, |(_, height)| *height)
}

/// The parts that are not connected, each with its layers, in an order in which few arrows cross; the part of
/// the first box first.
fn parts(
    sizes: &[(f64, f64)],
    steps: &[(usize, usize)],
    layer_of: &[usize],
) -> Vec<BTreeMap<usize, Vec<usize>>> {
    let connected: BTreeSet<usize> = steps.iter().flat_map(|(from, to)| [*from, *to]).collect();
    // The library numbers what it lays out from 0 on, whatever it is called.
    let numbered: Vec<usize> = connected.iter().copied().collect();
    let number: BTreeMap<usize, u32> = numbered.iter().copied().zip(0..).collect();
    // Its layers are rows, so a box's height is its extent there.
    let vertices: Vec<(u32, (f64, f64))> =
        number.iter().map(|(one, number)| (*number, (extent(sizes, *one), 1.0))).collect();
    let edges: Vec<(u32, u32)> = steps.iter().map(|(from, to)| (number[from], number[to])).collect();
    let config = Config { vertex_spacing: DISTANCE, ..Config::default() };
    let mut parts: Vec<BTreeMap<usize, Vec<usize>>> = Vec::new();
    for (mut places, _, _) in from_vertices_and_edges(&vertices, &edges, &config) {
        places.sort_by(|(a, (a_along, _)), (b, (b_along, _))| a_along.total_cmp(b_along).then(a.cmp(b)));
        let mut part: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for one in places.into_iter().map(|(one, _)| numbered[one]) {
            part.entry(layer_of[one]).or_default().push(one);
        }
        parts.push(part);
    }
    let alone = (0..sizes.len()).filter(|one| !connected.contains(one));
    parts.extend(alone.map(|one| [(layer_of[one], vec![one])].into()));
    parts.sort_by_key(|part| part.values().flatten().min().copied());
    parts
}

impl ArrowRoute {
    /// The boxes on its left and on its right.
    pub fn sides(&self) -> (usize, usize) {
        if self.is_back { (self.ends.1, self.ends.0) } else { self.ends }
    }
}

/// Spreads the arrows of one side of a box over its height, in the order in which they go on.
fn apart(mut routes: Vec<ArrowRoute>, boxes: &[LayoutBox]) -> Vec<ArrowRoute> {
    let mut sides: BTreeMap<(usize, bool), Vec<(usize, f64)>> = BTreeMap::new();
    for (index, route) in routes.iter().enumerate() {
        let (left, right) = route.sides();
        sides.entry((left, true)).or_default().push((index, route.points[2].y));
        sides.entry((right, false)).or_default().push((index, route.points[route.points.len() - 2].y));
    }
    for ((one, is_left), mut ends) in sides {
        ends.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let room = (boxes[one].height - 8.0).max(0.0);
        let step = (room / ends.len() as f64).min(12.0);
        let start = boxes[one].middle() - step * (ends.len() - 1) as f64 / 2.0;
        for (turn, (index, _)) in ends.into_iter().enumerate() {
            let points = &mut routes[index].points;
            let range = if is_left { 0..2 } else { points.len() - 1..points.len() };
            points[range].iter_mut().for_each(|point| point.y = start + step * turn as f64);
        }
    }
    routes
}

#[cfg(test)]
mod tests;
