//! The test kit on a state machine: states, deadlines, hooks and coverage.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::prelude::*;
use annals::testing::{Bench, given};
use annals::{Coverage, State, Timestamp};

/// What a kettle tells its kitchen.
#[derive(Debug, Default)]
pub struct Kitchen(Mutex<Vec<String>>);

impl Kitchen {
    fn hear(&self, sound: impl Into<String>) {
        self.0.lock().unwrap().push(sound.into());
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Kettle {
    litres: u64,
    boiled: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty;

#[fsm(states(initial Standing, Heating, Warm, terminal Broken), services = Kitchen)]
impl Kettle {
    #[event]
    fn filled(&mut self, litres: u64) {
        self.litres += litres;
    }

    #[event]
    fn came_to_the_boil(&mut self) {
        self.boiled += 1;
    }

    #[on(Standing | Warm => stay)]
    fn fill(&self, litres: u64) -> Step<u64> {
        applying(KettleEvent::Filled { litres }).replying_with(Self::litres)
    }

    #[on(Standing | Warm => Heating)]
    fn heat(&self) -> Result<Step, Empty> {
        if self.litres == 0 {
            return Err(Empty);
        }
        Ok(goto(Heating).for_max(Duration::from_secs(60 * self.litres)).and_then(|fx| fx.services().hear("click")))
    }

    /// Looks whether it is hot, and changes nothing.
    #[on(Heating | Warm => stay)]
    fn touch(&self) -> Step<bool> {
        stay().replying(self.boiled > 0)
    }

    /// Begins to wait for the warmth to go anew.
    #[on(Warm => Warm)]
    fn wrap(&self) -> Step {
        goto(Warm)
    }

    #[on(Standing | Heating | Warm => Broken)]
    fn hit(&self) -> Step {
        goto(Broken)
    }

    #[after(1min, Heating => Warm | Broken)]
    fn boil(&self) -> Step {
        if self.litres > 5 {
            return goto(Broken);
        }
        goto(Warm).applying(KettleEvent::CameToTheBoil).and_then(|fx| fx.services().hear("whistle"))
    }

    #[after(10min, Warm => Standing | stay)]
    fn cool(&self) -> Step {
        if self.boiled > 1 { stay() } else { goto(Standing) }
    }

    #[enter(Warm)]
    fn steam(&self, fx: &Effects<Self>) {
        fx.services().hear(format!("steam of {} l", self.litres));
    }

    #[exit(Heating)]
    fn fall_silent(fx: &Effects<Self>) {
        fx.services().hear("silence");
    }

    #[query]
    fn litres(&self) -> u64 {
        self.litres
    }
}

/// A heart that beats, and breaks at a time.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Heart {
    beats: u64,
    breaks_after: Option<u64>,
}

#[fsm(states(initial Still, Beating))]
impl Heart {
    #[event]
    fn beaten(&mut self) {
        self.beats += 1;
    }

    #[event]
    fn betrayed(&mut self) {
        self.breaks_after = Some(self.beats + 2);
    }

    #[on(Still => Beating)]
    fn wake(&self) -> Step {
        goto(Beating)
    }

    #[after(1s, Beating => Beating)]
    fn beat(&self) -> Step {
        assert_ne!(self.breaks_after, Some(self.beats), "broken");
        goto(Beating).applying(HeartEvent::Beaten)
    }
}

/// Burns from the first thing that happens to it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Fuse {
    looks: u64,
}

#[fsm(states(initial Burning, terminal Gone))]
impl Fuse {
    #[event]
    fn looked(&mut self) {
        self.looks += 1;
    }

    #[on(Burning => stay)]
    fn look(&self) -> Step {
        applying(FuseEvent::Looked)
    }

