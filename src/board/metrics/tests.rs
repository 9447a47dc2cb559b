//! Unit tests of the decisions about metrics.

use super::*;
use crate::board::tests::BoardFixture;

/// The command that publishes a value.
pub fn publish(name: &str, value: f64) -> impl ViewerCommand<Output = Metric> {
    PublishMetric { name: name.into(), value, key: None }
}

#[test]
fn an_admin_may_publish_a_metric_without_an_event() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    for value in [1.0, 2.0] {
        let change = board.run(ada, publish("load", value)).expect("published");
        assert_eq!(change.output, Metric { name: "load".into(), value, updated_at: board.tables.now });
        assert!(change.events.is_empty());
        assert_eq!(board.tables.metrics["load"], change.output);
    }
}

#[test]
fn other_users_may_not_publish_metrics() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    assert!(matches!(board.run(ben, publish("load", 1.0)), Err(Error::Forbidden(_))));
}

#[test]
fn metrics_are_limited_also_within_one_batch() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    for number in 1..MAX_METRICS {
        drop(board.queue(ada, publish(&format!("m{number}"), 1.0)));
    }
    board.run_queue();
    let last = board.queue(ada, publish("last", 1.0));
    let beyond = board.queue(ada, publish("beyond", 1.0));
    let known = board.queue(ada, publish("last", 2.0));
    board.run_queue();
    last.get().expect("published");
    assert!(matches!(beyond.get(), Err(Error::BadInput { field, .. }) if field == "metric"));
    assert_eq!(known.get().expect("published").value.to_bits(), 2.0_f64.to_bits());
    assert_eq!(board.tables.metrics.len(), 1_000);
}
