//! Renders subscription items. An item is rendered once for all subscriptions with the same selection. Whether a viewer
//! may see the event was decided before, so the response depends on the event and the selection only.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::allowance::ResponseText;
use super::engine::Engine;
use super::execute::{Rendered, render};
use super::prepared::Live;
use super::reader_gate::ReaderGate;
use super::rendering_cache::{CachedRendering, Loaded, Loading, RenderingKey, Task, shown};
use crate::board::{Board, Viewer};
use crate::error::{Error, Result};
use crate::hub::ReadAt;
use crate::live::{Renderer, Rendering, Update};
use crate::model::Freshness;

/// How long a rendering that was read from the database is shared. An edit of the object ends that at once, but the
/// cache does not notice, for example, a new display name of its author.
const FRESH: Duration = Duration::from_secs(1);
/// Delay before an item is rendered again after the database did not answer.
const PAUSE: Duration = Duration::from_millis(300);
/// How often an item is rendered that exceeds the time limit. The database may be slow only for a moment.
const SLOW_TRIES: usize = 3;

/// Renders the items of one subscription.
pub struct ItemRenderer {
    engine: Arc<Engine>,
    live: Arc<Live>,
}

impl ItemRenderer {
    /// Renders with this engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>, live: Live) -> Self {
        Self { engine, live: Arc::new(live) }
    }
}

impl Renderer for ItemRenderer {
    type Output = ResponseText;

    fn viewer(&self) -> &Viewer {
        self.live.viewer()
    }

    fn has_checkpoints(&self) -> bool {
        self.live.has_checkpoints
    }

    fn render(&self, update: &Update) -> Rendering<ResponseText> {
        self.engine.render(&self.live, update.clone())
    }
}

impl Engine {
    /// Renders an item of a subscription.
    fn render(self: &Arc<Self>, live: &Arc<Live>, update: Update) -> Rendering<ResponseText> {
        let operation = &live.prepared.operation;
        let Some(shown) = shown(&update) else {
            // A checkpoint carries the time it was sent, so it is not shared. Its fields need no database.
            self.counts.rendered.count();
            let subject = (&live.prepared, &live.caller);
            return Rendering::Ready(
                render(&self.board, subject, update, (ReaderGate::closed(), self.limits.response)).body,
            );
        };
        if operation.is_personal.load(Ordering::Relaxed) {
            self.counts.rendered.count();
            return self.render_alone(live, update);
        }
        let signed_in = live.caller.viewer.user_id().is_some();
        let key = RenderingKey { shown, selection: live.selection, signed_in, users: self.board.user_revision() };
        match self.renderings.get(&key) {
            Some(CachedRendering::Plain(body)) => {
                self.counts.shared.count();
                return Rendering::Ready(body);
            }
            Some(CachedRendering::Loading(loading, since, read_at))
                if self.is_fresh(since, read_at)
                    && let Some(loaded) = loading.join() =>
            {
                self.counts.shared.count();
                return self.share(loaded, live, update);
            }
            Some(CachedRendering::Loaded(loaded, since, read_at)) if self.is_fresh(since, read_at) => {
                self.counts.shared.count();
                if !loaded.is_personal {
                    return Rendering::Ready(loaded.body);
                }
                return self.render_alone(live, update);
            }
            Some(CachedRendering::Loading(..) | CachedRendering::Loaded(..)) | None => self.counts.rendered.count(),
        }
        if !operation.needs_database.load(Ordering::Relaxed) {
            let subject = (&live.prepared, &live.caller);
            let rendered = render(&self.board, subject, update.clone(), (ReaderGate::closed(), self.limits.response));
            if rendered.used_database {
                operation.needs_database.store(true, Ordering::Relaxed);
            } else if rendered.is_out_of_memory {
                // `load_shared` below waits for memory and renders the item again.
            } else if rendered.is_personal {
                operation.is_personal.store(true, Ordering::Relaxed);
                return Rendering::Ready(rendered.body);
            } else {
                let bytes = rendered.body.as_ref().map_or(0, |body| body.len());
                self.renderings.insert(key, CachedRendering::Plain(rendered.body.clone()), bytes);
                return Rendering::Ready(rendered.body);
            }
        }
        self.load_shared(key, live, update)
    }

    /// Whether an item that was rendered from the database at `since` may still be sent to other subscriptions.
    fn is_fresh(&self, since: Instant, read_at: ReadAt) -> bool {
        since.elapsed() < FRESH && !self.board.log.rewritten_since(read_at)
    }

