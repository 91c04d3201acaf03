//! The nearest PoPs on the globe.

use super::spec::{List, Pop, PopId};
use crate::limits::LIST_LEN_MAX;

/// PoPs that have a place.
#[derive(Debug)]
pub(super) struct Nearest {
    pops: Vec<(PopId, [f64; 3])>,
    /// How many of them a list has.
    count: usize,
}

impl Nearest {
    pub(super) fn new(pops: &[Pop], count: usize) -> Self {
        let placed = (0..).zip(pops).filter_map(|(id, pop)| Some((id, on_sphere(pop.at?))));
        Self { pops: placed.collect(), count: count.min(LIST_LEN_MAX) }
    }

    /// None is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 || self.pops.is_empty()
    }

    /// The nearest to a place, if any is asked for.
    pub(super) fn list(&self, at: [f64; 2]) -> Option<List> {
        let here = on_sphere(at);
        let distance = |(id, there): &(PopId, [f64; 3])| {
            // A longer chord has a longer arc, and needs no trigonometry.
            let chord: f64 = here.iter().zip(there).map(|(here, there)| (here - there).powi(2)).sum();
            (chord, *id)
        };
        let mut pops: Vec<(f64, PopId)> = self.pops.iter().map(distance).collect();
        pops.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        let list: List = pops.into_iter().map(|(_, id)| id).take(self.count).collect();
        (!list.is_empty()).then_some(list)
    }
}

/// A place, in degrees north and east, as a point of a sphere around 0 of radius 1.
fn on_sphere(at: [f64; 2]) -> [f64; 3] {
    let [north, east] = at.map(f64::to_radians);
    [north.cos() * east.cos(), north.cos() * east.sin(), north.sin()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pops(places: &[Option<[f64; 2]>]) -> Vec<Pop> {
        places.iter().map(|at| Pop { name: String::new(), at: *at }).collect()
    }

    #[test]
    fn the_nearest_are_on_the_globe_and_not_on_a_map() {
        let [sfo, nrt, hel, anc] = [[37.6, -122.4], [35.8, 140.4], [60.3, 24.9], [61.2, -150.0]];
        let nearest = |count: usize, at: [f64; 2]| {
            Nearest::new(&pops(&[Some(sfo), None, Some(nrt), Some(hel), Some(anc)]), count)
                .list(at)
                .map(|list| list.to_vec())
        };
        // Over the date line and over the pole.
        assert_eq!(nearest(2, [52.0, 177.0]), Some(vec![4, 2]));
        assert_eq!(nearest(3, [89.0, -30.0]), Some(vec![3, 4, 0]));
        // At 60 degrees north a degree of longitude is half as long as one of latitude.
        let both = Nearest::new(&pops(&[Some([60.0, 15.0]), Some([51.0, 0.0])]), 1);
        assert_eq!(both.list([60.0, 0.0]).unwrap().to_vec(), [0]);
        assert_eq!(nearest(0, [52.0, 0.0]), None);
        assert_eq!(Nearest::new(&pops(&[None]), 3).list([52.0, 0.0]), None);
        let same = Nearest::new(&pops(&[Some(sfo), Some(sfo)]), 2);
        assert_eq!(same.list(sfo).unwrap().to_vec(), [0, 1], "of equals the first");
    }
}
