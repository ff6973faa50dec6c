//! Undoing an import: what it has inserted is gone, and nothing else, whoever saves or reserves meanwhile.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use code_service::{ImportJob, ImportUndo, JobState, Rows, SourceFile, Unreadable};
use futures_util::{StreamExt, stream};

use crate::imports::{BATCH, begin, counts, file, import, in_database, next, run, run_of, slow_file};
use crate::support::{Ground, campaign, code, names, tm};

async fn undo(ground: &Ground, id: &str) -> ImportJob {
    ground.service.undo_import(&campaign(), id).await.expect("asks").expect("the job is there")
}

#[tokio::test]
async fn an_import_is_undone_and_what_was_there_before_stays() {
    let ground = Ground::new(3_000).await;
    let mut rows = names(12_000);
    // Some come again, in another batch.
    let again = rows[2_990..3_010].to_vec();
    rows.extend(again);
    let done = import(&ground, &rows).await;
    assert_eq!(counts(&done), (12_020, 9_000, 3_020, 0));
    let undoing = undo(&ground, &done.id).await;
    assert_eq!((undoing.state, undoing.undo), (JobState::Undoing, Some(ImportUndo::default())));
    let undone = run(next(&ground.service).await, &rows).await;
    assert_eq!(undone.state, JobState::Undone);
    assert_eq!(undone.undo, Some(ImportUndo { removed: 9_000, ..ImportUndo::default() }));
    let left: BTreeSet<String> =
        ground.export(Default::default()).await.into_iter().map(|stored| stored.code.into_string()).collect();
    assert_eq!(left, names(3_000).into_iter().collect());
    assert_eq!(undo(&ground, &done.id).await.state, JobState::Undone, "once is enough");
}

#[tokio::test]
async fn an_import_of_which_a_code_is_used_is_not_undone() {
    let ground = Ground::new(0).await;
    let rows = names(12_000);
    let done = import(&ground, &rows).await;
    ground.service.assign(&campaign(), vec![code("CODE011999")], None).await.expect("assigns");
    undo(&ground, &done.id).await;
    let as_before = run(next(&ground.service).await, &rows).await;
    assert_eq!((as_before.state, counts(&as_before)), (JobState::Completed, (12_000, 12_000, 0, 0)));
    let reason = as_before.error.expect("says why");
    assert!(reason.starts_with("nothing was removed: at least 1 of its codes"), "{reason}");
    assert_eq!(in_database(&ground).await, 12_000);
}

#[tokio::test]
async fn codes_that_are_reserved_while_an_import_is_undone_stay() {
    let ground = Ground::new(0).await;
    let rows = names(100_000);
    let done = import(&ground, &rows).await;
    undo(&ground, &done.id).await;
    let running = next(&ground.service).await;
    let undoing = tokio::spawn({
        let rows = rows.clone();
        async move { run(running, &rows).await }
    });
    while in_database(&ground).await == 100_000 {
        tokio::task::yield_now().await;
    }
    let mut held = 0;
    while !undoing.is_finished() {
        let mut wish = crate::support::wish(20);
        wish.partial = true;
        held += ground.service.reserve(wish).await.expect("reserves").codes.len() as u64;
    }
    let undone = undoing.await.expect("no panic");
    let undo = undone.undo.expect("it was undone");
    assert!(held > 0, "it was reserved meanwhile");
    assert_eq!((undo.removed, undo.kept), (100_000 - held, held));
    assert_eq!(in_database(&ground).await, held);
}

