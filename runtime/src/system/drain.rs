//! The way down: calls from outside are refused, what is there is finished, effects and their calls included, and only
//! then the mailboxes are closed.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::system::shard::Stage;

/// What goes on inside a system beside its shards.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Messages that effects have sent so far.
    sent: AtomicU64,
    /// Effects that wait or run, and futures that they spawned and that have not ended.
    effects: AtomicUsize,
    at_rest: Notify,
}

impl Activity {
    /// An effect has sent a message.
    pub(crate) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::SeqCst);
    }

    /// There are so many effects, or futures of theirs, more.
    pub(crate) fn begin(&self, effects: usize) {
        self.effects.fetch_add(effects, Ordering::SeqCst);
    }

    /// One of them has ended.
    pub(crate) fn end(&self) {
        if self.effects.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.at_rest.notify_waiters();
        }
    }

    /// Ends when there are none.
    async fn rest(&self) {
        loop {
            let at_rest = self.at_rest.notified();
            if self.effects.load(Ordering::SeqCst) == 0 {
                return;
            }
            at_rest.await;
        }
    }
}

/// A question to a shard: it is answered when the shard has nothing to do.
pub(crate) type Probe = oneshot::Sender<()>;

/// Waits for the first word of the end; then for the moment when nothing goes on any more; then closes the mailboxes.
pub(crate) async fn drain(
    tell: Arc<Stages>,
    mut stages: watch::Receiver<Stage>,
    probes: Vec<mpsc::Sender<Probe>>,
    activity: Arc<Activity>,
) {
    if stages.wait_for(|stage| *stage >= Stage::Draining).await.is_err() {
        return;
    }
    tokio::select! {
        biased;
        () = nothing_goes_on(&probes, &activity) => tell.advance(Stage::Closing),
        _ = stages.wait_for(|stage| *stage > Stage::Draining) => {}
    }
}

/// INVARIANT: only an effect can start something once the outside is refused. If no effect has sent anything since
/// before the first shard was found idle, and then no effect is left, all are idle and stay so.
async fn nothing_goes_on(probes: &[mpsc::Sender<Probe>], activity: &Activity) {
    loop {
        let sent = activity.sent.load(Ordering::SeqCst);
        for shard in probes {
            let (idle, is_idle) = oneshot::channel();
            // A shard that is gone drops the question; it is idle, too.
            if shard.send(idle).await.is_ok() {
                let _ = is_idle.await;
            }
        }
        activity.rest().await;
        if activity.sent.load(Ordering::SeqCst) == sent {
            return;
        }
    }
}

/// Tells each task of a system how far it is on its way down, by a channel of its own: the receivers of one channel would
/// hear it in an order that nobody decides.
#[derive(Debug, Default)]
pub(crate) struct Stages(Vec<watch::Sender<Stage>>);

impl Stages {
    /// What one task hears of it.
    pub(crate) fn tell_one(&mut self) -> watch::Receiver<Stage> {
        let (sender, receiver) = watch::channel(Stage::Running);
        self.0.push(sender);
        receiver
    }

    /// Enters a stage, if it is a later one.
    pub(crate) fn advance(&self, to: Stage) {
        for stage in &self.0 {
            stage.send_if_modified(|now| {
                let later = to > *now;
                *now = to.max(*now);
                later
            });
        }
    }
}
