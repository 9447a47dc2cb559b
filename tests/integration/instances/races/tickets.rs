//! Comments on a ticket whose assignee changes all the time: each comment notifies the assignee of its position in the
//! log.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use serde_json::json;
use tidings::model::{EventKind, Seq, UserId};
use tokio::time::Instant;

use super::{COMMENT, Cluster, EDIT, POST, SHORT, accepted, input, seq, until};
use crate::support::{Report, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comment_notifies_the_assignee_at_its_position_in_the_log() {
    let cluster = Cluster::start(4).await;
    let boss = cluster.servers[0].admin("boss").await;
    let users = [cluster.servers[0].register("ann").await, cluster.servers[0].register("ben").await];
    let channel = cluster.servers[0].channel(&boss, "general").await;
    let ticket = input(json!({"channelId": channel, "content": "a ticket", "ticket": {"assigneeId": users[0].id}}));
    let ticket = accepted(&cluster.servers[0], &boss, POST, ticket, &[]).await.expect("a ticket");
    let id = |number: usize| UserId(users[number % 2].id.parse().expect("a number"));
    let mut assignees: BTreeMap<Seq, UserId> = BTreeMap::from([(seq(&ticket), id(0))]);
    let (until, is_over) = (until(SHORT), AtomicBool::new(false));
    let assigning = async {
        let mut count = 1;
        while Instant::now() < until {
            let assignee = &users[count % 2].id;
            let edit = input(json!({"id": text(&ticket["id"]), "ticket": {"assigneeId": assignee}}));
            let edited = accepted(&cluster.servers[0], &boss, EDIT, edit, &[]).await.expect("an edit");
            assignees.insert(seq(&edited), id(count));
            count += 1;
        }
        is_over.store(true, Ordering::SeqCst);
    };
    let commenting = (0..9).map(async |writer| {
        while !is_over.load(Ordering::SeqCst) {
            let comment = input(json!({"messageId": ticket["id"], "content": "a comment"}));
            accepted(cluster.server(1 + writer % 3), &boss, COMMENT, comment, &[]).await.expect("a comment");
        }
    });
    join(assigning, join_all(commenting)).await;
    let log = cluster.log();
    let mut comments = 0;
    for (index, comment) in log.iter().enumerate().filter(|(_, event)| event.kind == EventKind::CommentAdded) {
        let (_, assignee) = assignees.range(..comment.cursor.seq).next_back().expect("an assignee");
        // The notifications of a comment follow its event.
        let notified = log[index + 1..].iter().take_while(|event| event.kind == EventKind::NotificationAdded);
        let notified: Vec<Option<UserId>> = notified.map(|event| event.user).collect();
        assert_eq!(notified, [Some(*assignee)], "{comment:?}");
        comments += 1;
    }
    let outdated = cluster.outdated().await;
    let mut report = Report::new("comments on a ticket whose assignee changes");
    report.line(format!("{comments} comments, {} assignees; {outdated} batches decided again", assignees.len()));
    assert!(comments > 0 && outdated > 0, "the comments did not meet the changes");
}
