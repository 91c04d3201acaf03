//! What upstreams have said, for as long as it may be said again. Each worker has a cache of its own.
//!
//! An answer is kept as the packet that it came in, without its OPT. Its TTLs are those that were left when
//! it was stored; a lookup takes from each what has passed since. Entries are kept by what was asked and of
//! whom; an entry has the answers for all client subnets: the best one is found at once.

mod answer;
mod entry;
mod key;
mod purges;
mod settings;
#[cfg(test)]
mod tests;

use std::hash::RandomState;
use std::mem;
use std::time::{Duration, Instant};

use domain::base::iana::{Class, Rcode, Rtype};
use ipnet::IpNet;
use quick_cache::unsync::{Cache as Table, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use crate::dns::consts::{TTL_MAX, flag, rcode};
use crate::dns::message::{Message, without_opt};
use crate::dns::name::{Name, eq_ignore_case};
use crate::limits::{CACHE_ENTRY_MIN, CACHE_LOOKS_MAX, CACHE_PREFETCH_HITS};
use answer::{Answer, Freshness, Millis};
use entry::Entry;
use key::{Kept, Probe};
use purges::{Purges, is_within};

pub use key::Key;
pub use settings::Settings;

/// What a cache has for a query. With all but the last two, what it has is an answer: a header with ID 0 and
/// without AA, the question, the records with their TTLs by age, no OPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An answer.
    Fresh,
    /// An answer that is to be fetched again, without anybody waiting for it.
    Prefetch,
    /// One whose time has passed: for want of a fresh one (RFC 8767).
    Stale,
    /// As [`Stale`](Self::Stale), but servers were tried in vain a short while ago, and are not to be tried
    /// again yet: it is given at once.
    Held,
    /// Servers have failed a short while ago, and are not to be asked yet (RFC 9520).
    Failure,
    /// Nothing.
    Miss,
}

/// What came of storing a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is there: an answer.
    Positive,
    /// It is there: NXDOMAIN or NODATA.
    Negative,
    /// It is a failure, and is remembered as one.
    Failure,
    /// It is not, and why.
    No(&'static str),
}

/// Answers by what was asked.
#[derive(Debug)]
pub struct Cache {
    table: Table<Kept, Box<Entry>, ByBytes, RandomState>,
    settings: Settings,
    purges: Purges,
    /// Entries that had to make room since that was asked last.
    evicted: u64,
    /// When it began.
    epoch: Option<Instant>,
    /// A message without its OPT.
    scratch: Vec<u8>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Kept, Box<Entry>> for ByBytes {
    fn weight(&self, _: &Kept, entry: &Box<Entry>) -> u64 {
        entry.weight()
    }
}

/// The table's bytes for each of its slots: in the slab, and for each bucket of the map.
const SLOT_LEN: usize = 48;
const BUCKET_LEN: usize = 5;
/// One in so many slots more remembers an entry that had to make room, and which is kept longer when it comes
/// back.
const GHOSTS: usize = 4;

/// How a size is divided.
struct Shares {
    /// Entries, at the most.
    entries: usize,
    /// Bytes for what they consist of.
    weight: usize,
}

impl Shares {
    fn new(size: usize) -> Self {
        // There are between 16/7 and twice as many buckets for a slot.
        let slot_len = SLOT_LEN + 3 * BUCKET_LEN;
        let entries = size / (CACHE_ENTRY_MIN + slot_len * (GHOSTS + 1) / GHOSTS);
        let left = size.saturating_sub(Self::table_len(entries));
        Self { entries, weight: left.min(entries * CACHE_ENTRY_MIN) }
    }

    /// Bytes of a table of so many entries.
    fn table_len(entries: usize) -> usize {
        if entries == 0 {
            return 0;
        }
        let slots = entries + entries / GHOSTS + 2;
        slots * SLOT_LEN + (Self::reserved(entries) * 8 / 7 + 1).next_power_of_two() * BUCKET_LEN + 64
    }

    /// Slots that room is made for. A map that is less than half full cleans up without growing, and only
    /// what is used of the slab takes memory.
    fn reserved(entries: usize) -> usize {
        2 * (entries + entries / GHOSTS + 2)
    }
}

impl Cache {
    /// An empty one.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let shares = Shares::new(settings.size);
        let mut options = OptionsBuilder::new();
        options.estimated_items_capacity(shares.entries).weight_capacity(shares.weight as u64);
        let options = options.ghost_allocation(1.0 / GHOSTS as f64).build().expect("all is said");
        // Its hashes have a key by chance: what clients ask for cannot be made to collide.
        let hasher = RandomState::new();
        let mut table = Table::with_options(options, ByBytes, hasher, DefaultLifecycle::default());
        if shares.entries > 0 {
            // The table adds room for ghosts of its own accord.
            table.reserve(Shares::reserved(shares.entries) - shares.entries / GHOSTS);
        }
        Self {
            table,
            settings: settings.clone(),
            purges: Purges::default(),
            evicted: 0,
            epoch: None,
            scratch: Vec::new(),
        }
    }