    /// Renders for all readers of the same item, and keeps the result for readers that come soon.
    fn load_shared(self: &Arc<Self>, key: RenderingKey, live: &Arc<Live>, update: Update) -> Rendering<ResponseText> {
        let (since, read_at) = (Instant::now(), self.board.log.read_at());
        let (engine, kept) = (Arc::downgrade(self), key.clone());
        let loading = self.load(live, update.clone(), true);
        let (is_kept, wait_until_kept) = oneshot::channel::<()>();
        let loading = tokio::spawn(async move {
            let loaded = loading.await;
            // The result replaces the `Loading` entry that is inserted below. Wait until that entry is in the cache.
            drop(wait_until_kept.await);
            if let Some(engine) = engine.upgrade() {
                let bytes = loaded.body.as_ref().map_or(0, |body| body.len());
                engine.renderings.replace(kept, CachedRendering::Loaded(loaded.clone(), since, read_at), bytes);
            }
            loaded
        });
        let task = Arc::new(Task(loading.abort_handle()));
        // The task fails if rendering panics, which is logged, or if it is aborted because no subscription waits for
        // it.
        let result = loading.map(|result| result.unwrap_or(Loaded { body: None, is_personal: false })).boxed().shared();
        let loading = Loading { result: result.clone(), task: Arc::downgrade(&task) };
        self.renderings.insert(key, CachedRendering::Loading(loading, since, read_at), 0);
        drop(is_kept);
        let loaded = async move {
            let loaded = result.await;
            drop(task);
            loaded
        };
        self.share(loaded, live, update)
    }

    /// Waits for a shared rendering. If that rendering depends on its viewer, renders the item again for this viewer.
    fn share(
        self: &Arc<Self>,
        loaded: impl Future<Output = Loaded> + Send + 'static,
        live: &Arc<Live>,
        update: Update,
    ) -> Rendering<ResponseText> {
        let (engine, live) = (Arc::clone(self), Arc::clone(live));
        Rendering::Waiting(
            async move {
                let loaded = loaded.await;
                let loaded = if loaded.is_personal { engine.load(&live, update, false).await } else { loaded };
                Ok(loaded.body)
            }
            .boxed(),
        )
    }

    fn render_alone(self: &Arc<Self>, live: &Arc<Live>, update: Update) -> Rendering<ResponseText> {
        let loading = self.load(live, update, false);
        Rendering::Waiting(async move { Ok(loading.await.body) }.boxed())
    }

    /// Renders an item on a reader thread. While the database does not answer, rendering is repeated, so that no item
    /// is lost. Rendering stops when the future is dropped.
    fn load(&self, live: &Arc<Live>, update: Update, is_shared: bool) -> BoxFuture<'static, Loaded> {
        let (board, live, limit) = (Arc::clone(&self.board), Arc::clone(live), self.limits.response);
        async move {
            let mut slow = 0;
            loop {
                match render_blocking(&board, &live, update.clone(), limit).await {
                    // Other viewers must not wait because this viewer has used up its share of memory. So each
                    // subscription renders the item itself.
                    Ok(Rendered { is_out_of_memory: true, .. }) if is_shared => {
                        return Loaded { body: None, is_personal: true };
                    }
                    Ok(Rendered { is_unavailable: true, .. } | Rendered { is_out_of_memory: true, .. })
                    | Err(Error::Unavailable(_)) => {}
                    Ok(Rendered { is_over_time: true, .. }) if slow + 1 < SLOW_TRIES => slow += 1,
                    Ok(Rendered { body, is_personal, .. }) => return Loaded { body, is_personal },
                    Err(_) => return Loaded { body: None, is_personal: false },
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        .boxed()
    }
}

async fn render_blocking(board: &Arc<Board>, live: &Arc<Live>, update: Update, limit: usize) -> Result<Rendered> {
    let party = live.viewer().party().rendering();
    let (reading, live) = (Arc::clone(board), Arc::clone(live));
    let render = move || {
        let subject = (&live.prepared, &live.caller);
        let rendered = render(&reading, subject, update, (ReaderGate::open(), limit));
        if rendered.is_personal {
            live.prepared.operation.is_personal.store(true, Ordering::Relaxed);
        }
        rendered
    };
    board.reads.run_on_reader(Freshness::Known, party, render).await
}
