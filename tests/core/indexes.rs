//! The indexes: exactly those of the deployed service, and those of the ledger.

use std::time::Duration;

use code_service::{CodeService, ErrorKind, IndexProblem, Options};
use code_service_tests::OldService;
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, IndexModel};

use crate::support::*;

const BY_CODE: &str = "_id.campaign_id_-1__id.code_1";
const BY_STATUS: &str = "_id.campaign_id_-1_type_1_date.reserved_-1_date.assigned_-1";
const BY_RESERVE_ID: &str = "reserveId_-1";
const BY_PURGE: &str = "purge_1";
const BY_SWEEP: &str = "sweep_1";

/// A fresh database in which no index was created.
async fn bare() -> (CodeService, code_service_tests::Database) {
    let test = code_service_tests::database().await;
    (CodeService::connect(Options::new(&test.uri)).await.expect("connects"), test)
}

async fn indexes(collection: &Collection<Document>) -> Vec<IndexModel> {
    collection.list_indexes().await.expect("lists").try_collect().await.expect("lists")
}

fn names_of(indexes: &[IndexModel]) -> Vec<String> {
    let name = |index: &IndexModel| index.options.clone().and_then(|options| options.name);
    indexes.iter().map(|index| name(index).expect("every index has a name")).collect()
}

fn problem(collection: &str, index: &str, different: bool) -> IndexProblem {
    IndexProblem { collection: collection.into(), index: index.into(), different }
}

async fn verify(service: &CodeService) -> Vec<IndexProblem> {
    service.verify_indexes().await.expect("answers")
}

async fn create(collection: &Collection<Document>, keys: Document, options: IndexOptions) {
    let index = IndexModel::builder().keys(keys).options(options).build();
    collection.create_index(index).await.expect("creates");
}

#[tokio::test]
async fn the_codes_get_the_three_indexes_of_the_deployed_service() {
    let ground = Ground::new(0).await;
    let found = indexes(&ground.codes).await;
    assert_eq!(names_of(&found), ["_id_", BY_CODE, BY_STATUS, BY_RESERVE_ID]);
    let keys: Vec<Document> = found.iter().skip(1).map(|index| index.keys.clone()).collect();
    let expected = [
        doc! { "_id.campaign_id": -1, "_id.code": 1 },
        doc! { "_id.campaign_id": -1, "type": 1, "date.reserved": -1, "date.assigned": -1 },
        doc! { "reserveId": -1 },
    ];
    assert_eq!(keys, expected);
    let sparse = |index: &IndexModel| index.options.as_ref().is_some_and(|o| o.sparse == Some(true));
    assert_eq!(found.iter().map(sparse).collect::<Vec<_>>(), [false, false, false, true]);
}

#[tokio::test]
async fn the_ledger_gets_an_index_that_purges_it_and_one_that_finds_dead_attempts() {
    let ground = Ground::new(0).await;
    let found = indexes(&ground.ledger).await;
    assert_eq!(names_of(&found), ["_id_", BY_PURGE, BY_SWEEP]);
    let options = |place: usize| found[place].options.clone().expect("it has options");
    assert_eq!(options(1).expire_after, Some(Duration::ZERO));
    assert_eq!((options(2).expire_after, options(2).sparse), (None, Some(true)));
}

#[tokio::test]
async fn no_operation_adds_an_index_or_a_collection() {
    let ground = Ground::new(5).await;
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("available");
    ground.service.assign(&campaign(), reservation.codes[..1].to_vec(), None).await.expect("assigns");
    ground.service.release(&campaign(), reservation.codes, None).await.expect("releases");
    ground.export(code_service::Export::default()).await;
    assert_eq!(names_of(&indexes(&ground.codes).await).len(), 4);
    let mut collections = ground.test.db.list_collection_names().await.expect("lists");
    collections.sort();
    assert_eq!(collections, ["codes", "codes.jobs", "codes.jobs.batches", "codes.reservations"]);
}

#[tokio::test]
async fn created_indexes_have_no_problem() {
    let ground = Ground::new(3).await;
    assert_eq!(verify(&ground.service).await, []);
}

#[tokio::test]
async fn creating_the_indexes_again_changes_nothing() {
    let ground = Ground::new(3).await;
    let before = names_of(&indexes(&ground.codes).await);
    ground.service.ensure_indexes().await.expect("they are there");
    assert_eq!(names_of(&indexes(&ground.codes).await), before);
    assert_eq!(verify(&ground.service).await, []);
}

#[tokio::test]
async fn the_indexes_of_the_old_service_are_accepted() {
    let (service, test) = bare().await;
    OldService::new(&test.db).create_indexes().await.expect("creates");
    assert_eq!(verify(&service).await, missing_beside_the_codes());
    service.ensure_indexes().await.expect("only those of our own collections are missing");
    assert_eq!(verify(&service).await, []);
}

#[tokio::test]
async fn before_they_are_created_all_indexes_are_missing() {
    let (service, _test) = bare().await;
    let mut missing = [BY_CODE, BY_STATUS, BY_RESERVE_ID].map(|name| problem("codes", name, false)).to_vec();
    missing.extend(missing_beside_the_codes());
    assert_eq!(verify(&service).await, missing);
}

