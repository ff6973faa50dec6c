//! Imports as jobs: every row once, whoever runs them and whatever breaks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use code_service::{
    CodeService, Import, ImportJob, InvalidText, JobState, Rejection, Rows, RunningImport, SourceFile,
    Unreadable,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::{DateTime, Document, doc};

use crate::support::{Ground, campaign, names, tm};

/// The rows of a batch.
pub(crate) const BATCH: usize = 5_000;

/// A file that can be opened again and again.
pub(crate) fn file(rows: &[String]) -> SourceFile {
    let text = rows.join("\n");
    let size = text.len() as u64;
    let read = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&read);
    let pieces: Vec<Vec<u8>> = text.into_bytes().chunks(10_000).map(<[u8]>::to_vec).collect();
    let pieces = stream::iter(pieces).map(move |piece| {
        counted.fetch_add(piece.len() as u64, Ordering::Relaxed);
        io::Result::Ok(piece)
    });
    SourceFile { version: Some("1".to_owned()), size: Some(size), rows: Rows::csv(pieces), read }
}

/// The same, and every piece takes its time.
pub(crate) fn slow_file(rows: &[String]) -> SourceFile {
    let SourceFile { version, size, read, .. } = file(rows);
    let pieces: Vec<String> = rows.chunks(1_000).map(|rows| rows.join("\n") + "\n").collect();
    let pieces = stream::iter(pieces).then(|piece| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        io::Result::Ok(piece)
    });
    SourceFile { version, size, rows: Rows::csv(pieces), read }
}

pub(crate) async fn begin(service: &CodeService) -> ImportJob {
    service.begin_import(Import::new(campaign(), tm(), "a.csv")).await.expect("queues")
}

pub(crate) async fn next(service: &CodeService) -> RunningImport {
    service.next_import().await.expect("asks").expect("there is one")
}

pub(crate) async fn run(import: RunningImport, rows: &[String]) -> ImportJob {
    run_of(import, || file(rows)).await
}

pub(crate) async fn run_of(import: RunningImport, open: impl Fn() -> SourceFile) -> ImportJob {
    let ended = import.run(async |_| Ok(open()), std::future::pending()).await;
    ended.expect("the database answers").expect("the job is there")
}

pub(crate) async fn import(ground: &Ground, rows: &[String]) -> ImportJob {
    begin(&ground.service).await;
    run(next(&ground.service).await, rows).await
}

pub(crate) async fn look(ground: &Ground, id: &str) -> ImportJob {
    ground.service.import(&campaign(), id).await.expect("looks up").expect("the job is there")
}

pub(crate) fn counts(job: &ImportJob) -> (u64, u64, u64, u64) {
    (job.rows, job.inserted, job.updated, job.rejected)
}

/// As if the process that runs the import had been silent for too long, and does not know yet that it has lost it.
pub(crate) async fn expire(ground: &Ground) {
    let gone = doc! { "$set": { "lease": DateTime::from_millis(0), "owner": "nobody" } };
    ground.test.db.collection::<Document>("codes.jobs").update_many(doc! {}, gone).await.expect("update");
}

/// Whose the only job is.
async fn owned(ground: &Ground) -> Option<String> {
    let job = ground.test.db.collection::<Document>("codes.jobs").find_one(doc! {}).await.expect("finds");
    job.expect("there is one").get_str("owner").ok().map(str::to_owned)
}

pub(crate) async fn in_database(ground: &Ground) -> u64 {
    ground.codes.count_documents(doc! {}).await.expect("counts")
}

#[tokio::test]
async fn an_import_waits_runs_and_is_completed() {
    let ground = Ground::new(0).await;
    let rows = names(12_345);
    let queued = begin(&ground.service).await;
    assert_eq!((queued.state, counts(&queued)), (JobState::Queued, (0, 0, 0, 0)));
    assert_eq!(look(&ground, &queued.id).await, queued);

    let import = next(&ground.service).await;
    assert_eq!((import.id(), import.file()), (queued.id.as_str(), "a.csv"));
    assert_eq!(look(&ground, &queued.id).await.state, JobState::Running);
    assert!(owned(&ground).await.is_some());
    assert!(ground.service.next_import().await.expect("asks").is_none(), "it is had by one");

    let done = run(import, &rows).await;
    assert_eq!((done.state, counts(&done)), (JobState::Completed, (12_345, 12_345, 0, 0)));
    assert_eq!(Some(done.bytes), done.size);
    assert!(done.started.is_some() && done.ended.is_some() && done.rate() > 0.0, "{done:?}");
    assert_eq!(look(&ground, &queued.id).await, done);
    assert_eq!(ground.count().await.available, 12_345);
    assert!(ground.service.next_import().await.expect("asks").is_none(), "nothing is left to do");
}

