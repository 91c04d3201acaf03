//! Records that are made when somebody asks, as they say who that is. Their owner is the name that was looked
//! up.

use arrayvec::ArrayVec;

use crate::dns::consts::class;
use crate::dns::reply::Reply;
use crate::limits::{IDENTITY_LEN_MAX, IDENTITY_RECORDS_MAX};

/// Bytes of a record before its rdata: the owner is a pointer.
const FIXED_LEN: usize = 12;

/// Records of an answer.
#[derive(Clone, Debug, Default)]
pub struct Records {
    bytes: ArrayVec<u8, IDENTITY_LEN_MAX>,
    /// Where each begins.
    starts: ArrayVec<u16, IDENTITY_RECORDS_MAX>,
}

impl Records {
    /// Appends a record, whose rdata is in parts; one that does not fit is left out.
    pub fn push(&mut self, rtype: u16, ttl: u32, rdata: &[&[u8]]) {
        let len: usize = rdata.iter().map(|part| part.len()).sum();
        if self.starts.is_full() || self.bytes.remaining_capacity() < FIXED_LEN + len {
            return;
        }
        self.starts.push(self.bytes.len() as u16);
        self.bytes.extend([0; 2]);
        self.bytes.extend(rtype.to_be_bytes());
        self.bytes.extend(class::IN.to_be_bytes());
        self.bytes.extend(ttl.to_be_bytes());
        self.bytes.extend((len as u16).to_be_bytes());
        rdata.iter().for_each(|part| self.bytes.extend(part.iter().copied()));
    }

    /// Bytes that they take.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Appends them to a reply, in which their owner stands at `name_at`. The caller has made sure that they
    /// fit.
    pub fn write(&self, reply: &mut Reply<'_>, name_at: usize) {
        let at = reply.end();
        reply.append(&self.bytes, [self.starts.len() as u16, 0, 0]);
        for start in &self.starts {
            reply.write_pointer(at + usize::from(*start), name_at);
        }
    }
}
