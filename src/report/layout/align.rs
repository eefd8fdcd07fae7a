//! The heights of boxes and passing arrows, layer by layer in a given order: each as near as it may be to the
//! mean of what it is connected with.

use std::collections::BTreeMap;

use super::DISTANCE;

/// How often the layers are gone through, forwards and backwards by turns.
const SWEEPS: usize = 24;
/// How much more an arrow counts between two layers that it passes: it is straight there.
const STRAIGHT: f64 = 6.0;

/// The middle of each place. `layers` has the places of each layer from top to bottom, `steps` what is connected
/// from one layer to the next, `height` the height of a place. Those of a layer are at least [`DISTANCE`] apart.
pub(super) fn align(
    layers: &[&[usize]],
    steps: &[(usize, usize)],
    height: &impl Fn(usize) -> f64,
) -> Vec<(usize, f64)> {
    let mut middles: BTreeMap<usize, f64> = BTreeMap::new();
    for layer in layers {
        let mut top = 0.0;
        for one in *layer {
            middles.insert(*one, top + height(*one) / 2.0);
            top += height(*one) + DISTANCE;
        }
    }
    let mut neighbours: BTreeMap<usize, Vec<(usize, f64)>> = BTreeMap::new();
    let count = |one: usize| steps.iter().filter(|(from, to)| *from == one || *to == one).count();
    let counts: BTreeMap<usize, usize> = middles.keys().map(|one| (*one, count(*one))).collect();
    for (from, to) in steps.iter().filter(|(from, _)| middles.contains_key(from)) {
        // What has two neighbours only lies on one line with them.
        let weight = if counts[from] <= 2 && counts[to] <= 2 { STRAIGHT } else { 1.0 };
        neighbours.entry(*from).or_default().push((*to, weight));
        neighbours.entry(*to).or_default().push((*from, weight));
    }
    for sweep in 0..SWEEPS {
        let mut order: Vec<&&[usize]> = layers.iter().collect();
        if sweep % 2 == 0 {
            order.reverse();
        }
        for layer in order {
            let wanted: Vec<(f64, f64)> = layer
                .iter()
                .map(|one| {
                    let around = neighbours.get(one).map_or(&[][..], Vec::as_slice);
                    let weight: f64 = around.iter().map(|(_, weight)| weight).sum();
                    let sum: f64 = around.iter().map(|(other, weight)| middles[other] * weight).sum();
                    if weight > 0.0 { (sum / weight, weight) } else { (middles[one], 1.0) }
                })
                .collect();
            let heights: Vec<f64> = layer.iter().map(|one| height(*one)).collect();
            for (one, middle) in layer.iter().zip(apart(&wanted, &heights)) {
                middles.insert(*one, middle);
            }
        }
    }
    middles.into_iter().collect()
}

/// The middles that are nearest to the wanted ones, with their weights, by the sum of squares, in the same order
/// and [`DISTANCE`] apart: isotonic regression by pooling adjacent violators.
fn apart(wanted: &[(f64, f64)], heights: &[f64]) -> Vec<f64> {
    // Less what those above take, each may be at the same height as the one above, and not higher.
    let mut offsets = Vec::with_capacity(heights.len());
    let mut offset = 0.0;
    for (at, height) in heights.iter().enumerate() {
        if at > 0 {
            offset += (heights[at - 1] + height) / 2.0 + DISTANCE;
        }
        offsets.push(offset);
    }
    // Blocks of equal height: the height, the weight, and how many are in it.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for ((wanted, weight), offset) in wanted.iter().zip(&offsets) {
        let mut block = (wanted - offset, *weight, 1);
        while let Some((height, weight, count)) = blocks.pop_if(|(height, _, _)| *height >= block.0) {
            let all = weight + block.1;
            block = ((height * weight + block.0 * block.1) / all, all, count + block.2);
        }
        blocks.push(block);
    }
    let heights = blocks.iter().flat_map(|(height, _, count)| std::iter::repeat_n(*height, *count));
    heights.zip(offsets).map(|(height, offset)| height + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_where_it_is_wanted() {
        assert_eq!(apart(&[(0.0, 1.0), (100.0, 1.0)], &[10.0, 10.0]), [0.0, 100.0]);
        let least = 10.0 + DISTANCE;
        assert_eq!(
            apart(&[(50.0, 1.0), (50.0, 1.0)], &[10.0, 10.0]),
            [50.0 - least / 2.0, 50.0 + least / 2.0]
        );
        assert_eq!(apart(&[(50.0, 3.0), (10.0, 1.0)], &[10.0, 10.0])[0], (3.0 * 50.0 + 10.0 - least) / 4.0);
        assert_eq!(apart(&[], &[]), Vec::<f64>::new());
    }

    #[test]
    fn a_parent_is_at_the_middle_of_its_children() {
        let steps: Vec<(usize, usize)> = (1..6).map(|child| (0, child)).collect();
        let found = align(&[&[0], &[1, 2, 3, 4, 5]], &steps, &|_| 20.0);
        assert!((found[0].1 - found[3].1).abs() < 0.5, "{found:?}");
        assert!(found[1..].windows(2).all(|pair| pair[1].1 - pair[0].1 >= 20.0 + DISTANCE - 0.01));
    }
}
