//! What was counted in a minute, in few bytes: the form in which nodes tell it to their fleet. A family is
//! named once, with its labels, and then has a row for each counter, of values and the count:
//!
//! ```text
//! [["as112_queries_total",["family","service","transport"],
//!   [["ipv4","direct","udp",3],["ipv6","direct","udp",1]]]]
//! ```

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::schema::KEPT;
use super::sources::{BY_AS, BY_COUNTRY, OTHER, SourceFamily};
use crate::limits::{FLEET_COUNT_MAX, SOURCES_TOLD_MAX};

/// A counter that moved: its family, its labels as a JSON object, and how far.
pub type Row = (String, String, u64);

/// Sources that a fleet hears of. Networks are the node's own affair: there are many, and they are close to
/// the client.
pub(super) const SOURCES: [&SourceFamily; 2] = [&BY_COUNTRY, &BY_AS];

/// Whether a fleet hears of a family.
pub(super) fn is_told(family: &str) -> bool {
    KEPT.contains(&family) || SOURCES.iter().any(|of| of.name == family)
}

/// What `after` has more than `before`.
pub(super) fn since(before: &[Row], after: Vec<Row>) -> Vec<Row> {
    let had: BTreeMap<(&str, &str), u64> =
        before.iter().map(|(family, labels, count)| ((family.as_str(), labels.as_str()), *count)).collect();
    let more = after.into_iter().filter_map(|(family, labels, count)| {
        let more = count.saturating_sub(had.get(&(family.as_str(), labels.as_str())).copied().unwrap_or(0));
        (more > 0).then_some((family, labels, more))
    });
    more.collect()
}

/// Of sources the largest alone, and the others in sum.
fn narrowed(mut rows: Vec<Row>) -> Vec<Row> {
    for family in SOURCES {
        let other = json!({family.label: OTHER}).to_string();
        let (mut of_family, rest): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|(name, ..)| name == family.name);
        rows = rest;
        of_family.sort_by_key(|(_, labels, count)| (*labels == other, std::cmp::Reverse(*count)));
        let shown = of_family.iter().take(SOURCES_TOLD_MAX).take_while(|(_, labels, _)| *labels != other);
        let small = of_family.split_off(shown.count());
        let sum: u64 = small.iter().map(|(.., count)| count).sum();
        rows.append(&mut of_family);
        if sum > 0 {
            rows.push((family.name.to_owned(), other, sum));
        }
    }
    rows
}

/// Writes rows.
pub(super) fn write(rows: Vec<Row>) -> Value {
    let mut families: BTreeMap<(String, Vec<String>), Vec<Value>> = BTreeMap::new();
    for (family, labels, count) in narrowed(rows) {
        let labels: Map<String, Value> = serde_json::from_str(&labels).unwrap_or_default();
        let (names, mut values): (Vec<String>, Vec<Value>) = labels.into_iter().unzip();
        values.push(count.into());
        families.entry((family, names)).or_default().push(values.into());
    }
    families.into_iter().map(|((family, labels), rows)| json!([family, labels, rows])).collect()
}

/// Reads rows.
///
/// # Errors
/// What is not of this form.
pub fn read(counts: &Value) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for family in counts.as_array().ok_or("`counts` is not a list")? {
        let parts = family.as_array().map(Vec::as_slice);
        let Some([Value::String(name), Value::Array(labels), Value::Array(counters)]) = parts else {
            return Err("a family is not [name, labels, rows]".to_owned());
        };
        let labels: Option<Vec<&str>> = labels.iter().map(Value::as_str).collect();
        let labels = labels.ok_or_else(|| format!("{name}: a label is not text"))?;
        for counter in counters {
            let wrong = || format!("{name}: a row is not [values, count]: {counter}");
            let (count, values) = counter.as_array().and_then(|row| row.split_last()).ok_or_else(wrong)?;
            let count = count.as_u64().filter(|count| *count <= FLEET_COUNT_MAX).ok_or_else(wrong)?;
            if values.len() != labels.len() || !values.iter().all(Value::is_string) {
                return Err(wrong());
            }
            let pairs = labels.iter().map(|label| (*label).to_owned()).zip(values.iter().cloned());
            rows.push((name.clone(), Value::from(pairs.collect::<Map<_, _>>()).to_string(), count));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::counters::{QUERIES, TRUNCATED};

    fn row(family: &str, labels: &Value, count: u64) -> Row {
        (family.to_owned(), labels.to_string(), count)
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let rows = vec![
            row(QUERIES.name, &json!({"service": "direct", "transport": "udp", "family": "ipv4"}), 3),
            row(QUERIES.name, &json!({"service": "direct", "transport": "tcp", "family": "ipv6"}), 1),
            row(TRUNCATED.name, &json!({}), 7),
        ];
        let written = write(rows.clone());
        assert_eq!(
            written.to_string(),
            concat!(
                r#"[["as112_queries_total",["family","service","transport"],"#,
                r#"[["ipv4","direct","udp",3],["ipv6","direct","tcp",1]]],"#,
                r#"["as112_responses_truncated_total",[],[[7]]]]"#
            )
        );
        assert_eq!(read(&written).unwrap(), rows);
        assert_eq!(since(&rows[..2], rows.clone()), [rows[2].clone()]);
    }

    #[test]
    fn of_sources_the_largest_are_told() {
        let country = |name: &str, count| row(BY_COUNTRY.name, &json!({"country": name}), count);
        let mut rows: Vec<Row> = (1..=30).map(|number| country(&format!("C{number}"), number)).collect();
        rows.push(country(OTHER, 1000));
        let read = read(&write(rows)).unwrap();
        assert_eq!(read.len(), SOURCES_TOLD_MAX + 1);
        assert_eq!(read[0], country("C30", 30));
        assert_eq!(read[SOURCES_TOLD_MAX], country(OTHER, 1000 + (1..=10).sum::<u64>()));
    }

    #[test]
    fn what_is_not_of_the_form_is_refused() {
        let refused = |text: &str| read(&serde_json::from_str(text).unwrap()).unwrap_err();
        assert_eq!(refused("7"), "`counts` is not a list");
        assert_eq!(refused(r#"[["a",[]]]"#), "a family is not [name, labels, rows]");
        for row in [r#"["x"]"#, r#"["x",-1]"#, r#"["x",1e30]"#, r#"[7,1]"#, "[]", r#"["x","y",1]"#, "3"] {
            let told = refused(&format!(r#"[["a",["l"],[{row}]]]"#));
            assert!(told.starts_with("a: a row is not [values, count]: "), "{told}");
        }
    }
}
