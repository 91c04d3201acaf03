//! Whether two responses say the same.

use alloc::vec::Vec;

use super::super::consts::rtype;
use super::super::name::Damaged;
use super::{ADDITIONAL, Message, Part, each_record, names};

/// Whether two responses say the same: response code, and in each section the same records, in any order and
/// number. Case and compression of names, TTLs and OPT do not matter. What is not sound is the same as its
/// equal only.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    match (Said::of(a), Said::of(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// What a response says: its code, and the records of each section, each once and in order.
#[derive(PartialEq, Eq)]
struct Said {
    rcode: u16,
    sections: [Vec<Vec<u8>>; 3],
}

impl Said {
    fn of(message: &[u8]) -> Result<Self, Damaged> {
        let read = Message::read(message)?;
        let mut sections = [const { Vec::new() }; 3];
        each_record(message, read.counts, |part| {
            let Part::Record(record) = part else { return Ok(()) };
            if record.rtype == rtype::OPT && record.section == ADDITIONAL {
                return Ok(());
            }
            let (owner, _) = names::lower(message, record.at)?;
            let mut said = owner.to_vec();
            said.extend_from_slice(&message[record.fixed..record.fixed + 4]);
            // From the end of one name to the beginning of the next one.
            let mut at = record.rdata.start;
            let mut outcome = Ok(());
            names::in_rdata(message, record.rtype, record.rdata.clone(), |name_at| {
                said.extend_from_slice(&message[at..name_at]);
                match names::lower(message, name_at) {
                    Ok((name, end)) => {
                        said.extend_from_slice(&name);
                        at = end;
                    }
                    Err(damaged) => outcome = Err(damaged),
                }
            })?;
            outcome?;
            said.extend_from_slice(&message[at..record.rdata.end]);
            sections[record.section - 1].push(said);
            Ok(())
        })?;
        for section in &mut sections {
            section.sort_unstable();
            section.dedup();
        }
        Ok(Self { rcode: read.rcode(), sections })
    }
}
