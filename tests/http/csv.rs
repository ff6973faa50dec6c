//! CSV files as people make them, from the bucket and by PUT: the same rows, the same reply.

use serde_json::{Value, json};

use crate::client::{Api, code_of, csv};

/// Uploads the file both ways, each into a campaign of its own, and returns the reply and the codes.
async fn uploaded(file: &[u8]) -> (Value, Vec<String>) {
    let (by_put, by_bucket) = (Api::shared().await, Api::shared().await);
    let data = by_put.upload("tm", file.to_vec()).await.data();
    let key = by_bucket.put_in_bucket("tm", file);
    let from_bucket = by_bucket.post("/:campaign/codes", json!({ "fileKey": key })).await.data();
    assert_eq!(data, from_bucket, "the two ways differ");
    let codes = codes(&by_put).await;
    assert_eq!(codes, self::codes(&by_bucket).await, "the two ways differ");
    (data, codes)
}

async fn codes(api: &Api) -> Vec<String> {
    api.stored().await.iter().map(|stored| code_of(stored).to_owned()).collect()
}

fn counted(rows: u64, inserted: u64) -> Value {
    json!({ "count": { "in": rows, "inserted": inserted, "updated": 0 } })
}

#[tokio::test]
async fn only_the_first_column_counts() {
    let (data, codes) = uploaded(b"A1,ignored\nA2,x,y,z\nA3\n").await;
    assert_eq!((data, codes), (counted(3, 3), ["A1", "A2", "A3"].map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn codes_are_trimmed_and_empty_lines_skipped() {
    let (data, codes) = uploaded(b"\n  A1  \n\n   \n\tA2\n\n").await;
    assert_eq!((data, codes), (counted(2, 2), vec!["A1".to_owned(), "A2".to_owned()]));
}

#[tokio::test]
async fn lines_may_end_as_on_windows() {
    let (data, codes) = uploaded(b"A1\r\nA2\r\n\r\nA3").await;
    assert_eq!((data, codes), (counted(3, 3), ["A1", "A2", "A3"].map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn a_header_is_dropped_also_behind_a_byte_order_mark() {
    for file in [&b"code\nA1\n"[..], b"\xef\xbb\xbfcode\r\nA1\r\n", b"\xef\xbb\xbfA1\n", b"\"code\"\nA1\n"] {
        let (data, codes) = uploaded(file).await;
        assert_eq!((data, codes), (counted(1, 1), vec!["A1".to_owned()]));
    }
}

#[tokio::test]
async fn a_second_line_that_says_code_is_a_code() {
    let (data, codes) = uploaded(b"A1\ncode\n").await;
    assert_eq!((data, codes), (counted(2, 2), vec!["A1".to_owned(), "code".to_owned()]));
}

#[tokio::test]
async fn quotes_hold_commas_and_quotes() {
    let (data, codes) = uploaded(b"\"A,1\",x\n\"B\"\"2\"\n\"C3\"\n").await;
    assert_eq!((data, codes), (counted(3, 3), ["A,1", "B\"2", "C3"].map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn rows_that_hold_no_code_are_listed_and_the_others_saved() {
    let mut file = b"A1\nB\xff2\nC\x003\n,x\n".to_vec();
    file.extend(vec![b'L'; 257]);
    file.extend(b"\nZ9\n");
    let (data, codes) = uploaded(&file).await;
    assert_eq!(codes, ["A1", "Z9"]);
    assert_eq!(data["count"], json!({ "in": 6, "inserted": 2, "updated": 0, "rejected": 4 }));
    let rejected = data["rejected"].as_array().expect("a list");
    let rows: Vec<&Value> = rejected.iter().map(|row| &row["row"]).collect();
    assert_eq!(rows, [2, 3, 4, 5]);
    assert!(rejected.iter().all(|row| row["reason"].as_str().is_some_and(|reason| !reason.is_empty())));
}

#[tokio::test]
async fn a_reply_about_rejected_rows_does_not_repeat_them() {
    let api = Api::shared().await;
    let answer = api.upload("tm", format!("SECRET-1\u{0}\n{}\n", "SECRET-2".repeat(40))).await;
    assert_eq!(answer.data()["count"]["rejected"], 2);
    assert!(!answer.body.contains("SECRET"), "{}", answer.body);
}

#[tokio::test]
async fn a_line_of_ten_megabytes_is_rejected_and_takes_no_memory() {
    const LINE: usize = 10 << 20;
    let api = Api::start(|host| host).await;
    let mut file = b"A1\n".to_vec();
    file.extend(vec![b'L'; LINE]);
    file.extend(b"\nA2\n");
    // What a host needs to have for any upload is not what is measured.
    api.upload("external", csv(2000)).await.data();
    let before = api.host.peak_rss_kib();

    // With its length told, so that the host reads it in pieces.
    let by_put = api.upload("tm", file.clone()).await.data();
    let key = api.put_in_bucket("tm", &file);
    let from_bucket = api.post("/:campaign/codes", json!({ "fileKey": key })).await.data();

    assert_eq!(by_put["count"], json!({ "in": 3, "inserted": 2, "updated": 0, "rejected": 1 }));
    assert_eq!(by_put["rejected"][0]["row"], 2);
    assert_eq!(from_bucket["count"], json!({ "in": 3, "inserted": 0, "updated": 2, "rejected": 1 }));
    // The system's own figures are not exact: they may even fall.
    let grown = api.host.peak_rss_kib().saturating_sub(before);
    assert!(grown < 8 << 10, "the host's memory grew by {grown} KiB");
}