#[tokio::test]
async fn codes_that_are_there_are_updated_and_keep_their_reservation() {
    let ground = Ground::new(6_000).await;
    let held = ground.reserve(10).await.expect("reserves");
    let done = import(&ground, &names(8_000)).await;
    assert_eq!(counts(&done), (8_000, 2_000, 6_000, 0));
    let counted = ground.count().await;
    assert_eq!((counted.available, counted.reserved), (7_990, 10));
    let stored = ground.find(held.codes[0].as_str()).await;
    assert_eq!(stored.reserve_id, Some(held.reserve_id));
    // And once more, now that all are.
    assert_eq!(counts(&import(&ground, &names(8_000)).await), (8_000, 0, 8_000, 0));
}

#[tokio::test]
async fn a_code_of_another_type_gets_the_type_of_the_import() {
    let ground = Ground::new(0).await;
    ground.insert("CODE000001", doc! { "type": "external", "date": { "saved": DateTime::now() } }).await;
    assert_eq!(counts(&import(&ground, &names(3)).await), (3, 2, 1, 0));
    assert_eq!(ground.find("CODE000001").await.code_type, tm());
}

#[tokio::test]
async fn a_code_that_comes_again_is_updated_wherever_it_comes() {
    let ground = Ground::new(0).await;
    let mut rows = names(3 * BATCH);
    rows.insert(1, rows[0].clone());
    let again = rows[BATCH - 10..BATCH + 10].to_vec();
    rows.extend(again);
    let done = import(&ground, &rows).await;
    assert_eq!(counts(&done), (3 * BATCH as u64 + 21, 3 * BATCH as u64, 21, 0));
    assert_eq!(in_database(&ground).await, 3 * BATCH as u64);
}

