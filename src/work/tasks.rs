//! What waits, by small numbers, each of which is free again once nobody uses it.

/// A table of what waits.
#[derive(Debug)]
pub(super) struct Tasks<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Tasks<T> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// How many numbers are taken.
    pub(super) const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a number, under which nothing waits yet; none if `most` are taken.
    pub(super) fn reserve(&mut self, most: usize) -> Option<u32> {
        if self.len() >= most {
            return None;
        }
        self.free.pop().or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).ok()
        })
    }

    /// Something waits under a number that was reserved.
    pub(super) fn put(&mut self, number: u32, waiting: T) {
        self.slots[number as usize] = Some(waiting);
    }

    /// What waits under a number. The number stays taken.
    pub(super) fn take(&mut self, number: u32) -> Option<T> {
        self.slots.get_mut(number as usize)?.take()
    }

    /// The same, where it is.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    /// The number is free again.
    pub(super) fn release(&mut self, number: u32) {
        self.slots[number as usize] = None;
        debug_assert!(!self.free.contains(&number), "it was taken");
        self.free.push(number);
    }

    /// The numbers under which something waits.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).zip(&self.slots).filter(|(_, slot)| slot.is_some()).map(|(number, _)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_small_and_bounded_and_come_back() {
        let mut tasks = Tasks::new();
        let numbers: Vec<u32> = std::iter::from_fn(|| tasks.reserve(3)).collect();
        assert_eq!((numbers, tasks.len()), (vec![0, 1, 2], 3));
        tasks.put(1, "one");
        assert_eq!(tasks.numbers().collect::<Vec<_>>(), [1]);
        assert_eq!((tasks.take(1), tasks.take(1), tasks.reserve(3)), (Some("one"), None, None));
        tasks.release(1);
        assert_eq!((tasks.len(), tasks.reserve(3), tasks.take(9)), (2, Some(1), None));
    }
}
