//! Enums whose values are the labels of a metric, and one counter for each label.

use std::marker::PhantomData;

use super::counters::Counter;

/// A closed set of labels. The macro [`labels`] implements it.
pub trait Label: Copy + 'static {
    /// Every label, in the order of the declaration.
    const ALL: &'static [Self];

    /// The text of the label.
    fn label(self) -> &'static str;

    /// What the label means: a sentence without a capital letter and a full stop.
    fn meaning(self) -> &'static str;

    /// The index of the label in [`Self::ALL`].
    fn index(self) -> usize;
}

/// Declares an enum that implements [`Label`]. Each variant is declared once, with its label and its meaning, so no
/// variant can lack a counter or a text.
macro_rules! labels {
    ($(#[$outer:meta])* $visibility:vis enum $name:ident { $($variant:ident = $label:literal: $meaning:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $visibility enum $name {
            $(#[doc = $meaning] $variant,)+
        }

        impl $crate::model::Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }

            fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
pub(crate) use labels;

/// One counter for each label.
#[derive(Debug)]
pub struct CountersBy<L> {
    counters: Box<[Counter]>,
    labels: PhantomData<L>,
}

impl<L: Label> Default for CountersBy<L> {
    fn default() -> Self {
        Self { counters: L::ALL.iter().map(|_| Counter::default()).collect(), labels: PhantomData }
    }
}

impl<L: Label> CountersBy<L> {
    /// Adds one to the counter of this label.
    pub fn count(&self, label: L) {
        self.counters[label.index()].count();
    }

    /// The text of each label, with the value of its counter.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, u64)> {
        L::ALL.iter().map(|label| (label.label(), self.counters[label.index()].get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    labels! {
        /// Two labels.
        enum Side {
            Left = "left": "on the left",
            Right = "right": "on the right",
        }
    }

    #[test]
    fn each_label_has_a_counter_of_its_own() {
        let counters = CountersBy::default();
        counters.count(Side::Right);
        counters.count(Side::Right);
        assert_eq!(counters.values().collect::<Vec<_>>(), [("left", 0), ("right", 2)]);
        assert_eq!(Side::Left.meaning(), "on the left");
    }
}
