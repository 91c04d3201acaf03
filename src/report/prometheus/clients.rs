//! What answers that depend on the client are made from: PoPs that are up, the size and the age of maps.

use super::Text;
use crate::board::Reading;
use crate::stats::labels::FAMILY;
use crate::tailor::Summary;

impl Text {
    /// Nothing on a node whose answers depend on nobody.
    pub(super) fn clients(&mut self, reading: &Reading<'_>) {
        if !reading.named.counted.have_clients {
            return;
        }
        self.pops(reading);
        self.maps(reading);
    }

    fn pops(&mut self, reading: &Reading<'_>) {
        let pops = reading.board.pops.load();
        let name = "as112_pop_up";
        self.head(name, "gauge", "1 while the PoP is up; 0 while it is down or drained.");
        for pop in &pops.states {
            self.sample(name, &[("pop", &pop.name)], u8::from(pop.up));
        }
        let name = "as112_pop_by_hand";
        self.head(name, "gauge", "1 while an order by hand says whether the PoP is up.");
        for pop in &pops.states {
            self.sample(name, &[("pop", &pop.name)], u8::from(pop.by_hand.is_some()));
        }
        let name = "as112_pops_heard_time_seconds";
        let help = "When `as112d watch` said something last, in seconds since the Unix epoch; 0 for never.";
        self.head(name, "gauge", help);
        self.sample(name, &[], pops.heard.unwrap_or_default());
    }

    fn maps(&mut self, reading: &Reading<'_>) {
        let reads = &reading.board.maps;
        let name = "as112_maps_load_time_seconds";
        self.head(name, "gauge", "Load time of the running maps, in seconds since the Unix epoch.");
        self.sample(name, &[], reads.loaded_at());
        let name = "as112_maps_last_reload_successful";
        self.head(
            name,
            "gauge",
            "1 if the last reading of the maps succeeded; 0 if old ones are in use, or nothing learned.",
        );
        self.sample(name, &[], u8::from(reads.is_current()));
        let name = "as112_maps_reloads_total";
        self.head(
            name,
            "counter",
            "Readings of the maps, by result; the one at the start only if it failed.",
        );
        let (succeeded, failed) = reads.counts();
        for (result, count) in [("succeeded", succeeded), ("failed", failed)] {
            self.sample(name, &[("result", result)], count);
        }
        let tailor = reading.board.tailor.load();
        let maps = || {
            let tailor = tailor.iter();
            tailor.flat_map(|tailor| tailor.spec().maps.iter().map(|map| &*map.name).zip(tailor.summaries()))
        };
        type ByFamily = fn(&Summary) -> [u64; 2];
        let families: [(&str, &str, ByFamily); 2] = [
            ("as112_map_ranges", "Ranges of addresses in a map.", |map| map.ranges.map(|count| count as u64)),
            ("as112_map_blocks", "Networks that answers of a map are for: entries of a cache.", |map| {
                map.blocks
            }),
        ];
        for (name, help, value) in families {
            self.head(name, "gauge", help);
            for (map, summary) in maps() {
                for (family, count) in value(summary).into_iter().enumerate() {
                    let family = reading.named.counted.value(&FAMILY, family);
                    self.sample(name, &[("map", map), ("family", &family)], count);
                }
            }
        }
        type Value = fn(&Summary) -> usize;
        let families: [(&str, &str, Value); 2] = [
            ("as112_map_bytes", "Memory of a map.", |map| map.memory_len),
            ("as112_map_learned_networks", "Networks of resolvers that a map has learned.", |map| {
                map.learned
            }),
        ];
        for (name, help, value) in families {
            self.head(name, "gauge", help);
            for (map, summary) in maps() {
                self.sample(name, &[("map", map)], value(summary));
            }
        }
    }
}