    #[after(5s, Burning => Gone)]
    fn go_off(&self) -> Step {
        goto(Gone)
    }
}

const MINUTE: Duration = Duration::from_secs(60);

fn kettle(litres: u64) -> (Bench<Kettle>, Arc<Kitchen>) {
    let kitchen = Arc::new(Kitchen::default());
    (given::<Kettle>([KettleEvent::Filled { litres }]).with_services(kitchen.clone()), kitchen)
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn a_machine_begins_in_its_initial_state() {
    let (kettle, _) = kettle(1);
    assert_eq!(kettle.state(), KettleState::Standing);
    kettle.when(|it| it.state()).then_reply(KettleState::Standing);
}

#[test]
fn a_machine_can_be_put_into_any_state() {
    for state in [KettleState::Standing, KettleState::Heating, KettleState::Warm, KettleState::Broken] {
        let (kettle, _) = kettle(1);
        kettle.in_state(state).when(|it| it.state()).then_reply(state).then_state(state).then_no_events();
    }
}

#[test]
fn the_state_after_a_step_is_checked() {
    let (kettle, _) = kettle(1);
    kettle.when(|it| it.fill(1)).then_state(KettleState::Standing).then_reply(2);
    let heated = kettle.when(|it| it.heat());
    heated.then_no_events().then_state(KettleState::Heating);
    assert_eq!(heated.state(), KettleState::Heating);
    assert_eq!(kettle.state(), KettleState::Heating);
}

#[test]
fn a_refused_step_leaves_the_state() {
    let kettle = given::<Kettle>([]);
    kettle.when(|it| it.heat()).then_refusal(Empty).then_state(KettleState::Standing);
}

#[test]
fn what_a_state_does_not_accept_is_told_from_what_a_handler_refuses() {
    let (kettle, _) = kettle(1);
    let kettle = kettle.in_state(KettleState::Heating);
    kettle.when(|it| it.fill(1)).then_not_accepted().then_no_events().then_state(KettleState::Heating);
    kettle.when(|it| it.hit()).then_state(KettleState::Broken);
    kettle.when(|it| it.hit()).then_not_accepted();
}

#[test]
#[should_panic(expected = "another state than expected:\n  expected: Warm\n     state: Heating\n    events: []")]
fn another_state_is_told() {
    let (kettle, _) = kettle(1);
    kettle.when(|it| it.heat()).then_state(KettleState::Warm);
}

#[test]
#[should_panic(expected = "accepted:\n    result: Ok(2)\n    events: [Filled { litres: 1 }]\n     state: Standing")]
fn an_accepted_command_is_told() {
    let (kettle, _) = kettle(1);
    kettle.when(|it| it.fill(1)).then_not_accepted();
}

#[test]
#[should_panic(expected = "accepted:\n    result: Err(Refused(Empty))")]
fn a_refusal_by_the_handler_is_not_taken_for_one_by_the_state() {
    given::<Kettle>([]).when(|it| it.heat()).then_not_accepted();
}

#[test]
#[should_panic(expected = "not refused by the handler")]
fn a_refusal_by_the_state_is_not_taken_for_one_by_the_handler() {
    let (kettle, _) = kettle(1);
    kettle.in_state(KettleState::Broken).when(|it| it.heat()).then_refusal(Empty);
}

#[test]
#[should_panic(expected = "no reply")]
fn a_command_that_is_not_accepted_has_no_reply() {
    let (kettle, _) = kettle(1);
    kettle.in_state(KettleState::Broken).when(|it| it.heat()).then_ok();
}

#[test]
fn a_deadline_fires_when_its_time_has_come_and_not_before() {
    let (kettle, _) = kettle(1);
    let kettle = kettle.in_state(KettleState::Heating);
    kettle.advance(Duration::from_secs(59)).then_no_events().then_state(KettleState::Heating);
    kettle.advance(Duration::from_secs(1)).then_events(KettleEvent::CameToTheBoil).then_state(KettleState::Warm);
    kettle.advance(Duration::from_secs(1)).then_no_events().then_state(KettleState::Warm);
    kettle.inspect(|it| assert_eq!(it.boiled, 1));
}

#[test]
fn a_bench_knows_when_the_time_in_the_state_is_over() {
    let (kettle, _) = kettle(3);
    assert_eq!(kettle.deadline(), None);
    kettle.when(|it| it.heat()).then_ok();
    assert_eq!(kettle.deadline(), Some(second(180)));
    kettle.advance(3 * MINUTE).then_state(KettleState::Warm);
    assert_eq!(kettle.deadline(), Some(second(180 + 600)));
}

#[test]
fn the_time_in_a_state_counts_from_where_the_test_begins() {
    let (one, _) = kettle(1);
    let one = one.at(second(1000)).in_state(KettleState::Warm);
    let (other, _) = kettle(1);
    let other = other.in_state(KettleState::Warm).at(second(1000));
    for kettle in [one, other] {
        assert_eq!(kettle.deadline(), Some(second(1600)));
        kettle.advance_to(second(1599)).then_state(KettleState::Warm);
        kettle.advance_to(second(1600)).then_state(KettleState::Standing);
    }
}

#[test]
fn the_deadlines_of_the_states_that_follow_fire_each_at_its_own_time() {
    let (kettle, kitchen) = kettle(1);
    let kettle = kettle.in_state(KettleState::Heating);
    kettle.advance(11 * MINUTE).then_events(KettleEvent::CameToTheBoil).then_state(KettleState::Standing);
    assert_eq!(kitchen.heard(), ["silence", "whistle", "steam of 1 l"]);
    assert_eq!(kettle.deadline(), None);
}

#[test]
fn to_enter_a_state_again_begins_its_time_anew_and_to_stay_does_not() {
    let (kettle, _) = kettle(1);
    let kettle = kettle.in_state(KettleState::Warm);
    kettle.advance(5 * MINUTE).then_state(KettleState::Warm);
    kettle.when(|it| it.fill(1)).then_ok();
    assert_eq!(kettle.deadline(), Some(second(600)));
    kettle.when(|it| it.wrap()).then_ok();
    assert_eq!(kettle.deadline(), Some(second(900)));
}

#[test]
fn a_deadline_that_stays_is_over_for_this_visit() {
    let boiled = [KettleEvent::Filled { litres: 1 }, KettleEvent::CameToTheBoil, KettleEvent::CameToTheBoil];
    let kettle = given::<Kettle>(boiled).in_state(KettleState::Warm);
    kettle.advance(10 * MINUTE).then_no_events().then_state(KettleState::Warm);
    assert_eq!(kettle.deadline(), None);
    kettle.advance(100 * MINUTE).then_state(KettleState::Warm);
    assert_eq!(kettle.coverage().taken().count(), 1);
}

#[test]
fn a_deadline_fires_as_often_as_its_time_has_come() {
    let heart = given::<Heart>([]).in_state(HeartState::Beating);
    heart.advance(Duration::from_millis(3_999)).then_events(vec![HeartEvent::Beaten; 3]);
    assert_eq!(heart.deadline(), Some(second(4)));
}

#[test]
#[should_panic(expected = "100000 deadlines fired, and there are more")]
fn deadlines_without_end_fail_the_test() {
    given::<Heart>([]).in_state(HeartState::Beating).advance(100_001 * Duration::from_secs(1)).then_ok();
}

#[test]
#[should_panic(expected = "the step failed: Panicked { id: Heart \"test\", command: \"deadline\"")]
fn a_panic_of_a_deadline_fails_the_test() {
    given::<Heart>(HeartEvent::Betrayed).in_state(HeartState::Beating).advance(MINUTE).then_ok();
}

#[test]
fn an_entity_to_which_nothing_has_happened_has_no_deadline() {
    let heart = given::<Heart>([]);
    heart.advance(MINUTE).then_no_events().then_state(HeartState::Still);
    assert_eq!(heart.deadline(), None);
}

#[test]
fn the_time_in_the_initial_state_begins_with_what_happens_first() {
    let untouched = given::<Fuse>([]);
    assert_eq!(untouched.deadline(), None);
    untouched.when(|it| it.look()).then_events(FuseEvent::Looked);
    assert_eq!(untouched.deadline(), Some(second(5)));

    let touched = given::<Fuse>(FuseEvent::Looked).at(second(10));
    assert_eq!(touched.deadline(), Some(second(15)));
    touched.advance(Duration::from_secs(5)).then_no_events().then_state(FuseState::Gone);
    assert!(touched.coverage().taken().map(|(edge, _)| edge.to_string()).eq(["Burning --after 5s--> Gone"]));
}

#[test]
fn a_state_has_the_name_that_the_graph_has() {
    let names = KettleState::ALL.iter().map(|state| state.name());
    assert!(names.eq(["Standing", "Heating", "Warm", "Broken"]));
}

#[test]
#[should_panic(expected = "time doesn't go back: it is 1970-01-01T00:01:00Z already, later than 1970-01-01T00:00:59Z")]
fn time_does_not_go_back() {
    let (kettle, _) = kettle(1);
    kettle.advance(MINUTE).then_no_events();
    kettle.advance_to(second(59)).then_no_events();
}

#[test]
fn hooks_run_with_the_effects_of_the_step_and_after_the_events() {
    let (kettle, kitchen) = kettle(1);
    kettle.when(|it| it.heat()).then_ok();
    assert_eq!(kitchen.heard(), ["click"]);
    kettle.advance(MINUTE).then_state(KettleState::Warm);
    assert_eq!(kitchen.heard(), ["silence", "whistle", "steam of 1 l"]);
    kettle.when(|it| it.wrap()).then_ok();
    assert_eq!(kitchen.heard(), ["steam of 1 l"]);
    kettle.when(|it| it.fill(1)).then_ok();
    assert!(kitchen.heard().is_empty());
}

#[test]
fn hooks_do_not_run_when_a_machine_is_put_into_a_state() {
    let (kettle, kitchen) = kettle(1);
    let kettle = kettle.in_state(KettleState::Heating).in_state(KettleState::Warm);
    kettle.when(|it| it.touch()).then_reply(false);
    assert!(kitchen.heard().is_empty());
}

#[test]
#[should_panic(expected = "no services were given")]
fn a_deadline_with_hooks_needs_services() {
    given::<Kettle>(KettleEvent::Filled { litres: 1 }).in_state(KettleState::Heating).advance(MINUTE).then_ok();
}

#[test]
fn the_edges_that_were_taken_are_counted_with_those_that_stay() {
    let (kettle, _) = kettle(1);
    kettle.when(|it| it.fill(1)).then_ok();
    kettle.when(|it| it.heat()).then_ok();
    kettle.when(|it| it.touch()).then_ok();
    kettle.when(|it| it.touch()).then_ok();
    kettle.advance(2 * MINUTE).then_state(KettleState::Warm);
    kettle.when(|it| it.wrap()).then_ok();
    let coverage = kettle.coverage();
    let taken: Vec<_> = coverage.taken().map(|(edge, times)| (edge.to_string(), times)).collect();
    let taken: Vec<_> = taken.iter().map(|(edge, times)| (edge.as_str(), *times)).collect();
    assert_eq!(
        taken,
        [
            ("Standing --fill--> stay", 1),
            ("Standing --heat--> Heating", 1),
            ("Heating --touch--> stay", 2),
            ("Warm --wrap--> Warm", 1),
            ("Heating --after 1min--> Warm", 1),
        ]
    );
    assert_eq!(coverage.undeclared().count(), 0);
}

#[test]
fn queries_refusals_and_what_is_not_accepted_take_no_edge() {
    let kettle = given::<Kettle>([]);
    kettle.when(|it| it.litres()).then_ok();
    kettle.when(|it| it.state()).then_ok();
    kettle.when(|it| it.accepts()).then_ok();
    kettle.when(|it| it.heat()).then_refusal(Empty);
    kettle.when(|it| it.heat().key(Key::unique("heat"))).then_refusal(Empty);
    kettle.when(|it| it.touch()).then_not_accepted();
    kettle.when(|it| it.touch().key(Key::unique("touch"))).then_not_accepted();
    let coverage = kettle.coverage();
    assert_eq!((coverage.taken().count(), coverage.undeclared().count()), (0, 0), "{coverage}");
}

#[test]
fn a_command_with_a_key_takes_its_edge_once() {
    let (kettle, _) = kettle(1);
    let kettle = kettle.in_state(KettleState::Heating);
    kettle.when(|it| it.touch().key(Key::unique("touch"))).then_ok();
    assert!(kettle.coverage().taken().map(|(_, times)| times).eq([1]));
}

#[test]
fn coverages_of_several_tests_add_up() {
    use KettleState::{Broken, Heating, Standing, Warm};

    let mut all = Coverage::of(Kettle::GRAPH);
    let mut test = |litres, state, run: &dyn Fn(&Bench<Kettle>)| {
        let (kettle, _) = kettle(litres);
        let kettle = kettle.in_state(state);
        run(&kettle);
        all.merge(&kettle.coverage());
    };
    for state in [Standing, Warm] {
        test(1, state, &|kettle| {
            kettle.when(|it| it.heat()).then_state(Heating);
        });
        test(1, state, &|kettle| {
            kettle.when(|it| it.fill(1)).then_state(state);
        });
    }
    for state in [Heating, Warm] {
        test(1, state, &|kettle| {
            kettle.when(|it| it.touch()).then_state(state);
        });
    }
    for state in [Standing, Heating, Warm] {
        test(1, state, &|kettle| {
            kettle.when(|it| it.hit()).then_state(Broken);
        });
    }
    test(1, Warm, &|kettle| {
        kettle.when(|it| it.wrap()).then_state(Warm);
    });
    test(1, Heating, &|kettle| {
        kettle.advance(11 * MINUTE).then_state(Standing);
    });
    test(6, Heating, &|kettle| {
        kettle.advance(11 * MINUTE).then_state(Broken);
    });

    let untaken: Vec<_> = all.untaken().map(|edge| edge.to_string()).collect();
    assert_eq!(untaken, ["Warm --after 10min--> stay"], "{all}");
    assert_eq!(all.undeclared().count(), 0);
}
