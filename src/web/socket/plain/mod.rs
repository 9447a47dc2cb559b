//! Plain JSON on a socket, for clients that speak no GraphQL: a second door to the same house. The
//! use cases, the rules and the feeds are those of the board; here is only how they are said.

mod acts;
mod followed;
mod frames;
mod said;
mod shown;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use tokio_tungstenite::tungstenite::Utf8Bytes;

pub use shown::Shown;

use super::close::Close;
use super::protocol::{Asked, Desk, Heard, Protocol};
use crate::error::{Error, Result};
use crate::graphql::{Caller, SMALL};
use crate::model::Cursor;
use followed::{Followed, Step, What};
use said::{Said, Subject, Unreadable};

/// Plain JSON on a socket.
pub struct Plain {
    /// Begins with a subscription to all tickets.
    starts_with_tickets: bool,
    /// Where what names no cursor begins, if the client said so when it came.
    after: Option<Result<Cursor>>,
    followed: Vec<Followed>,
    /// Whose turn it is to send.
    turn: usize,
    /// What the last frame asked for, as long as it is being done: nothing is read meanwhile, so what
    /// a client says is done in the order in which it says it.
    act: Option<(BoxFuture<'static, Done>, bool)>,
}

/// What came of a frame.
pub struct Done {
    frames: Vec<Utf8Bytes>,
    followed: Option<Followed>,
}

impl Done {
    fn say(frame: Utf8Bytes) -> Self {
        Self { frames: vec![frame], followed: None }
    }
}

impl Plain {
    /// For a client that came with this default for `after`.
    pub fn new(starts_with_tickets: bool, after: Option<String>) -> Self {
        let after = after.map(|text| said::cursor(&text));
        Self { starts_with_tickets, after, followed: Vec::new(), turn: 0, act: None }
    }

    fn after(&self, named: Option<Cursor>) -> Result<Option<Cursor>> {
        named.map(Ok).or_else(|| self.after.clone()).transpose()
    }

    fn obey(&mut self, desk: &mut Desk, said: Said) {
        if let Err((error, context)) = self.do_as_said(desk, said) {
            desk.outbox.push(&[&frames::error(&error, &context)]);
        }
    }

    fn do_as_said(&mut self, desk: &mut Desk, said: Said) -> Result<(), (Error, frames::Context)> {
        let Some(caller) = &desk.caller else { return Ok(()) };
        match said {
            Said::Ping => {
                let cursor = self.served(desk);
                desk.outbox.push(&[&frames::pong(cursor)]);
            }
            Said::Unsubscribe(subject) => {
                self.let_go(&What::Subject(subject), desk.site.board.era());
                desk.outbox.push(&[&frames::unsubscribed(subject)]);
            }
            Said::Leave(room) => {
                self.let_go(&What::Room(room.as_str().into()), desk.site.board.era());
                desk.outbox.push(&[&frames::left(&room)]);
            }
            Said::Subscribe(subject, named) => {
                let context = || frames::Context::subject(subject);
                let is_new = self.makes_room(desk, &What::Subject(subject)).map_err(|error| (error, context()))?;
                if !is_new && named.is_none() {
                    desk.outbox.push(&[&frames::subscribed(subject)]);
                    return Ok(());
                }
                let after = self.after(named).map_err(|error| (error, context()))?;
                self.act = Some((acts::subscribe(&desk.site, caller.clone(), subject, after), false));
            }
            Said::Join(room, named) => {
                let context = || frames::Context::room(&room);
                let what = What::Room(room.as_str().into());
                let is_new = self.makes_room(desk, &what).map_err(|error| (error, context()))?;
                if !is_new && named.is_none() {
                    desk.outbox.push(&[&frames::joined(&room)]);
                    return Ok(());
                }
                let after = self.after(named).map_err(|error| (error, context()))?;
                self.act = Some((acts::join(&desk.site, caller.clone(), room, after), true));
            }
            Said::Message(message) => {
                self.act = Some((acts::post(&desk.site, caller.clone(), message), true));
            }
        }
        Ok(())
    }

    /// Whether this would be a new subscription; refuses one too many.
    fn makes_room(&self, desk: &Desk, what: &What) -> Result<bool> {
        let max = desk.site.settings.sockets.max_subscriptions;
        let known = self.followed.iter().any(|followed| followed.what == *what);
        // What is remembered of those that are gone takes their place until the others have caught up.
        let remembered = self.followed.iter().map(Followed::inheritance).max().unwrap_or(0);
        if self.followed.len() + remembered >= max + usize::from(known) {
            return Err(Error::TooComplex(format!("a connection follows at most {max} things at once")));
        }
        Ok(!known)
    }

    /// Up to where every subscription of this socket has been served.
    fn served(&mut self, desk: &Desk) -> Cursor {
        desk.site.board.lowest(self.followed.iter_mut().filter_map(Followed::served))
    }

