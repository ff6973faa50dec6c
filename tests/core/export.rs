//! Exports: their filters, and that they are exact whatever happens while they run.

use std::time::{Duration, SystemTime};

use code_service::{Code, CodeService, ErrorKind, Export, Options, StoredCode};
use code_service_tests::{Mongod, ReplicaSet};
use futures_util::{Stream, TryStreamExt};
use mongodb::bson::{DateTime, Document, doc};

use crate::support::*;

/// More than is on its way to a reader who has stopped.
const MANY: usize = 40_000;
/// Codes among so many are looked for in several steps.
const SEVERAL_SLICES: usize = 110_000;

fn wanted(change: impl FnOnce(&mut Export)) -> Export {
    let mut export = Export::default();
    change(&mut export);
    export
}

fn texts(found: &[StoredCode]) -> Vec<&str> {
    found.iter().map(|stored| stored.code.as_str()).collect()
}

/// What is left of a stream, behind a code that has come.
async fn rest(first: StoredCode, codes: impl Stream<Item = code_service::Result<StoredCode>>) -> Vec<String> {
    let rest: Vec<StoredCode> = codes.try_collect().await.expect("it goes on");
    [first].iter().chain(&rest).map(|stored| stored.code.as_str().to_owned()).collect()
}

/// Inserts `count` documents, past the service: `rest` says what a code has besides its `_id`.
async fn insert(ground: &Ground, count: usize, rest: impl Fn(usize) -> Document) {
    for names in names(count).chunks(10_000) {
        let documents = names.iter().map(|name| {
            let mut document = id_of(name);
            document.extend(rest(name[4..].parse().expect("a number")));
            document
        });
        ground.codes.insert_many(documents).await.expect("insert");
    }
}

/// The cursors on the codes that nobody waits for at this moment.
async fn open_cursors(ground: &Ground) -> Vec<i64> {
    let admin = ground.test.db.client().database("admin");
    let stages = [
        doc! { "$currentOp": { "idleCursors": true } },
        doc! { "$match": { "type": "idleCursor", "ns": format!("{}.codes", ground.test.name) } },
    ];
    let found = admin.aggregate(stages).await.expect("the server says so");
    let found: Vec<Document> = found.try_collect().await.expect("the server says so");
    let id = |found: &Document| found.get_document("cursor").expect("a cursor").get_i64("cursorId");
    found.iter().map(|found| id(found).expect("an id")).collect()
}

