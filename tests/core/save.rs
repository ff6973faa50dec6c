//! Save: an upload adds up, and keeps what happened to a code before.

use std::collections::BTreeSet;
use std::io;

use code_service::{Code, CodeType, ErrorKind, InvalidText, MAX_REJECTIONS, Rejection, Rows, SaveReport};
use futures_util::stream;
use mongodb::bson::doc;

use crate::support::*;

impl Ground {
    async fn upload(&self, rows: Rows) -> SaveReport {
        let report = self.service.save(&campaign(), &tm(), rows).await.expect("saves");
        assert_adds_up(&report);
        report
    }
}

fn assert_adds_up(report: &SaveReport) {
    assert_eq!(report.rows, report.inserted + report.updated + report.rejected, "{report:?}");
}

fn report(rows: u64, inserted: u64, updated: u64) -> SaveReport {
    SaveReport { rows, inserted, updated, ..SaveReport::default() }
}

#[tokio::test]
async fn new_codes_are_inserted_and_available() {
    let ground = Ground::new(0).await;
    assert_eq!(ground.upload(Rows::codes(names(5))).await, report(5, 5, 0));
    assert_eq!(ground.count().await, counts(5, 0, 0));
}

#[tokio::test]
async fn an_upload_of_nothing_is_an_empty_report() {
    let ground = Ground::new(0).await;
    assert_eq!(ground.upload(Rows::codes(names(0))).await, report(0, 0, 0));
    assert_eq!(ground.upload(Rows::csv(stream::iter([Ok("\u{feff}code\n\n")]))).await, report(0, 0, 0));
}

#[tokio::test]
async fn codes_that_are_there_are_updated() {
    let ground = Ground::new(3).await;
    assert_eq!(ground.upload(Rows::codes(names(5))).await, report(5, 2, 3));
    assert_eq!(ground.count().await, counts(5, 0, 0));
}

#[tokio::test]
async fn a_repeat_inside_one_upload_counts_as_updated() {
    let ground = Ground::new(0).await;
    assert_eq!(ground.upload(Rows::codes(["A", "B", "A", "A"])).await, report(4, 2, 2));
}

#[tokio::test]
async fn repeats_far_apart_in_a_long_upload_count_as_updated() {
    let ground = Ground::new(0).await;
    let mut rows = names(12_500);
    rows.extend(names(12_500));
    assert_eq!(ground.upload(Rows::codes(rows.clone())).await, report(25_000, 12_500, 12_500));
    assert_eq!(ground.count().await, counts(12_500, 0, 0));
    assert_eq!(ground.upload(Rows::codes(rows)).await, report(25_000, 0, 25_000));
}

#[tokio::test]
async fn an_upload_whose_beginning_is_known_updates_that_and_inserts_what_is_new_behind_it() {
    let ground = Ground::new(12_000).await;
    let code_type = CodeType::parse("vip").expect("valid");
    // 12,000 known, then known and new in turn, then new ones, each twice.
    let names = names(36_000);
    let mut rows = names[..12_000].to_vec();
    rows.extend((0..8_000).map(|row| names[if row % 2 == 0 { row } else { 12_000 + row }].clone()));
    rows.extend(names[30_000..].iter().flat_map(|name| [name.clone(), name.clone()]));
    let report = ground.service.save(&campaign(), &code_type, Rows::codes(rows)).await.expect("saves");
    assert_adds_up(&report);
    assert_eq!((report.inserted, report.updated), (4_000 + 6_000, 12_000 + 4_000 + 6_000));
    assert_eq!(ground.count().await, counts(0, 0, 0), "all have the new type");
    let all = ground.service.count(&campaign(), &code_type).await.expect("counts");
    assert_eq!(all, counts(22_000, 0, 0));
}

#[tokio::test]
async fn an_upload_of_the_same_repeats_from_front_to_back_counts_each_code_once_as_inserted() {
    let ground = Ground::new(0).await;
    let rows: Vec<String> = (0..25_000).map(|row| format!("CODE{}", row % 7)).collect();
    assert_eq!(ground.upload(Rows::codes(rows)).await, report(25_000, 7, 24_993));
}