    /// Looks a query up. An answer is written into `out`, which is emptied before.
    pub fn look(&mut self, key: &Key<'_>, now: Instant, out: &mut Vec<u8>) -> Found {
        out.clear();
        let now = self.millis(now);
        let Some(probe) = Probe::new(key) else { return Found::Miss };
        let Some(mut entry) = self.table.get_mut(&probe) else { return Found::Miss };
        if self.purges.concerns(probe.qname(), entry.generation) {
            return Found::Miss;
        }
        entry.generation = self.purges.generation();
        let (is_held, has_failed) = (entry.is_held(now), entry.has_failed(now));
        let none = if has_failed { Found::Failure } else { Found::Miss };
        let Some(answer) = entry.find(key.subnet) else { return none };
        let freshness = answer.freshness(&self.settings, now);
        match freshness {
            Freshness::Fresh | Freshness::Late => {
                answer.hits = answer.hits.saturating_add(1);
                answer.write(now, out);
                let is_wanted = self.settings.prefetch && answer.hits >= CACHE_PREFETCH_HITS;
                if freshness == Freshness::Fresh || !is_wanted || answer.is_fetched {
                    return Found::Fresh;
                }
                answer.is_fetched = true;
                Found::Prefetch
            }
            Freshness::Stale => {
                answer.write_stale(seconds(self.settings.stale_ttl), out);
                if is_held || has_failed { Found::Held } else { Found::Stale }
            }
            Freshness::Over => none,
        }
    }

    /// Keeps a response as it was received, OPT and all. `scope` is what its client subnet says it is for.
    pub fn store(&mut self, key: &Key<'_>, message: &[u8], scope: Option<IpNet>, now: Instant) -> Stored {
        let Ok(read) = Message::read(message) else { return Stored::No("it is malformed") };
        if let Some(why_not) = is_not_for(key, message, &read) {
            return Stored::No(why_not);
        }
        let code = read.rcode();
        if code != u16::from(rcode::NOERROR) && code != u16::from(rcode::NXDOMAIN) {
            if code == u16::from(rcode::YXDOMAIN) {
                return Stored::No("its code is YXDOMAIN");
            }
            self.fail(key, now);
            return Stored::Failure;
        }
        let scope = match clamped(key.subnet, scope) {
            Ok(scope) => scope,
            Err(why_not) => return Stored::No(why_not),
        };
        let now = self.millis(now);
        match lifetime(&read, &self.settings) {
            Ok(life) => self.keep(key, message, &read, scope, life, now),
            Err(why_not) => {
                // What is kept is not what servers say now.
                self.change(key, |entry, _| entry.drop_answer(scope));
                Stored::No(why_not)
            }
        }
    }

    fn keep(
        &mut self,
        key: &Key<'_>,
        message: &[u8],
        read: &Message,
        scope: Option<IpNet>,
        life: Life,
        now: Millis,
    ) -> Stored {
        let mut scratch = mem::take(&mut self.scratch);
        let is_whole = without_opt(message, read, &mut scratch).is_ok();
        let answer = is_whole.then(|| Answer::new(&scratch, read, life.seconds, life.ttls, now));
        self.scratch = scratch;
        let Some(answer) = answer else { return Stored::No("its records need its OPT") };
        let Some(probe) = Probe::new(key) else { return Stored::No("its name is too long") };
        // An entry is taken out and put back: only then what it takes more makes others go.
        let mut entry =
            self.table.get_mut(&probe).map(|mut entry| mem::take(&mut *entry)).unwrap_or_default();
        if self.purges.concerns(probe.qname(), entry.generation) {
            *entry = Entry::default();
        }
        entry.put(scope, answer);
        if !self.insert(&probe, entry) {
            return Stored::No("the cache is full");
        }
        if life.is_negative { Stored::Negative } else { Stored::Positive }
    }

    /// Puts an entry in, instead of that with the same key. Whether it is there then.
    fn insert(&mut self, probe: &Probe, mut entry: Box<Entry>) -> bool {
        entry.generation = self.purges.generation();
        entry.weigh(probe.len());
        let is_new = !self.table.contains_key(probe);
        let before = self.table.len() + usize::from(is_new);
        self.table.insert(probe.to_kept(), entry);
        self.evicted += before.saturating_sub(self.table.len()) as u64;
        self.table.contains_key(probe)
    }

