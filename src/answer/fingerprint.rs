//! What is answered, in one number, by which nodes that should answer alike are compared. Names count in any
//! order: two nodes may have read the same zones in another one.

use ring::digest::{Context, SHA256};

use super::{Answers, Kind, Link, Node, Rule, Set, Span, TailId};

impl Answers {
    /// The number of all names for which `counts`, given their wire form in lower case, says so. Of a pool it
    /// needs to know how many `variants` it has.
    #[must_use]
    pub fn fingerprint(&self, counts: impl Fn(&[u8]) -> bool, variants: impl Fn(u16) -> usize) -> u64 {
        let tails = (0..self.tails.len()).map(|at| self.tail(at)).collect();
        let printing = Printing { answers: self, tails, variants: &variants };
        let nodes = self.nodes.iter().filter(|node| counts(&self.bytes[node.name.range()]));
        nodes.fold(0, |sum: u64, node| sum.wrapping_add(printing.node(node)))
    }

    /// The number of a tail: of its bytes, what is relocated in them, and the header.
    fn tail(&self, at: usize) -> u64 {
        let tail = &self.tails[at];
        let mut context = Context::new(&SHA256);
        context.update(&self.bytes[tail.bytes.range()]);
        for relocation in &self.relocations[tail.relocations.range()] {
            context.update(&relocation.at.to_le_bytes());
            context.update(&relocation.delta.to_le_bytes());
            context.update(&[relocation.base as u8]);
        }
        context.update(&tail.len.to_le_bytes());
        context.update(format!("{:?}", tail.head).as_bytes());
        number(context)
    }
}

fn number(context: Context) -> u64 {
    let digest = context.finish();
    digest.as_ref()[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

struct Printing<'a> {
    answers: &'a Answers,
    /// The numbers of all tails: names share them.
    tails: Vec<u64>,
    variants: &'a dyn Fn(u16) -> usize,
}

impl Printing<'_> {
    fn node(&self, node: &Node) -> u64 {
        let mut context = Context::new(&SHA256);
        self.span(&mut context, node.name);
        self.set(&mut context, &node.exact);
        match &node.below {
            Rule::Set(set) => self.set(&mut context, set),
            Rule::Dname(dname) => {
                self.id(&mut context, dname.record);
                self.span(&mut context, dname.target);
                context.update(&dname.ttl.to_le_bytes());
            }
        }
        number(context)
    }

    fn set(&self, context: &mut Context, set: &Set) {
        // Which number a pool has depends on what was configured before it.
        let (kind, count): (&[u8], usize) = match set.kind {
            Kind::Plain => (b"plain", 1),
            Kind::Followed { .. } => (b"followed", 1),
            Kind::Tailored { pool, .. } => (b"tailored", (self.variants)(pool)),
            Kind::Identity => (b"identity", 1),
            Kind::Beacon => (b"beacon", 1),
        };
        context.update(kind);
        for (rtype, TailId(first)) in &self.answers.types[set.types.range()] {
            context.update(&rtype.to_le_bytes());
            // Those of other PoPs follow; where all clients get the same, those of other names, a few.
            let all = *first as usize..(*first as usize + count).min(self.tails.len());
            let is_address = count > 1 && self.answers.variants(set, *rtype, false).is_some();
            let own = if is_address { all } else { *first as usize..*first as usize + 1 };
            own.for_each(|tail| context.update(&self.tails[tail].to_le_bytes()));
        }
        self.id(context, set.other);
        set.any.iter().for_each(|id| self.id(context, *id));
        if let Some(Link { record, target, is_within }) = set.link {
            self.id(context, record);
            self.span(context, target);
            context.update(&[u8::from(is_within)]);
        }
    }

    fn id(&self, context: &mut Context, TailId(at): TailId) {
        context.update(&self.tails[at as usize].to_le_bytes());
    }

    fn span(&self, context: &mut Context, span: Span) {
        context.update(&span.len.to_le_bytes());
        context.update(&self.answers.bytes[span.range()]);
    }
}