#[tokio::test]
async fn the_date_of_saving_is_the_servers_time() {
    let ground = Ground::new(0).await;
    let before = ground.now().await;
    ground.save(names(1)).await;
    let saved = date(&ground.document("CODE000000").await, "saved").expect("saved");
    assert!(before <= saved && saved <= ground.now().await);
}

#[tokio::test]
async fn a_second_upload_changes_type_and_date_of_saving() {
    let ground = Ground::new(1).await;
    let long_ago = ground.ago(MINUTE).await;
    ground.set("CODE000000", doc! { "date.saved": long_ago }).await;
    ground.service.save(&campaign(), &external(), Rows::codes(names(1))).await.expect("saves");
    let document = ground.document("CODE000000").await;
    assert_eq!(document.get_str("type").expect("a type"), "external");
    assert!(date(&document, "saved").expect("saved") > long_ago);
}

#[tokio::test]
async fn a_second_upload_keeps_reservation_assignment_and_id() {
    let ground = Ground::new(2).await;
    let reservation = ground.reserve(2).await.expect("available");
    ground.service.assign(&campaign(), codes(["CODE000000"]), None).await.expect("assigns");
    let before = ground.all_documents().await;
    ground.service.save(&campaign(), &external(), Rows::codes(names(2))).await.expect("saves");
    for (before, after) in before.iter().zip(ground.all_documents().await) {
        for name in ["reserved", "assigned"] {
            assert_eq!(date(before, name), date(&after, name), "{name}");
        }
        assert_eq!(after.get_str("reserveId").expect("kept"), reservation.reserve_id.as_str());
    }
}

#[tokio::test]
async fn the_same_text_in_another_campaign_is_another_code() {
    let ground = Ground::new(1).await;
    let winter = code_service::CampaignId::parse("winter").expect("valid");
    let saved = ground.service.save(&winter, &tm(), Rows::codes(names(1))).await.expect("saves");
    assert_eq!(saved, report(1, 1, 0));
}

#[tokio::test]
async fn bad_rows_are_listed_with_number_and_reason_and_the_others_saved() {
    let ground = Ground::new(0).await;
    let rows = ["A".into(), String::new(), "x".repeat(257), "tab\there".into(), "B".into()];
    let report = ground.upload(Rows::codes(rows)).await;
    let rejections = [(2, InvalidText::Empty), (3, InvalidText::TooLong), (4, InvalidText::Control)];
    let rejections = rejections.map(|(row, reason)| Rejection { row, reason }).to_vec();
    assert_eq!(report, SaveReport { rows: 5, inserted: 2, updated: 0, rejected: 3, rejections });
}

#[tokio::test]
async fn an_upload_of_bad_rows_only_saves_nothing() {
    let ground = Ground::new(0).await;
    let report = ground.upload(Rows::codes([""; 3])).await;
    assert_eq!((report.rows, report.rejected), (3, 3));
    assert_eq!(ground.all_documents().await, []);
}

