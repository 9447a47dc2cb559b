//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

use crate::model::Histogram;

/// The content type of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics that is being written.
#[derive(Default)]
pub struct Page(String);

impl Page {
    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }

    /// A number that only grows.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, "", value);
    }

    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, "", value);
    }

    /// Several numbers of one kind that a label tells apart; its values need no escaping.
    pub fn each<L: Display, V: Display>(
        &mut self,
        (name, kind): (&str, &str),
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) {
        self.family(name, kind, help);
        for (of, value) in values {
            self.sample(name, &format!("{{{label}=\"{of}\"}}"), value);
        }
    }

    /// A distribution.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        let mut count = 0;
        for (bound, up_to) in histogram.cumulated() {
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".into() };
            self.sample(&format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), up_to);
            count = up_to;
        }
        self.sample(&format!("{name}_sum"), "", histogram.sum());
        // Not counted anew: it must agree with the buckets, which may be moving.
        self.sample(&format!("{name}_count"), "", count);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let written = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        written.expect("a String takes everything");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        writeln!(self.0, "{name}{labels} {value}").expect("a String takes everything");
    }
}