    fn poll_act(&mut self, desk: &mut Desk, context: &mut Context<'_>) -> bool {
        let Some((act, _)) = &mut self.act else { return false };
        let Poll::Ready(Done { frames, followed }) = act.as_mut().poll(context) else { return false };
        self.act = None;
        frames.iter().for_each(|frame| desk.outbox.push(&[frame]));
        if let Some(followed) = followed {
            self.let_go(&followed.what, desk.site.board.era());
            self.followed.push(followed);
        }
        true
    }

    fn let_go(&mut self, what: &What, era: u64) {
        if let Some(at) = self.followed.iter().position(|followed| followed.what == *what) {
            self.remove(at, era);
        }
    }

    /// Those that lag behind must not show again what this one has shown.
    fn remove(&mut self, at: usize, era: u64) {
        let mut gone = self.followed.swap_remove(at);
        for left in &mut self.followed {
            left.inherit(&mut gone, era);
        }
    }

    /// Whether another subscription has sent this event already, as one of a ticket.
    fn is_repeated(&mut self, at: usize, event: &crate::hub::LiveEvent, era: u64) -> bool {
        let is_of_ticket = matches!(self.followed[at].what, What::Subject(Subject::Tickets | Subject::Ticket(_)));
        is_of_ticket
            && (self.followed[at].knows_shown(event, era)
                || (0..self.followed.len()).any(|other| other != at && self.followed[other].has_shown(event, era)))
    }
}

impl Protocol for Plain {
    fn keeps_alive(&self) -> bool {
        false
    }

    fn welcome(&mut self, desk: &mut Desk) {
        if self.starts_with_tickets {
            self.obey(desk, Said::Subscribe(Subject::Tickets, None));
        }
    }

    fn refuse(&mut self, _: &mut Desk, _: &str) {}

    fn may_hear(&self) -> bool {
        self.act.is_none() && !self.followed.iter().any(Followed::is_beginning)
    }

    fn hear(&mut self, desk: &mut Desk, text: &str) -> Result<Heard, Close> {
        match Said::parse(text) {
            Ok(said) => self.obey(desk, said),
            Err(Unreadable { error, fields }) => desk.outbox.push(&[&frames::error(&error, &frames::Context(fields))]),
        }
        Ok(Heard::Something)
    }

    fn hear_binary(&mut self, desk: &mut Desk) -> Result<Heard, Close> {
        let error = Error::input("type", "a frame is text: one JSON object");
        desk.outbox.push(&[&frames::error(&error, &frames::Context::default())]);
        Ok(Heard::Something)
    }

    fn poll(&mut self, desk: &mut Desk, context: &mut Context<'_>) -> bool {
        if self.poll_act(desk, context) {
            return true;
        }
        let count = self.followed.len();
        for i in 0..count {
            let at = (self.turn + i) % count;
            let step = self.followed[at].poll_step(&desk.site.board, context);
            let Poll::Ready(step) = step else { continue };
            self.turn = at + 1;
            match step {
                Step::More => {}
                Step::Frame(frame) => deliver(desk, frame),
                Step::Event(event, frame) => {
                    if !self.is_repeated(at, &event, desk.site.board.era()) {
                        deliver(desk, frame);
                    }
                }
                Step::Over(frame) => {
                    desk.outbox.push(&[&frame]);
                    self.remove(at, desk.site.board.era());
                }
            }
            return true;
        }
        false
    }

    fn ping(&mut self, _: &mut Desk) -> Asked {
        Asked::ByFrame
    }

    fn keep_alive(&mut self, _: &mut Desk) -> Asked {
        Asked::ByFrame
    }

    fn recheck(&mut self, desk: &mut Desk) {
        for at in (0..self.followed.len()).rev() {
            if let Err(error) = self.followed[at].recheck() {
                desk.outbox.push(&[&frames::error(&error, &self.followed[at].context())]);
                self.remove(at, desk.site.board.era());
            }
        }
    }

    fn fall_silent(&mut self, patient: bool) {
        self.followed.clear();
        self.turn = 0;
        if !patient {
            self.act = self.act.take().filter(|(_, is_writing)| *is_writing);
        }
    }

    fn is_answering(&self) -> bool {
        self.act.is_some()
    }

    fn next_due(&self) -> Option<Instant> {
        None
    }
}

/// The site, as the acts need it.
type Site = Arc<super::super::Site>;

/// Who acts.
type Actor = Caller;

fn deliver(desk: &mut Desk, frame: Utf8Bytes) {
    desk.site.counts.plain.deliveries.count();
    if frame.len() > SMALL {
        return desk.outbox.push_around(&[], frame.into(), "");
    }
    desk.outbox.push(&[&frame]);
}
