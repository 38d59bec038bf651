//! The least that a user writes: 17 lines, from here to the blank line before the tests.

use annals::prelude::*;

// begin
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counter {
    count: u64,
}

#[aggregate]
impl Counter {
    #[event]
    fn counted(&mut self, by: u64) {
        self.count += by;
    }

    #[command]
    fn count(&self, by: u64) -> Step<u64> {
        applying(CounterEvent::Counted { by }).replying(self.count + by)
    }
}
// end

#[tokio::test]
async fn seventeen_lines_are_a_durable_entity() {
    let written = include_str!("smallest.rs").lines();
    let lines = written.skip_while(|line| *line != "// begin").skip(1).take_while(|line| *line != "// end").count();
    assert_eq!(lines, 17);

    let (system, journal) = crate::system();
    assert_eq!(system.get::<Counter>("c").count(2).await.unwrap(), 2);
    system.shutdown().await.unwrap();
    let restarted = crate::restarted(&journal);
    assert_eq!(restarted.get::<Counter>("c").count(3).await.unwrap(), 5);
}