/// Those that the deployed service knows nothing of.
fn missing_beside_the_codes() -> [IndexProblem; 6] {
    [
        ("codes.reservations", BY_PURGE),
        ("codes.reservations", BY_SWEEP),
        ("codes.jobs", "campaign_id_1_created_-1"),
        ("codes.jobs", "state_1_created_1"),
        ("codes.jobs", BY_PURGE),
        ("codes.jobs.batches", BY_PURGE),
    ]
    .map(|(collection, name)| problem(collection, name, false))
}

#[tokio::test]
async fn a_missing_index_is_named() {
    let ground = Ground::new(3).await;
    ground.codes.drop_index(BY_STATUS).await.expect("drops");
    let problems = verify(&ground.service).await;
    assert_eq!(problems, [problem("codes", BY_STATUS, false)]);
    assert!(problems[0].to_string().contains(BY_STATUS), "{}", problems[0]);
    ground.service.ensure_indexes().await.expect("creates it");
    assert_eq!(verify(&ground.service).await, []);
}

#[tokio::test]
async fn an_index_that_is_not_sparse_but_must_be_is_named() {
    let ground = Ground::new(3).await;
    ground.codes.drop_index(BY_RESERVE_ID).await.expect("drops");
    create(&ground.codes, doc! { "reserveId": -1 }, IndexOptions::default()).await;
    assert_eq!(verify(&ground.service).await, [problem("codes", BY_RESERVE_ID, true)]);
}

#[tokio::test]
async fn an_index_that_is_unique_but_must_not_be_is_named() {
    let ground = Ground::new(3).await;
    ground.codes.drop_index(BY_CODE).await.expect("drops");
    let unique = IndexOptions::builder().unique(true).build();
    create(&ground.codes, doc! { "_id.campaign_id": -1, "_id.code": 1 }, unique).await;
    assert_eq!(verify(&ground.service).await, [problem("codes", BY_CODE, true)]);
}

#[tokio::test]
async fn an_index_that_purges_too_late_is_named() {
    let ground = Ground::new(0).await;
    ground.ledger.drop_index(BY_PURGE).await.expect("drops");
    let late = IndexOptions::builder().expire_after(Duration::from_secs(60)).build();
    create(&ground.ledger, doc! { "purge": 1 }, late).await;
    assert_eq!(verify(&ground.service).await, [problem("codes.reservations", BY_PURGE, true)]);
}

#[tokio::test]
async fn an_index_of_the_same_fields_in_another_order_is_not_the_one() {
    let ground = Ground::new(3).await;
    ground.codes.drop_index(BY_CODE).await.expect("drops");
    let turned = doc! { "_id.code": 1, "_id.campaign_id": -1 };
    create(&ground.codes, turned, IndexOptions::default()).await;
    assert_eq!(verify(&ground.service).await, [problem("codes", BY_CODE, false)]);
}

#[tokio::test]
async fn an_index_of_other_properties_is_left_alone_and_named_with_the_remedy() {
    let ground = Ground::new(3).await;
    ground.codes.drop_index(BY_RESERVE_ID).await.expect("drops");
    create(&ground.codes, doc! { "reserveId": -1 }, IndexOptions::default()).await;
    let error = ground.service.ensure_indexes().await.expect_err("it is in the way");
    assert_eq!(error.kind(), ErrorKind::Internal);
    let remedy = "db.getCollection(\"codes\").dropIndex(\"reserveId_-1\")";
    assert!(error.to_string().contains(remedy), "{error}");
    assert_eq!(verify(&ground.service).await, [problem("codes", BY_RESERVE_ID, true)]);
}

#[tokio::test]
async fn an_index_that_is_right_but_for_its_name_is_accepted_or_named_as_it_is() {
    let ground = Ground::new(3).await;
    ground.codes.drop_index(BY_CODE).await.expect("drops");
    let named = IndexOptions::builder().name("by_hand".to_owned()).build();
    create(&ground.codes, doc! { "_id.campaign_id": -1, "_id.code": 1 }, named).await;
    let ensured = ground.service.ensure_indexes().await;
    // Whichever it is, the two must agree, and a remedy must name an index that exists.
    match (ensured, verify(&ground.service).await.as_slice()) {
        (Ok(()), []) => {}
        (Err(error), [problem]) => {
            assert!(error.to_string().contains("dropIndex(\"by_hand\")"), "{error}");
            assert!(problem.to_string().contains("by_hand"), "{problem}");
        }
        (ensured, problems) => panic!("ensure says {ensured:?}, verify says {problems:?}"),
    }
}

#[tokio::test]
async fn another_collection_has_its_own_indexes_and_ledger() {
    let (_, test) = bare().await;
    let mut options = Options::new(&test.uri);
    options.collection = "others".into();
    let service = CodeService::connect(options).await.expect("connects");
    service.ensure_indexes().await.expect("creates");
    assert_eq!(verify(&service).await, []);
    let mut collections = test.db.list_collection_names().await.expect("lists");
    collections.sort();
    assert_eq!(collections, ["others", "others.jobs", "others.jobs.batches", "others.reservations"]);
}
