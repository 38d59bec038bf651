//! Who has read a journal that was longer than the one that is there: an older copy of it was put back.

use annals::journal::Journal as _;
use annals::{Offset, TransitionError};
use annals_tests::{Lease, LeaseState};

use crate::world::World;

#[tokio::test]
async fn a_stream_that_is_to_begin_where_the_journal_does_not_reach_says_so_and_ends() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    for beyond in [1, 2, 1_000] {
        let end = world.journal.durable();
        let after = Offset(end.0 + beyond);
        let mut transitions = world.system.transitions::<Lease>().after(after);
        // What is stored there next isn't what its reader has had.
        lease.renew().await.unwrap();
        assert_eq!(transitions.next().await, Some(Err(TransitionError::Beyond { after, end })));
        assert_eq!(transitions.next().await, None);
        let mut again = transitions.after(Offset(0));
        assert_eq!(again.next().await.unwrap().unwrap().to, LeaseState::Held, "from the beginning on it goes on");
    }
}

#[tokio::test]
async fn a_stream_that_is_to_begin_at_the_end_of_the_journal_waits_there() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    let mut transitions = world.system.transitions::<Lease>().after(world.journal.durable());
    lease.give_back(0).await.unwrap();
    assert_eq!(transitions.next().await.unwrap().unwrap().to, LeaseState::Free);
}
