//! Writes the text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

use crate::model::Histogram;

/// The content type of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics under construction.
#[derive(Default)]
pub struct MetricsText(String);

impl MetricsText {
    /// The finished page.
    pub fn into_text(self) -> String {
        self.0
    }

    /// Adds a counter: a value that only grows.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, "", value);
    }

    /// Adds a gauge: a value that can go up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, "", value);
    }

    /// Adds a metric with one sample per value of a label. The label's values must need no escaping.
    pub fn each<L: Display, V: Display>(
        &mut self,
        (name, kind): (&str, &str),
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) {
        self.family(name, kind, help);
        for (label_value, value) in values {
            self.sample(name, &format!("{{{label}=\"{label_value}\"}}"), value);
        }
    }

    /// Adds a histogram.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        let mut count = 0;
        for (bound, cumulative) in histogram.cumulative_buckets() {
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".into() };
            self.sample(&format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), cumulative);
            count = cumulative;
        }
        self.sample(&format!("{name}_sum"), "", histogram.sum());
        // Use the last bucket's count, not a second read: the counters may change between the two reads.
        self.sample(&format!("{name}_count"), "", count);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let result = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        result.expect("writing to a String cannot fail");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        writeln!(self.0, "{name}{labels} {value}").expect("writing to a String cannot fail");
    }
}
