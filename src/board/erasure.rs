//! Removes what belongs to deleted users, in small steps between other writes. A step that is repeated after a failure
//! does no harm.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::{CommentId, EventBody, EventKind, MessageId, Rights, Seq, TemplateId, UserId};
use crate::store::deleted_users::{self, IdSpan, RANGE, Removal};
use crate::store::{BatchState, Db, Effects, Needs, NewEvent, SingleWrite, Store, WriteCommand, log};

/// How many texts one command deletes. Each one is an event.
const TEXTS: usize = 100;

/// Removes all that remains to be removed of a deleted user. `claim` keeps the claim of this instance, and tells whether
/// it has it. Returns whether all was removed.
///
/// # Errors
/// `UNAVAILABLE` if the database cannot be reached. What was removed before stays removed.
pub async fn remove<F: Future<Output = Result<bool>>>(
    store: &Arc<Store>,
    user: UserId,
    removal: Removal,
    claim: impl Fn() -> F,
) -> Result<bool> {
    if removal == Removal::Texts {
        if !erase_texts(store, user, &claim).await? {
            return Ok(false);
        }
        store.maintain(move |db| deleted_users::set_removal(db, user, Some(Removal::Rows))).await?;
    }
    loop {
        if !claim().await? {
            return Ok(false);
        }
        if store.maintain(move |db| deleted_users::remove_rows(db, user)).await? == 0 {
            break;
        }
    }
    store.maintain(move |db| deleted_users::set_removal(db, user, None)).await?;
    Ok(true)
}

async fn erase_texts<F: Future<Output = Result<bool>>>(
    store: &Arc<Store>,
    author: UserId,
    claim: &impl Fn() -> F,
) -> Result<bool> {
    let ids = store.read(|snapshot| deleted_users::highest_ids(snapshot.db()));
    let [messages, comments, notifications] = ids.await?;
    for span in spans(0, comments) {
        if !claim().await? {
            return Ok(false);
        }
        let found = store.read(move |snapshot| deleted_users::comments_of(snapshot.db(), author, span)).await?;
        for some in found.chunks(TEXTS) {
            store.write(EraseTexts { author, messages: Vec::new(), comments: some.to_vec() }).await?;
        }
    }
    for span in spans(0, messages) {
        if !claim().await? {
            return Ok(false);
        }
        let found = store.read(move |snapshot| deleted_users::messages_of(snapshot.db(), author, span)).await?;
        for some in found.chunks(TEXTS) {
            store.write(EraseTexts { author, messages: some.to_vec(), comments: Vec::new() }).await?;
        }
    }
    while let Some(template) = store.read(move |snapshot| deleted_users::template_of(snapshot.db(), author)).await? {
        store.write(EraseTemplate(template)).await?;
    }
    for span in spans(0, notifications) {
        if !claim().await? {
            return Ok(false);
        }
        store.maintain(move |db| deleted_users::delete_notifications_by(db, author, span)).await?;
    }
    clear_events(store, author).await?;
    Ok(true)
}

async fn clear_events(store: &Arc<Store>, actor: UserId) -> Result<()> {
    let bounds = store.read(|snapshot| Ok((log::oldest(snapshot.db())?.seq, log::head(snapshot.db())?.seq)));
    let (oldest, head) = bounds.await?;
    for (above, up_to) in spans(oldest.0 - 1, head.0) {
        let clear = move |db: &mut Db| deleted_users::clear_events_by(db, actor, (Seq(above), Seq(up_to)));
        store.maintain(clear).await?;
    }
    Ok(())
}

/// The ranges of at most [`RANGE`] ids from `above` to `end`.
fn spans(above: i64, end: i64) -> impl Iterator<Item = IdSpan> {
    (above..end).step_by(usize::try_from(RANGE).unwrap_or(1)).map(move |from| (from, (from + RANGE).min(end)))
}

/// Deletes texts of an erased user.
struct EraseTexts {
    author: UserId,
    messages: Vec<MessageId>,
    comments: Vec<CommentId>,
}

impl WriteCommand for EraseTexts {
    type Output = ();

    fn needs(&self, needs: &mut Needs) {
        self.messages.iter().for_each(|id| needs.message(*id));
        self.comments.iter().for_each(|id| needs.comment(*id));
    }

    fn decide(&self, state: &BatchState) -> Result<((), Effects)> {
        let rights = everything();
        let mut effects = state.effects();
        // A text that is missing was deleted meanwhile.
        for message in self.messages.iter().filter_map(|id| state.message(&rights, *id).ok()) {
            if message.author_id == self.author {
                effects.delete_message(message.id);
                let change = NewEvent::new(EventKind::MessageDeleted, message.id.0, None);
                effects.record(change.of_message(message), EventBody::None);
            }
        }
        for (comment, message) in self.comments.iter().filter_map(|id| state.comment(&rights, *id).ok()) {
            if comment.author_id == self.author {
                effects.delete_comment(comment.id);
                let change = NewEvent::new(EventKind::CommentDeleted, comment.id.0, None);
                effects.record(change.of_message(message), EventBody::None);
            }
        }
        Ok(((), effects))
    }
}

/// Deletes a template of an erased user.
struct EraseTemplate(TemplateId);

impl WriteCommand for EraseTemplate {
    type Output = ();

    fn needs(&self, needs: &mut Needs) {
        needs.template(&Arc::new(everything()), self.0);
    }

    fn decide(&self, state: &BatchState) -> Result<((), Effects)> {
        let mut effects = state.effects();
        match state.template(self.0) {
            Ok(template) => {
                effects.write(SingleWrite::DeleteTemplate(template.id));
                let change = NewEvent::new(EventKind::TemplateDeleted, template.id.0, None);
                effects.record(change.for_audience(&template.audience, template.author_id), EventBody::None);
            }
            // It was deleted meanwhile.
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(((), effects))
    }
}

/// The rights of the server, which may delete every text.
fn everything() -> Rights {
    Rights { admin: true, ..Rights::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::tests::BoardFixture;

    #[test]
    fn ranges_cover_all_ids_once() {
        assert_eq!(spans(0, 0).count(), 0);
        assert_eq!(spans(0, 1).collect::<Vec<_>>(), [(0, 1)]);
        assert_eq!(spans(0, RANGE + 1).collect::<Vec<_>>(), [(0, RANGE), (RANGE, RANGE + 1)]);
    }

    #[test]
    fn texts_of_an_erased_user_are_deleted_and_those_of_others_stay() {
        let mut board = BoardFixture::new();
        let (ben, cid) = (board.user("ben"), board.user("cid"));
        let channel = board.public_channel(cid);
        let [own, other] = [board.message(ben, channel).id, board.message(cid, channel).id];
        let [own_comment, other_comment] = [board.comment(ben, other).id, board.comment(cid, other).id];
        let erase = EraseTexts { author: ben, messages: vec![own, other], comments: vec![own_comment, other_comment] };
        let change = board.run_for_server(erase).expect("erased");
        let kinds: Vec<_> = change.events.iter().map(|logged| logged.event.kind).collect();
        assert_eq!(kinds, [EventKind::MessageDeleted, EventKind::CommentDeleted]);
        assert_eq!(board.tables.messages.keys().collect::<Vec<_>>(), [&other]);
        assert_eq!(board.tables.comments.keys().collect::<Vec<_>>(), [&other_comment]);
        let again = EraseTexts { author: ben, messages: vec![own], comments: vec![own_comment] };
        assert!(board.run_for_server(again).expect("nothing to do").events.is_empty());
    }
}