#[tokio::test]
async fn every_rejected_row_is_listed() {
    let ground = Ground::new(0).await;
    let mut rows = names(BATCH);
    rows.extend((0..BATCH).map(|_| "x".repeat(257)));
    rows.push("a\u{7f}".to_owned());
    let done = import(&ground, &rows).await;
    assert_eq!(counts(&done), (2 * BATCH as u64 + 1, BATCH as u64, 0, BATCH as u64 + 1));
    let listed: Vec<Rejection> = ground.service.rejected_rows(&done.id).try_collect().await.expect("lists");
    let mut expected: Vec<Rejection> = (BATCH as u64 + 1..=2 * BATCH as u64)
        .map(|row| Rejection { row, reason: InvalidText::TooLong })
        .collect();
    expected.push(Rejection { row: 2 * BATCH as u64 + 1, reason: InvalidText::Control });
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn an_empty_file_is_completed() {
    let ground = Ground::new(0).await;
    let done = import(&ground, &[]).await;
    assert_eq!((done.state, counts(&done)), (JobState::Completed, (0, 0, 0, 0)));
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let ground = Ground::new(100).await;
    let before = ground.all_documents().await;
    let mut wish = Import::new(campaign(), tm(), "a.csv");
    wish.dry_run = true;
    ground.service.begin_import(wish).await.expect("queues");
    let mut rows = names(7_000);
    rows.push("x".repeat(257));
    let done = run(next(&ground.service).await, &rows).await;
    assert_eq!((done.state, counts(&done)), (JobState::Completed, (7_001, 6_900, 100, 1)));
    assert_eq!(ground.all_documents().await, before);
    let refused = ground.service.undo_import(&campaign(), &done.id).await.expect_err("nothing to undo");
    assert_eq!(refused.to_string(), "state: a dry run has changed nothing that could be undone");
}

#[tokio::test]
async fn imports_are_listed_by_campaign_the_newest_first() {
    let ground = Ground::new(0).await;
    let first = begin(&ground.service).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let second = begin(&ground.service).await;
    let other = code_service::CampaignId::parse("winter").expect("valid");
    let elsewhere =
        ground.service.begin_import(Import::new(other.clone(), tm(), "b.csv")).await.expect("queues");
    let ids = |jobs: Vec<ImportJob>| jobs.into_iter().map(|job| job.id).collect::<Vec<_>>();
    assert_eq!(ids(ground.service.imports(&campaign()).await.expect("lists")), [second.id, first.id.clone()]);
    assert_eq!(ids(ground.service.imports(&other).await.expect("lists")), [elsewhere.id]);
    assert_eq!(ground.service.import(&other, &first.id).await.expect("looks up"), None);
    assert_eq!(next(&ground.service).await.id(), first.id, "the oldest is run first");
}

#[tokio::test]
async fn a_file_needs_a_name() {
    let ground = Ground::new(0).await;
    for name in [String::new(), "x".repeat(1_025)] {
        let refused = ground.service.begin_import(Import::new(campaign(), tm(), name)).await;
        assert_eq!(refused.expect_err("refused").to_string(), "file: must have 1 to 1024 bytes");
    }
}

#[tokio::test]
async fn an_import_that_waits_is_cancelled_at_once() {
    let ground = Ground::new(0).await;
    let queued = begin(&ground.service).await;
    let cancelled =
        ground.service.cancel_import(&campaign(), &queued.id).await.expect("asks").expect("there");
    assert_eq!((cancelled.state, counts(&cancelled)), (JobState::Cancelled, (0, 0, 0, 0)));
    assert!(ground.service.next_import().await.expect("asks").is_none());
    assert_eq!(ground.service.cancel_import(&campaign(), "other").await.expect("asks"), None);
}

#[tokio::test]
async fn an_import_that_runs_is_cancelled_and_its_counts_are_what_it_has_saved() {
    let ground = Ground::new(0).await;
    let queued = begin(&ground.service).await;
    let rows = names(1_000_000);
    let running = next(&ground.service).await;
    let cancel = async {
        while in_database(&ground).await == 0 {
            tokio::task::yield_now().await;
        }
        ground.service.cancel_import(&campaign(), &queued.id).await.expect("asks").expect("there")
    };
    let (ended, asked) = tokio::join!(run_of(running, || slow_file(&rows)), cancel);
    assert_eq!((asked.state, ended.state), (JobState::Running, JobState::Cancelled));
    assert!(ended.inserted > 0 && ended.inserted < 1_000_000, "{ended:?}");
    assert_eq!(in_database(&ground).await, ended.inserted);
    let again = ground.service.cancel_import(&campaign(), &queued.id).await.expect("asks").expect("there");
    assert_eq!(again, ended, "one that has ended stays as it is");
}

#[tokio::test]
async fn a_completed_import_cannot_be_cancelled() {
    let ground = Ground::new(0).await;
    let done = import(&ground, &names(10)).await;
    let asked = ground.service.cancel_import(&campaign(), &done.id).await.expect("asks").expect("there");
    assert_eq!(asked, done);
}

/// Runs an import for as long as it takes to save some, then stops as a process does that ends in order.
async fn run_a_little(ground: &Ground, rows: &[String], until: u64) -> ImportJob {
    let enough = async {
        while in_database(ground).await < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let running = next(&ground.service).await;
    let ended = running.run(async |_| Ok(slow_file(rows)), enough).await;
    ended.expect("the database answers").expect("the job is there")
}

#[tokio::test]
async fn who_comes_next_goes_on_where_another_has_stopped() {
    let ground = Ground::new(0).await;
    let rows = names(60_000);
    begin(&ground.service).await;
    let mut saved = 0;
    for _ in 0..4 {
        let stopped = run_a_little(&ground, &rows, saved + 1).await;
        assert_eq!(stopped.state, JobState::Running);
        // Or the last beat of its heart could come after that, and put the lease off.
        assert_eq!(owned(&ground).await, None, "it is nobody's");
        saved = in_database(&ground).await;
    }
    let done = run(next(&ground.service).await, &rows).await;
    assert_eq!((done.state, counts(&done)), (JobState::Completed, (60_000, 60_000, 0, 0)));
}

#[tokio::test]
async fn an_import_whose_process_is_gone_is_had_by_another_after_its_lease() {
    let ground = Ground::new(0).await;
    let queued = begin(&ground.service).await;
    drop(next(&ground.service).await);
    assert!(ground.service.next_import().await.expect("asks").is_none(), "it may still be alive");
    expire(&ground).await;
    assert_eq!(next(&ground.service).await.id(), queued.id);
}

#[tokio::test]
async fn who_takes_an_import_over_does_not_wait_for_transactions_that_a_dead_process_has_left_open() {
    let ground = Ground::new(0).await;
    let id = begin(&ground.service).await.id;
    drop(next(&ground.service).await);
    let mut session = ground.test.db.client().start_session().await.expect("a session");
    session.start_transaction().await.expect("begins");
    let record = doc! { "_id": { "job": &id, "n": 0_i64 } };
    let records = ground.test.db.collection::<Document>("codes.jobs.batches");
    records.insert_one(record).session(&mut session).await.expect("inserts");
    let left = doc! { "$set": { "sessions": [session.id()] } };
    ground.test.db.collection::<Document>("codes.jobs").update_many(doc! {}, left).await.expect("update");
    expire(&ground).await;
    let taken_over = async { run(next(&ground.service).await, &names(10)).await };
    // The server itself ends them after a minute.
    let done = tokio::time::timeout(Duration::from_secs(30), taken_over).await.expect("at once");
    assert_eq!((done.state, counts(&done)), (JobState::Completed, (10, 10, 0, 0)));
    session.commit_transaction().await.expect_err("it is gone");
}

#[tokio::test]
async fn several_who_run_one_import_at_once_count_every_row_once() {
    let ground = Ground::new(0).await;
    let mut rows = names(100_000);
    let again = rows[..7_000].to_vec();
    rows.extend(again);
    let queued = begin(&ground.service).await;
    let services =
        [ground.another_service().await, ground.another_service().await, ground.another_service().await];
    let mut running = Vec::new();
    for service in services {
        expire(&ground).await;
        let import = next(&service).await;
        let (rows, before) = (rows.clone(), in_database(&ground).await);
        running.push(tokio::spawn(async move {
            let ended = run_of(import, || slow_file(&rows)).await;
            (ended, service)
        }));
        while in_database(&ground).await == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for one in running {
        one.await.expect("no panic");
    }
    let done = look(&ground, &queued.id).await;
    assert_eq!((done.state, counts(&done)), (JobState::Completed, (107_000, 100_000, 7_000, 0)));
    assert_eq!(in_database(&ground).await, 100_000);
}

#[tokio::test]
async fn nothing_is_added_to_an_import_that_another_has_ended() {
    let ground = Ground::new(0).await;
    begin(&ground.service).await;
    let rows = names(400_000);
    let slow = next(&ground.service).await;
    let slow = {
        let rows = rows.clone();
        tokio::spawn(async move { run_of(slow, || slow_file(&rows)).await })
    };
    while in_database(&ground).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Taken over by another process, which ends it before the first has heard of it.
    expire(&ground).await;
    let another = ground.another_service().await;
    let taken = next(&another).await;
    let ended = taken.run(async |_| Err(Unreadable::Final("gone".to_owned())), std::future::pending()).await;
    let ended = ended.expect("answers").expect("there");
    assert_eq!(ended.state, JobState::Failed);
    slow.await.expect("no panic");
    assert_eq!(look(&ground, &ended.id).await, ended, "what was told once stays so");
    assert_eq!(in_database(&ground).await, ended.inserted);
}

#[tokio::test]
async fn an_import_that_another_was_about_to_end_is_ended_and_not_gone_on_with() {
    let ground = Ground::new(0).await;
    let queued = begin(&ground.service).await;
    let rows = names(60_000);
    run_a_little(&ground, &rows, 1).await;
    // As a process leaves it that dies between the two steps of an end.
    let jobs = ground.test.db.collection::<Document>("codes.jobs");
    let ending = doc! { "$set": { "ending": "failed", "error": "the file is gone" } };
    jobs.update_one(doc! { "_id": &queued.id }, ending).await.expect("update");
    let ended = run(next(&ground.service).await, &rows).await;
    assert_eq!((ended.state, ended.error.as_deref()), (JobState::Failed, Some("the file is gone")));
    assert_eq!(in_database(&ground).await, ended.inserted);
}

#[tokio::test]
async fn two_imports_of_one_file_at_once_insert_every_code_once() {
    let ground = Ground::new(0).await;
    let rows = names(30_000);
    let (first, second) = (begin(&ground.service).await, begin(&ground.service).await);
    let (one, other) = (next(&ground.service).await, next(&ground.service).await);
    tokio::join!(run(one, &rows), run(other, &rows));
    let (first, second) = (look(&ground, &first.id).await, look(&ground, &second.id).await);
    assert_eq!(first.inserted + second.inserted, 30_000);
    assert_eq!(first.updated + second.updated, 30_000);
    assert_eq!((first.rows, second.rows), (30_000, 30_000));
}

#[tokio::test]
async fn a_file_that_breaks_off_is_opened_again() {
    let ground = Ground::new(0).await;
    let rows = names(50_000);
    begin(&ground.service).await;
    let opened = AtomicU32::new(0);
    let broken = || {
        let whole = file(&rows);
        let opened = opened.fetch_add(1, Ordering::Relaxed) as usize;
        // Further each time, and in the middle of a batch.
        let pieces = vec![Ok(rows[..(opened * 13_001).min(rows.len())].join("\n"))];
        let cut = if opened < 4 { vec![Err(io::ErrorKind::ConnectionReset.into())] } else { Vec::new() };
        let all: Vec<io::Result<String>> = pieces.into_iter().chain(cut).collect();
        whole.read.store(opened as u64, Ordering::Relaxed);
        SourceFile { rows: Rows::csv(stream::iter(all)), ..whole }
    };
    let done = run_of(next(&ground.service).await, broken).await;
    assert_eq!((done.state, counts(&done)), (JobState::Completed, (50_000, 50_000, 0, 0)));
    assert_eq!(opened.into_inner(), 5);
}

#[tokio::test]
async fn a_file_that_always_breaks_off_fails_the_import_with_the_reason() {
    let ground = Ground::new(0).await;
    begin(&ground.service).await;
    let rows = names(BATCH + 10);
    let broken = || {
        let all = vec![Ok(rows.join("\n")), Err(io::Error::other("the line is dead"))];
        SourceFile { rows: Rows::csv(stream::iter(all)), ..file(&[]) }
    };
    let failed = run_of(next(&ground.service).await, broken).await;
    assert_eq!((failed.state, failed.error.as_deref()), (JobState::Failed, Some("the line is dead")));
    assert_eq!(counts(&failed), (BATCH as u64, BATCH as u64, 0, 0));
    assert_eq!(in_database(&ground).await, BATCH as u64);
}

#[tokio::test]
async fn bad_data_fails_the_import_at_once() {
    let ground = Ground::new(0).await;
    begin(&ground.service).await;
    let opened = AtomicU32::new(0);
    let bad = || {
        opened.fetch_add(1, Ordering::Relaxed);
        let error = io::Error::new(io::ErrorKind::InvalidData, "the file is no gzip");
        SourceFile { rows: Rows::csv(stream::iter([io::Result::<String>::Err(error)])), ..file(&[]) }
    };
    let failed = run_of(next(&ground.service).await, bad).await;
    assert_eq!((failed.state, failed.error.as_deref()), (JobState::Failed, Some("the file is no gzip")));
    assert_eq!(opened.into_inner(), 1);
}

#[tokio::test]
async fn a_file_that_has_changed_fails_the_import() {
    let ground = Ground::new(0).await;
    let rows = names(60_000);
    begin(&ground.service).await;
    run_a_little(&ground, &rows, 1).await;
    let another = || SourceFile { version: Some("2".to_owned()), ..file(&rows) };
    let failed = run_of(next(&ground.service).await, another).await;
    assert_eq!(failed.state, JobState::Failed);
    assert_eq!(failed.error.as_deref(), Some("the file has changed since the import began"));
    assert_eq!(in_database(&ground).await, failed.inserted);
}

#[tokio::test]
async fn who_opens_a_file_again_is_told_which_it_was() {
    let ground = Ground::new(0).await;
    let rows = names(60_000);
    begin(&ground.service).await;
    run_a_little(&ground, &rows, 1).await;
    let open = async |version: Option<String>| {
        assert_eq!(version.as_deref(), Some("1"));
        Ok(file(&rows))
    };
    let done = next(&ground.service).await.run(open, std::future::pending()).await;
    assert_eq!(done.expect("answers").expect("there").state, JobState::Completed);
}
