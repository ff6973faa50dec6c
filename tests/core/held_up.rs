//! A reserve that is held up half way: what happens meanwhile to the codes that it has already.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use code_service::{CodeService, ErrorKind, Event, Observer, Reservation, Reserve, Result};
use mongodb::bson::doc;
use tokio::task::JoinHandle;

use crate::support::*;

/// More than one command takes, so that one of them gets through while the other one is held up.
const ALL: u32 = 1_500;

/// How far the command that gets through has come, and the look for more that follows.
#[derive(PartialEq)]
enum Seen {
    Nothing,
    Batch,
    NoMore,
}

/// A pool of which somebody has one code in a transaction: a command that wants it waits.
struct HeldUp {
    ground: Ground,
    other: mongodb::ClientSession,
    reserve: JoinHandle<Result<Reservation>>,
}

impl HeldUp {
    /// Begins the reserve and returns once it has some of its codes, and has seen that there are no more: a look that
    /// is still under way would not see what becomes of them.
    async fn new(wish: Reserve, ttl: Duration) -> HeldUp {
        let ground = Ground::new(ALL as usize).await;
        let mut other = ground.codes.client().start_session().await.expect("starts");
        other.start_transaction().await.expect("starts");
        let taken = doc! { "$set": { "date.reserved": ground.ago(-MINUTE).await, "reserveId": "other" } };
        ground.codes.update_one(id_of("CODE000700"), taken).session(&mut other).await.expect("writes");

        let mut options = ground.options();
        options.reservation_ttl = ttl;
        let seen = Arc::new(Mutex::new(Seen::Nothing));
        let sees = Arc::clone(&seen);
        options.observer = Some(Observer::new(move |event| {
            let mut seen = sees.lock().expect("nothing panics while it holds this lock");
            match event {
                Event::Batch { .. } => *seen = Seen::Batch,
                Event::Fetched { candidates: 0, .. } if *seen == Seen::Batch => *seen = Seen::NoMore,
                _ => (),
            }
        }));
        let service = CodeService::connect(options).await.expect("connects");
        let reserve = tokio::spawn(async move { service.reserve(wish).await });
        while *seen.lock().expect("nothing panics while it holds this lock") != Seen::NoMore {
            assert!(!reserve.is_finished(), "it waits for the one that is taken");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        HeldUp { ground, other, reserve }
    }

    /// Lets go of the code without having changed it.
    async fn let_go(mut self) -> (Ground, Result<Reservation>) {
        self.other.abort_transaction().await.expect("aborts");
        let reserved = tokio::time::timeout(Duration::from_secs(30), self.reserve).await;
        (self.ground, reserved.expect("it ends").expect("no panic"))
    }
}

fn partial_under(id: &str) -> Reserve {
    let mut wish = wish_under(id, 2 * ALL);
    wish.partial = true;
    wish
}

#[tokio::test]
async fn a_code_that_somebody_releases_meanwhile_is_won_again_and_is_one_code() {
    for wish in [partial(2 * ALL), partial_under("mine")] {
        let held_up = HeldUp::new(wish, Duration::from_secs(3600)).await;
        // As the deployed service's clients do it, who do not say whose the codes are.
        let all = codes((0..ALL).map(|number| format!("CODE{number:06}")));
        let other = held_up.ground.another_service().await;
        let some: Vec<_> = all.into_iter().filter(|code| code.as_str() != "CODE000700").collect();
        assert!(other.release(&campaign(), some, None).await.expect("releases").updated > 0);

        let (ground, reserved) = held_up.let_go().await;
        let reservation = reserved.expect("all that there are");
        assert_eq!(distinct(&reservation.codes).len(), ALL as usize, "a pass at the end has found all");
        assert_eq!(ground.held_under(&reservation.reserve_id).await, distinct(&reservation.codes));
    }
}

#[tokio::test]
async fn a_reserve_that_outlasts_its_own_reservation_is_unavailable_and_keeps_nothing() {
    for wish in [partial(2 * ALL), wish(ALL), partial_under("mine"), wish_under("mine", ALL)] {
        let held_up = HeldUp::new(wish, Duration::from_secs(1)).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let (ground, reserved) = held_up.let_go().await;
        let error = reserved.expect_err("what it had first was anybody's by then");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_nothing_is_lost(&ground, &[], ALL as usize).await;
    }
}