    /// Changes an entry that is there, and what it takes becomes no more by it.
    fn change(&mut self, key: &Key<'_>, change: impl FnOnce(&mut Entry, &Settings)) -> bool {
        let Some(probe) = Probe::new(key) else { return false };
        let Some(mut entry) = self.table.get_mut(&probe) else { return false };
        if self.purges.concerns(probe.qname(), entry.generation) {
            **entry = Entry::default();
        }
        entry.generation = self.purges.generation();
        change(&mut entry, &self.settings);
        entry.weigh(probe.len());
        true
    }

    /// Notes that servers have failed (RFC 9520): no response, or none that can be used.
    pub fn fail(&mut self, key: &Key<'_>, now: Instant) {
        let now = self.millis(now);
        if self.change(key, |entry, settings| entry.fail(settings, now)) {
            return;
        }
        if let Some(probe) = Probe::new(key) {
            let mut entry = Box::<Entry>::default();
            entry.fail(&self.settings, now);
            self.insert(&probe, entry);
        }
    }

    /// Notes that servers were tried while a stale answer was there, and that it was given: for a while it is
    /// given at once (RFC 8767, section 5).
    pub fn stale_tried(&mut self, key: &Key<'_>, now: Instant) {
        let now = self.millis(now);
        self.change(key, |entry, _| entry.hold(now));
    }

    /// Makes everything that is kept of a name, or of it and all names below it, as if it were not there: of
    /// all types, views and subnets. That takes no time; what it concerns makes room when it is come across.
    /// How many entries that are, of the first [`CACHE_LOOKS_MAX`].
    pub fn purge(&mut self, qname: &[u8], subtree: bool) -> u64 {
        let qname = qname.to_ascii_lowercase();
        let concerned = self.within(&qname, subtree).count();
        if self.purges.is_full() {
            let purges = &self.purges;
            self.table.retain(|kept, entry| !purges.concerns(kept.qname(), entry.generation));
            self.purges.clear();
        }
        self.purges.add(&qname, subtree);
        concerned as u64
    }

    /// What is kept of a name, or of it and all names below it: a line for each answer and failure, `most` at
    /// the most, of the first [`CACHE_LOOKS_MAX`] entries.
    #[must_use]
    pub fn show(&self, qname: &[u8], subtree: bool, most: usize, now: Instant) -> Vec<String> {
        let qname = qname.to_ascii_lowercase();
        let now = self.epoch.map_or(0, |epoch| since(epoch, now));
        let within = self.within(&qname, subtree);
        within.flat_map(|(kept, entry)| self.lines(&kept.key(), entry, now)).take(most).collect()
    }

    /// What is kept of a name in lower case, or of it and all names below it.
    fn within(&self, qname: &[u8], subtree: bool) -> impl Iterator<Item = (&Kept, &Entry)> {
        let entries = self.table.iter().take(CACHE_LOOKS_MAX).map(|(kept, entry)| (kept, &**entry));
        entries.filter(move |(kept, entry)| {
            is_within(kept.qname(), qname, subtree) && !self.purges.concerns(kept.qname(), entry.generation)
        })
    }

    fn lines(&self, key: &Key<'_>, entry: &Entry, now: Millis) -> Vec<String> {
        let name = Name::from_wire(key.qname).map(|name| name.to_string()).unwrap_or_default();
        let (class, rtype) = (Class::from_int(key.qclass), Rtype::from_int(key.qtype));
        let dnssec_ok = if key.dnssec_ok { " DO" } else { "" };
        let checking_disabled = if key.checking_disabled { " CD" } else { "" };
        let asked = format!("{name} {class} {rtype}{dnssec_ok}{checking_disabled} view {:08x}", key.view);
        let answers = entry.answers().filter_map(|(scope, answer)| {
            let age = answer.age(now);
            let left = i64::from(answer.lifetime()) - age.min(TTL_MAX.into()) as i64;
            let freshness = match answer.freshness(&self.settings, now) {
                Freshness::Fresh | Freshness::Late => format!("fresh for {left} s"),
                Freshness::Stale => format!("stale since {} s", -left),
                Freshness::Over => return None,
            };
            let scope = scope.map(|scope| format!(" for {scope}")).unwrap_or_default();
            let code = Rcode::masked_from_int(answer.rcode() as u8);
            Some(format!("{asked}{scope}: {code}, {freshness}, {age} s old, {} bytes", answer.len()))
        });
        let failed_for = entry.failed_for(now).div_ceil(1000);
        let failure =
            (failed_for > 0).then(|| format!("{asked}: failed, not asked again for {failed_for} s"));
        answers.chain(failure).collect()
    }

