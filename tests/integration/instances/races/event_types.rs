//! Definitions of types of application events, and publishers on other instances.

use super::Cluster;
use crate::app_events::event_types::check_alternating_definitions;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_instance_publishes_an_event_after_a_definition_that_it_does_not_fit() {
    let cluster = Cluster::start(3).await;
    let root = cluster.servers[0].admin("root").await;
    let channel = cluster.servers[0].channel(&root, "orders").await;
    check_alternating_definitions(&cluster.servers, &root, &channel).await;
}