/// The cursors, once there are some, or none.
async fn cursors(ground: &Ground, some: bool) -> Vec<i64> {
    let start = std::time::Instant::now();
    loop {
        let open = open_cursors(ground).await;
        if open.is_empty() != some {
            return open;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain: {open:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_span_begins_with_its_first_moment_and_ends_before_its_last() {
    let ground = Ground::new(0).await;
    let at = |millis: i64| DateTime::from_millis(1_750_000_000_000 + millis);
    insert(&ground, 5, |number| {
        let date = at(number as i64);
        let dates = doc! { "saved": date, "reserved": date, "assigned": date };
        doc! { "type": "tm", "date": dates, "reserveId": "mine" }
    })
    .await;
    ground.insert("WITHOUT", doc! { "type": "tm", "date": {} }).await;
    let [since, before] = [1, 3].map(|millis| Some(at(millis).to_system_time()));
    let fields: [fn(&mut Export) -> &mut code_service::Span; 3] =
        [|export| &mut export.saved, |export| &mut export.reserved, |export| &mut export.assigned];
    for field in fields {
        let found = ground.export(wanted(|export| field(export).since = since)).await;
        assert_eq!(texts(&found), ["CODE000001", "CODE000002", "CODE000003", "CODE000004"]);
        let found = ground.export(wanted(|export| field(export).before = before)).await;
        assert_eq!(texts(&found), ["CODE000000", "CODE000001", "CODE000002"]);
        let both = |export: &mut Export| {
            field(export).since = since;
            field(export).before = before;
        };
        assert_eq!(texts(&ground.export(wanted(both)).await), ["CODE000001", "CODE000002"]);
        // Dates have whole milliseconds, moments have not.
        let later = |export: &mut Export| {
            field(export).since = since.map(|since| since + Duration::from_nanos(1));
            field(export).before = before.map(|before| before + Duration::from_nanos(1));
        };
        assert_eq!(texts(&ground.export(wanted(later)).await), ["CODE000002", "CODE000003"]);
    }
}

#[tokio::test]
async fn an_export_can_be_of_the_codes_of_a_reservation() {
    let ground = Ground::new(6).await;
    let mine = ground.service.reserve(wish_under("mine", 4)).await.expect("available");
    ground.service.assign(&campaign(), vec![mine.codes[0].clone()], None).await.expect("assigns");
    // The deployed service leaves the id behind on what it releases.
    ground.insert("RELEASED", doc! { "type": "tm", "date": {}, "reserveId": "mine" }).await;
    let of = |id: &str| wanted(|export| export.reserve_id = Some(reserve_id(id)));
    let found = ground.export(of("mine")).await;
    let mut reserved: Vec<&str> = mine.codes.iter().map(Code::as_str).collect();
    reserved.sort();
    assert_eq!(texts(&found), reserved);
    assert_eq!(ground.export(of("nobodys")).await, []);
    let mut behind = of("mine");
    behind.after = Some(code(reserved[1]));
    assert_eq!(texts(&ground.export(behind).await), reserved[2..]);
}

#[tokio::test]
async fn few_codes_among_very_many_are_all_found() {
    let ground = Ground::new(0).await;
    let rare = [0, 49_999, 50_000, 50_001, 99_999, 100_000, SEVERAL_SLICES - 1];
    insert(&ground, SEVERAL_SLICES, |number| {
        let code_type = if rare.contains(&number) { "external" } else { "tm" };
        doc! { "type": code_type, "date": { "saved": DateTime::now() } }
    })
    .await;
    let found = ground.export(wanted(|export| export.code_type = Some(external()))).await;
    assert_eq!(texts(&found), rare.map(|number| format!("CODE{number:06}")));
    let mut others = ground.export(wanted(|export| export.code_type = Some(tm()))).await;
    assert_eq!(others.len(), SEVERAL_SLICES - rare.len());
    others.extend(found);
    assert_eq!(
        distinct(&others.into_iter().map(|stored| stored.code).collect::<Vec<_>>()).len(),
        SEVERAL_SLICES
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_code_is_in_an_export_once_while_others_reserve_assign_and_release() {
    let ground = Ground::new(20_000).await;
    let service = ground.service.clone();
    let busy = tokio::spawn(async move {
        for _ in 0..20 {
            let reservation = service.reserve(wish(300)).await.expect("available");
            let id = Some(&reservation.reserve_id);
            let (assigned, released) = reservation.codes.split_at(100);
            service.assign(&campaign(), assigned.to_vec(), id).await.expect("assigns");
            service.release(&campaign(), released.to_vec(), id).await.expect("releases");
        }
    });
    let mut exports = 0;
    while !busy.is_finished() || exports == 0 {
        let all = ground.export(Export::default()).await;
        assert!(texts(&all) == names(20_000), "{} codes", all.len());
        exports += 1;
    }
    busy.await.expect("no panic");
}

#[tokio::test]
async fn an_export_whose_cursor_is_killed_goes_on_behind_the_last_code() {
    let ground = Ground::new(MANY).await;
    let mut codes = std::pin::pin!(ground.service.export(&campaign(), Export::default()));
    let first = codes.try_next().await.expect("exports").expect("there are many");
    let open = cursors(&ground, true).await;
    let killed = ground.test.db.run_command(doc! { "killCursors": "codes", "cursors": &open }).await;
    assert_eq!(killed.expect("kills").get_array("cursorsKilled").expect("a list").len(), open.len());
    assert!(rest(first, codes).await == names(MANY));
}

#[tokio::test]
async fn an_export_that_nobody_reads_any_more_lets_go_of_its_cursor() {
    let ground = Ground::new(MANY).await;
    {
        let mut codes = std::pin::pin!(ground.service.export(&campaign(), Export::default()));
        codes.try_next().await.expect("exports").expect("there are many");
        cursors(&ground, true).await;
    }
    assert_eq!(cursors(&ground, false).await.len(), 0);
}

#[tokio::test]
async fn an_export_outlasts_the_death_of_the_primary() {
    let mut set = tokio::task::spawn_blocking(ReplicaSet::start).await.expect("starts");
    let ground = Ground::on_set(&set, MANY).await;
    let mut codes = std::pin::pin!(ground.service.export(&campaign(), Export::default()));
    let first = codes.try_next().await.expect("exports").expect("there are many");
    let set = tokio::task::spawn_blocking(move || {
        let primary = set.primary().expect("there is one");
        set.kill(primary);
        set
    });
    let set = set.await.expect("killed");
    assert!(rest(first, codes).await == names(MANY));
    drop(set);
}

#[tokio::test]
async fn an_export_ends_with_unavailable_when_the_database_stays_away() {
    let server = tokio::task::spawn_blocking(Mongod::start).await.expect("starts");
    let ground = Ground::on(&server, MANY).await;
    let patience = Duration::from_secs(5);
    let mut options: Options = ground.options();
    options.patience = patience;
    let service = CodeService::connect(options).await.expect("the server runs");
    let mut codes = std::pin::pin!(service.export(&campaign(), Export::default()));
    codes.try_next().await.expect("exports").expect("there are many");
    let admin = ground.test.db.client().database("admin");
    let cut =
        doc! { "failCommands": ["find", "getMore"], "appName": "code-service", "closeConnection": true };
    fail_point(&admin, "alwaysOn".into(), cut).await;
    let since = SystemTime::now();
    let error = loop {
        match codes.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end came without the codes"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    // A little less, because the database has answered before the code was read.
    assert!(since.elapsed().expect("time goes on") > patience / 2);
}