#[tokio::test]
async fn all_bad_rows_are_counted_and_the_first_thousand_listed() {
    assert_eq!(MAX_REJECTIONS, 1_000);
    let ground = Ground::new(0).await;
    let rows = (0..12_001).map(|row| if row % 2 == 0 { String::new() } else { format!("CODE{row}") });
    let report = ground.upload(Rows::codes(rows)).await;
    assert_eq!((report.rows, report.inserted, report.rejected), (12_001, 6_000, 6_001));
    let listed: Vec<u64> = report.rejections.iter().map(|rejection| rejection.row).collect();
    assert_eq!(listed, (0..1_000).map(|number| 2 * number + 1).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_csv_file_that_arrives_in_pieces_is_saved_by_its_first_column() {
    let ground = Ground::new(0).await;
    let pieces = ["\u{feff}co", "de\r\nA1,x,y\r", "\n  B", "2 \n\n\"C,3\"\n", "B2\nD", "4"];
    let report = ground.upload(Rows::csv(stream::iter(pieces.map(Ok)))).await;
    assert_eq!((report.rows, report.inserted, report.updated), (5, 4, 1));
    let saved: BTreeSet<String> = ground.all_documents().await.iter().map(text_of).collect();
    assert_eq!(saved, set(["A1", "B2", "C,3", "D4"]));
}

#[tokio::test]
async fn a_bad_row_of_a_csv_file_is_told_by_its_line() {
    let ground = Ground::new(0).await;
    let report = ground.upload(Rows::csv(stream::iter([Ok("code\nA1\n\n,x\nB2\n")]))).await;
    assert_eq!(report.rejections, [Rejection { row: 4, reason: InvalidText::Empty }]);
}

#[tokio::test]
async fn a_long_csv_file_in_large_pieces_is_saved_whole() {
    let ground = Ground::new(0).await;
    let file = names(25_000).join("\n");
    let pieces: Vec<io::Result<Vec<u8>>> =
        file.as_bytes().chunks(64 * 1024 + 1).map(|piece| Ok(piece.to_vec())).collect();
    assert_eq!(ground.upload(Rows::csv(stream::iter(pieces))).await, report(25_000, 25_000, 0));
    let ends = [code("CODE000000"), code("CODE024999")];
    for end in ends {
        assert!(ground.service.find(&campaign(), &end).await.expect("looks up").is_some());
    }
}

#[tokio::test]
async fn a_source_that_fails_on_the_way_makes_the_save_unavailable() {
    let ground = Ground::new(0).await;
    let broken = stream::iter([Ok("A1\nB2\n"), Err(io::Error::other("the line is cut"))]);
    let error = ground.service.save(&campaign(), &tm(), Rows::csv(broken)).await.expect_err("it failed");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn what_came_before_a_source_failed_is_saved() {
    let ground = Ground::new(0).await;
    let file = names(25_000).join("\n") + "\n";
    let broken = stream::iter([Ok(file), Err(io::Error::other("the line is cut"))]);
    let error = ground.service.save(&campaign(), &tm(), Rows::csv(broken)).await.expect_err("it failed");
    assert!(error.to_string().contains("row 25000"), "{error}");
    assert_eq!(ground.count().await, counts(25_000, 0, 0));
}

#[tokio::test]
async fn rows_of_the_piece_before_a_source_failed_are_saved() {
    let ground = Ground::new(0).await;
    let broken = stream::iter([Ok("A1\nB2\n"), Err(io::Error::other("the line is cut"))]);
    ground.service.save(&campaign(), &tm(), Rows::csv(broken)).await.expect_err("it failed");
    assert_eq!(ground.count().await, counts(2, 0, 0));
}

#[tokio::test]
async fn an_upload_again_after_a_failure_saves_the_rest() {
    let ground = Ground::new(0).await;
    let file = names(12_000).join("\n") + "\n";
    let broken = stream::iter([Ok(file), Err(io::Error::other("the line is cut"))]);
    ground.service.save(&campaign(), &tm(), Rows::csv(broken)).await.expect_err("it failed");
    let again = ground.upload(Rows::codes(names(15_000))).await;
    assert_eq!((again.rows, again.rejected), (15_000, 0));
    assert_eq!(ground.count().await, counts(15_000, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_uploads_at_once_of_overlapping_codes_insert_each_code_once() {
    let ground = Ground::new(0).await;
    let other = ground.another_service().await;
    let all = names(30_000);
    let (front, mut back) = (all[..20_000].to_vec(), all[10_000..].to_vec());
    // From the far end, so that the two meet in the middle.
    back.reverse();
    let (campaign, tm) = (campaign(), tm());
    let one = ground.service.save(&campaign, &tm, Rows::codes(front));
    let two = other.save(&campaign, &tm, Rows::codes(back));
    let (one, two) = tokio::join!(one, two);
    let (one, two) = (one.expect("saves"), two.expect("saves"));
    for report in [&one, &two] {
        assert_adds_up(report);
        assert_eq!(report.rows, 20_000);
    }
    assert_eq!(one.inserted + two.inserted, 30_000);
    assert_eq!(ground.count().await, counts(30_000, 0, 0));
}

#[tokio::test]
async fn the_longest_code_in_the_longest_campaign_is_saved_and_found() {
    let ground = Ground::new(0).await;
    let campaign = code_service::CampaignId::parse("é".repeat(128)).expect("256 bytes");
    let longest = Code::parse("ö".repeat(128)).expect("256 bytes");
    let rows = Rows::codes([longest.as_str().to_owned()]);
    assert_eq!(ground.service.save(&campaign, &tm(), rows).await.expect("saves"), report(1, 1, 0));
    assert!(ground.service.find(&campaign, &longest).await.expect("looks up").is_some());
}