#[tokio::test]
async fn an_undoing_is_gone_on_with_by_another() {
    let ground = Ground::new(0).await;
    let rows = names(60_000);
    let done = import(&ground, &rows).await;
    undo(&ground, &done.id).await;
    let some = async {
        while in_database(&ground).await == 60_000 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let stopped = next(&ground.service).await.run(async |_| Ok(slow_file(&rows)), some).await;
    assert_eq!(stopped.expect("answers").expect("there").state, JobState::Undoing);
    // It does not look again whether codes are used.
    let undone = run(next(&ground.service).await, &rows).await;
    assert_eq!(
        (undone.state, undone.undo),
        (JobState::Undone, Some(ImportUndo { removed: 60_000, ..ImportUndo::default() }))
    );
    assert_eq!(in_database(&ground).await, 0);
}

#[tokio::test]
async fn an_import_that_has_not_ended_is_not_undone() {
    let ground = Ground::new(0).await;
    let queued = begin(&ground.service).await;
    let refused = ground.service.undo_import(&campaign(), &queued.id).await.expect_err("refused");
    assert_eq!(refused.to_string(), "state: the import has not ended: cancel it before it is undone");
}

/// A file of which the database has only what is whole.
fn damaged(rows: &[String]) -> SourceFile {
    let SourceFile { version, size, read, .. } = file(rows);
    let text = rows.join("\n") + "\n";
    let pieces: Vec<_> = text.into_bytes().chunks(10_000).map(|piece| Ok(piece.to_vec())).collect();
    let end = Err(io::Error::new(io::ErrorKind::InvalidData, "the file is no gzip, or not all of one"));
    SourceFile { version, size, rows: Rows::csv(stream::iter(pieces).chain(stream::iter([end]))), read }
}

#[tokio::test]
async fn an_import_that_failed_is_undone() {
    let ground = Ground::new(0).await;
    let rows = names(2 * BATCH + 10);
    begin(&ground.service).await;
    let failed = run_of(next(&ground.service).await, || damaged(&rows)).await;
    assert_eq!((failed.state, failed.inserted), (JobState::Failed, 2 * BATCH as u64));
    undo(&ground, &failed.id).await;
    let undone = run_of(next(&ground.service).await, || damaged(&rows)).await;
    assert_eq!((undone.state, undone.bytes), (JobState::Undone, failed.bytes), "{undone:?}");
    assert_eq!(undone.undo.map(|undo| undo.removed), Some(2 * BATCH as u64));
    assert_eq!(in_database(&ground).await, 0);
}

#[tokio::test]
async fn an_import_that_was_cancelled_is_undone() {
    let ground = Ground::new(0).await;
    let rows = names(20 * BATCH);
    let id = begin(&ground.service).await.id;
    let running = next(&ground.service).await;
    let cancel = async {
        while in_database(&ground).await == 0 {
            tokio::task::yield_now().await;
        }
        ground.service.cancel_import(&campaign(), &id).await.expect("asks");
    };
    let open = async |_| Ok::<_, Unreadable>(slow_file(&rows));
    let (cancelled, ()) = tokio::join!(running.run(open, std::future::pending()), cancel);
    let cancelled = cancelled.expect("answers").expect("there");
    assert_eq!(cancelled.state, JobState::Cancelled);
    assert!(cancelled.inserted > 0);
    undo(&ground, &id).await;
    let undone = run(next(&ground.service).await, &rows).await;
    assert_eq!((undone.state, undone.error), (JobState::Undone, None));
    assert_eq!(undone.undo.map(|undo| undo.removed), Some(cancelled.inserted));
    assert_eq!(in_database(&ground).await, 0);
}

#[tokio::test]
async fn what_is_saved_while_an_import_is_undone_is_there_in_the_end() {
    let ground = Ground::new(0).await;
    let rows = names(60_000);
    for as_a_job in [false, true] {
        let done = import(&ground, &rows).await;
        undo(&ground, &done.id).await;
        let undoing = run(next(&ground.service).await, &rows);
        let saving = async {
            while in_database(&ground).await == rows.len() as u64 {
                tokio::task::yield_now().await;
            }
            if as_a_job {
                counts(&import(&ground, &rows).await)
            } else {
                let saved = ground.service.save(&campaign(), &tm(), Rows::codes(rows.clone())).await;
                let saved = saved.expect("saves");
                (saved.rows, saved.inserted, saved.updated, saved.rejected)
            }
        };
        let (undone, (given, inserted, updated, rejected)) = tokio::join!(undoing, saving);
        assert_eq!((given, rejected), (rows.len() as u64, 0));
        assert_eq!(inserted + updated, given);
        assert_eq!(in_database(&ground).await, given, "as a job: {as_a_job}");
        // Each was either removed and saved anew, or saved again first, and stayed.
        let undo = undone.undo.expect("it was undone");
        assert_eq!((undo.removed, undo.kept, undo.saved_again), (inserted, 0, updated));
        ground.codes.delete_many(mongodb::bson::doc! {}).await.expect("deletes");
    }
}

#[tokio::test]
async fn codes_that_were_saved_again_stay_and_are_counted() {
    let ground = Ground::new(0).await;
    let rows = names(12_000);
    let done = import(&ground, &rows).await;
    ground.service.save(&campaign(), &tm(), Rows::codes(rows[..7_000].to_vec())).await.expect("saves");
    ground.service.assign(&campaign(), vec![code("CODE006999")], None).await.expect("assigns");
    undo(&ground, &done.id).await;
    let undone = run(next(&ground.service).await, &rows).await;
    let Some(ImportUndo { removed, kept, saved_again }) = undone.undo else { panic!("{undone:?}") };
    assert_eq!((removed, kept, saved_again), (5_000, 0, 7_000), "{undone:?}");
    assert_eq!(in_database(&ground).await, 7_000);
}

#[tokio::test]
async fn an_undoing_that_stops_half_way_says_so_and_looks_again_at_what_is_left() {
    let ground = Ground::new(0).await;
    let rows = names(60_000);
    let done = import(&ground, &rows).await;
    undo(&ground, &done.id).await;
    let openings = std::sync::atomic::AtomicU32::new(0);
    // The file is another one before it can be read to its end.
    let open = async |_| match openings.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(file(&rows)),
        1 => {
            let mut file = slow_file(&rows);
            let broken = Err(io::Error::other("broken"));
            let whole = rows[..20_000].join("\n") + "\n";
            file.rows = Rows::csv(stream::iter([Ok(whole), broken]));
            Ok(file)
        }
        _ => Err(Unreadable::Final("the file has changed since the import began".to_owned())),
    };
    let stopped = next(&ground.service).await.run(open, std::future::pending()).await;
    let stopped = stopped.expect("answers").expect("there");
    let removed = stopped.undo.expect("it had begun").removed;
    assert!(removed > 0 && removed < 60_000);
    assert_eq!(in_database(&ground).await, 60_000 - removed);
    let why =
        format!("only {removed} of its codes were removed: the file has changed since the import began");
    assert_eq!((stopped.state, stopped.error), (JobState::Completed, Some(why)));

    // Of more, which may be of two batches, the first of these would say how many it has.
    let held = ground.reserve(1).await.expect("reserves");
    undo(&ground, &done.id).await;
    let stopped = run(next(&ground.service).await, &rows).await;
    let why = stopped.error.expect("it says why");
    assert!(why.contains("at least 1 of its codes are reserved or assigned, or were"), "{why}");
    assert_eq!(in_database(&ground).await, 60_000 - removed);

    ground.service.release(&campaign(), held.codes, None).await.expect("releases");
    undo(&ground, &done.id).await;
    let undone = run(next(&ground.service).await, &rows).await;
    assert_eq!((undone.state, undone.undo.map(|undo| undo.removed)), (JobState::Undone, Some(60_000)));
    assert_eq!(in_database(&ground).await, 0);
}