    /// Entries, with those that are there in vain: nothing looks for them.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.table.len()
    }

    /// Bytes that they take, and what they are kept in: at most the size that was set.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let table = self.table.memory_used();
        self.table.weight() as usize + table.entries + table.map
    }

    /// How many entries had to make room for others since this was called last.
    pub fn take_evicted(&mut self) -> u64 {
        mem::take(&mut self.evicted)
    }

    /// From now on it is so, but for its size: what it has stays, by the times that it was stored with.
    pub fn take_settings(&mut self, settings: &Settings) {
        self.settings = Settings { size: self.settings.size, ..settings.clone() };
    }

    /// Bytes that a cache takes at the most.
    #[must_use]
    pub fn memory_len(settings: &Settings) -> usize {
        // What is stored exists three times for a moment: packed, without OPT, and with what it pushes out.
        settings.size + 3 * (usize::from(u16::MAX) + 1)
    }

    fn millis(&mut self, now: Instant) -> Millis {
        since(*self.epoch.get_or_insert(now), now)
    }
}

fn since(epoch: Instant, now: Instant) -> Millis {
    u64::try_from(now.saturating_duration_since(epoch).as_millis()).unwrap_or(Millis::MAX)
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).min(TTL_MAX)
}

/// Why a message is no response to what was asked that could be kept.
fn is_not_for(key: &Key<'_>, message: &[u8], read: &Message) -> Option<&'static str> {
    let opcode = read.flags >> 11 & 0xF;
    if read.flags & flag::QR == 0 || opcode != 0 {
        return Some("it is no response");
    }
    let asked = message.get(read.question.clone()).and_then(|question| question.split_last_chunk::<4>());
    let [t0, t1] = key.qtype.to_be_bytes();
    let [c0, c1] = key.qclass.to_be_bytes();
    let is_asked =
        |(qname, rest): (&[u8], &[u8; 4])| eq_ignore_case(qname, key.qname) && *rest == [t0, t1, c0, c1];
    if read.counts[0] != 1 || !asked.is_some_and(is_asked) {
        return Some("it has another question");
    }
    if read.is_truncated() {
        return Some("it is truncated");
    }
    read.has_more_ttls.then_some("it has too many records")
}

/// Whom a response is for: "the SCOPE PREFIX-LENGTH is longer than the SOURCE PREFIX-LENGTH ... treated as"
/// if it were that of the query (RFC 7871, section 7.3.1). One without an option is for all.
fn clamped(subnet: Option<IpNet>, scope: Option<IpNet>) -> Result<Option<IpNet>, &'static str> {
    let Some(subnet) = subnet else { return Ok(None) };
    let bits = scope.map_or(0, |scope| scope.prefix_len().min(subnet.prefix_len()));
    let net = IpNet::new(subnet.addr(), bits).map_err(|_| "its subnet is of another family")?.trunc();
    match scope {
        Some(scope) if scope.addr().is_ipv4() != net.addr().is_ipv4() => {
            Err("its subnet is of another family")
        }
        Some(scope) if bits > 0 && !net.contains(&scope.addr()) => Err("its subnet is not that of the query"),
        _ => Ok(Some(net)),
    }
}

/// How long an answer is kept.
#[derive(Clone, Copy)]
struct Life {
    seconds: u32,
    /// What its TTLs are brought between.
    ttls: (u32, u32),
    /// It is NXDOMAIN or NODATA.
    is_negative: bool,
}

/// How long a response is kept: with code NOERROR or NXDOMAIN, and without TC.
fn lifetime(read: &Message, settings: &Settings) -> Result<Life, &'static str> {
    let is_negative = read.rcode() == u16::from(rcode::NXDOMAIN) || !read.has_answer;
    let least = seconds(settings.ttl_min);
    let (ttl, most) = match (is_negative, read.negative_ttl) {
        (false, _) => (read.ttl_min, seconds(settings.ttl_max)),
        // The TTLs of a chain of CNAMEs that leads there count too.
        (true, Some(negative)) => {
            (read.ttl_min.map(|ttl| ttl.min(negative)), seconds(settings.negative_ttl_max))
        }
        // A zone's answer may end with a CNAME that leads out of it.
        (true, None) if read.rcode() == 0 && read.counts[1] > 0 && read.flags & flag::AA != 0 => {
            (read.ttl_min, seconds(settings.ttl_max))
        }
        // "Negative responses without SOA records SHOULD NOT be cached" (RFC 2308, section 5). Nor is a
        // referral.
        (true, None) => return Err("it is negative without a SOA, or a referral"),
    };
    // A TTL of 0 is for "the transaction in progress" (RFC 1035, section 3.2.1), whatever the least is.
    let ttl = ttl.filter(|&ttl| ttl > 0).ok_or("it has a TTL of 0")?;
    let seconds = ttl.max(least).min(most);
    if seconds == 0 {
        return Err("nothing is kept for so short a time");
    }
    let is_negative = is_negative && read.negative_ttl.is_some();
    Ok(Life { seconds, ttls: (least.min(most), if is_negative { seconds } else { most }), is_negative })
}
