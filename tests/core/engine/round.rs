//! A round: a random pool and random callers out of one seed, and what must be true of them afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Formatter};
use std::time::{Duration, Instant};

use code_service::{CampaignId, CodeService, ErrorKind, Reserve, ReserveId, Result};
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::*;

/// The environment variable that lets all rounds be those of one seed: what a failed assertion begins with.
const SEED: &str = "ENGINE_SEED";
/// How long callers may take before they hang.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn seeds(rounds: usize) -> Vec<u64> {
    let given = std::env::var(SEED).ok().map(|text| text.parse().expect("a number"));
    (0..rounds).map(|_| given.unwrap_or_else(|| rand::rng().random())).collect()
}

/// What a server does to the commands of a round.
pub(super) struct Fault {
    pub(super) mode: Bson,
    pub(super) data: Document,
    /// Whether commands fail by it, or are only late.
    fails: bool,
}

pub(super) struct Outcome {
    pub(super) wish: Reserve,
    pub(super) result: Result<code_service::Reservation>,
}

pub(super) struct Round {
    seed: u64,
    campaign: CampaignId,
    /// Every code as it is stored before anybody calls.
    before: BTreeMap<String, Document>,
    available: BTreeSet<String>,
    /// For each caller what it wants, one thing after another.
    callers: Vec<Vec<Reserve>>,
    /// Whether everybody can have what they want.
    enough: bool,
    pub(super) fault: Option<Fault>,
}

impl Display for Round {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{SEED}={}", self.seed)
    }
}

impl Round {
    /// `number` keeps the rounds of one database apart, also those of one seed.
    pub(super) fn new(seed: u64, number: usize, now: DateTime, with_faults: bool) -> Round {
        let mut rng = StdRng::seed_from_u64(seed);
        let campaign = CampaignId::parse(format!("round-{number}")).expect("valid");
        let (before, available) = pool(&mut rng, &campaign, now.timestamp_millis());
        let enough = rng.random();
        let mut left = available.len();
        let most = one_of(&mut rng, &[1, 6, 40, 200]);
        let all_or_nothing = one_of(&mut rng, &[0.0, 0.5, 1.0]);
        let mut wish = |rng: &mut StdRng| {
            let count = rng.random_range(1..=most);
            if enough {
                left = left.checked_sub(count as usize)?;
            }
            let mut wish = Reserve::new(campaign.clone(), tm(), count);
            wish.partial = !rng.random_bool(all_or_nothing);
            Some(wish)
        };
        let callers = 0..rng.random_range(1..=64);
        let callers = callers.map(|_| (0..rng.random_range(1..=3)).filter_map(|_| wish(&mut rng)).collect());
        let callers = callers.collect();
        let fault = with_faults.then(|| fault(&mut rng));
        Round { seed, campaign, before, available, callers, enough, fault }
    }

    /// How many of the services take part.
    pub(super) fn services<'a>(&self, all: &'a [CodeService]) -> &'a [CodeService] {
        let some = usize::try_from(self.seed % all.len() as u64).expect("small");
        &all[..=some]
    }

    /// Writes the pool past the service.
    pub(super) async fn lay_out(&self, ground: &Ground) {
        if !self.before.is_empty() {
            // Free codes come in the order of their insertion, which is not that of their names.
            ground.codes.insert_many(self.before.values()).await.expect("inserts");
        }
    }

    /// Lets everybody call at once.
    pub(super) async fn run(&self, services: &[CodeService]) -> Vec<Outcome> {
        let calls = self.callers.iter().zip(services.iter().cycle()).map(|(wishes, service)| {
            let (service, wishes) = (service.clone(), wishes.clone());
            tokio::spawn(async move {
                let mut outcomes = Vec::new();
                for wish in wishes {
                    let result = service.reserve(wish.clone()).await;
                    outcomes.push(Outcome { wish, result });
                }
                outcomes
            })
        });
        let outcomes = tokio::time::timeout(PATIENCE, gather(calls.collect())).await;
        let outcomes = outcomes.unwrap_or_else(|_| panic!("{self}: somebody is never answered"));
        outcomes.into_iter().flatten().collect()
    }

    /// Everybody got what they may expect, as far as the answers tell.
    pub(super) fn assert_answers(&self, outcomes: &[Outcome], left: usize) {
        let faulty = self.fault.as_ref().is_some_and(|fault| fault.fails);
        let nobody_gives_back = outcomes.iter().all(|Outcome { wish, .. }| wish.partial || wish.count == 1);
        for Outcome { wish, result } in outcomes {
            // Only who was told of the fault may have got nothing.
            let mut excused = false;
            let got = match result {
                Ok(reservation) => reservation.codes.len(),
                Err(error) => {
                    match error.kind() {
                        ErrorKind::NotEnoughCodes => assert!(!wish.partial, "{self}: {wish:?}"),
                        ErrorKind::Unavailable | ErrorKind::OutcomeUnknown if faulty => excused = true,
                        // Others kept taking the last codes; they are the last ones only if there are too few.
                        ErrorKind::Unavailable => assert!(!self.enough, "{self}: {error:?}"),
                        other => panic!("{self}: {other:?}: {error:?}"),
                    }
                    0
                }
            };
            let short = got < wish.count as usize;
            assert!(got <= wish.count as usize, "{self}: {got} codes for {wish:?}");
            assert!(result.is_err() || wish.partial || !short, "{self}: {got} codes for {wish:?}");
            assert!(excused || !self.enough || !short, "{self}: {wish:?} of plenty: {result:?}");
            // The pool was empty once, and nothing has come back.
            let one_left = left > 0 && nobody_gives_back;
            assert!(faulty || !one_left || !short, "{self}: {wish:?}, {left} left: {result:?}");
        }
    }

    /// What the database holds is what was said. Returns how many codes are available.
    pub(super) async fn assert_stored(&self, ground: &Ground, outcomes: &[Outcome]) -> usize {
        let mut given: BTreeMap<&str, &ReserveId> = BTreeMap::new();
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for Outcome { result, .. } in outcomes {
            match result {
                Ok(reservation) => {
                    for code in &reservation.codes {
                        let twice = given.insert(code.as_str(), &reservation.reserve_id);
                        assert_eq!(twice, None, "{self}: {} was given twice", code.as_str());
                    }
                }
                Err(code_service::Error::OutcomeUnknown { reserve_id, .. }) => {
                    told.insert(reserve_id.as_str());
                }
                Err(_) => {}
            }
        }
        let found = ground.codes.find(doc! { "_id.campaign_id": self.campaign.as_str() }).await;
        let found: Vec<Document> = found.expect("finds").try_collect().await.expect("finds");
        assert_eq!(found.len(), self.before.len(), "{self}: codes come from nowhere or are gone");
        let mut left = 0;
        for document in &found {
            let text = text_of(document);
            let untouched = self.before.get(&text) == Some(document);
            let giver = given.remove(text.as_str()).map(ReserveId::as_str);
            if !self.available.contains(&text) {
                assert!(untouched && giver.is_none(), "{self}: {giver:?} has what is not theirs: {document}");
                continue;
            }
            assert_eq!(date(document, "assigned"), None, "{self}: {document}");
            let holder = date(document, "reserved").and(document.get_str("reserveId").ok());
            match giver {
                Some(giver) => assert_eq!(holder, Some(giver), "{self}: {document}"),
                None if untouched => left += 1,
                None => match holder {
                    Some(holder) => assert!(told.contains(holder), "{self}: nobody knows of {document}"),
                    None => left += 1,
                },
            }
        }
        assert_eq!(given, BTreeMap::new(), "{self}: given, though the pool does not have them");
        left
    }

    /// Whatever is left can still be had, from one who was there when it was fought for.
    pub(super) async fn assert_rest_can_be_had(
        &self,
        ground: &Ground,
        service: &CodeService,
        mut outcomes: Vec<Outcome>,
    ) {
        let start = Instant::now();
        while self.assert_stored(ground, &outcomes).await > 0 {
            assert!(start.elapsed() < PATIENCE, "{self}: what is left is not to be had");
            let mut wish = Reserve::new(self.campaign.clone(), tm(), 100_000);
            wish.partial = true;
            // The last of what failed may meet this call yet.
            let result = service.reserve(wish.clone()).await;
            outcomes.push(Outcome { wish, result });
        }
    }
}

fn one_of<T: Copy>(rng: &mut StdRng, values: &[T]) -> T {
    values[rng.random_range(0..values.len())]
}

/// Codes in all states that a pool can have, and which of them are available.
fn pool(rng: &mut StdRng, campaign: &CampaignId, now: i64) -> (BTreeMap<String, Document>, BTreeSet<String>) {
    let most = one_of(rng, &[10, 300, 3_000]);
    let size = rng.random_range(0..=most);
    let mut odds = || if rng.random() { rng.random_range(0.0..0.4) } else { 0.0 };
    let (expired, held, assigned) = (odds(), odds(), odds());
    let (mut codes, mut available) = (BTreeMap::new(), BTreeSet::new());
    for number in 0..size {
        let text = format!("{:08x}-{number}", rng.random::<u32>());
        let ago = |milliseconds: i64| DateTime::from_millis(now - milliseconds);
        let saved = ago(3 * TTL);
        let id = format!("before-{}", number / 7);
        // Not near the moment at which a reservation expires: the round must not outlast it.
        let of_another = ago(rng.random_range(0..TTL / 2));
        let (dates, reserve_id): (Document, Bson) = match rng.random::<f64>() {
            draw if draw < assigned => {
                (doc! { "saved": saved, "reserved": of_another, "assigned": of_another }, id.into())
            }
            draw if draw < assigned + held => (doc! { "saved": saved, "reserved": of_another }, id.into()),
            draw => {
                available.insert(text.clone());
                if draw < assigned + held + expired {
                    let long_ago = ago(rng.random_range(TTL + 1..2 * TTL));
                    (doc! { "saved": saved, "reserved": long_ago }, id.into())
                } else if rng.random_bool(0.1) {
                    // As other writers leave what was released.
                    let nulls = doc! { "saved": saved, "reserved": Bson::Null, "assigned": Bson::Null };
                    (nulls, one_of(rng, &["stale", ""]).into())
                } else {
                    (doc! { "saved": saved }, Bson::Null)
                }
            }
        };
        let mut document = doc! {
            "_id": { "campaign_id": campaign.as_str(), "code": &text }, "type": "tm", "date": dates,
        };
        if reserve_id != Bson::Null {
            document.insert("reserveId", reserve_id);
        }
        codes.insert(text, document);
    }
    (codes, available)
}

fn fault(rng: &mut StdRng) -> Fault {
    let kind = rng.random_range(0..5);
    let mut commands = match kind {
        // The write is done, but not known to be safe.
        0 => vec!["update"],
        _ => vec!["update", "find", "getMore", "aggregate"],
    };
    commands.retain(|command| *command == "update" || rng.random());
    if kind != 0 && commands.len() > 1 && rng.random_bool(0.3) {
        commands.remove(0);
    }
    let mut data = doc! { "failCommands": commands, "appName": "code-service" };
    match kind {
        0 => data.insert("writeConcernError", doc! { "code": 64, "errmsg": "waiting for replication" }),
        1 => data.insert("closeConnection", true),
        // Late by itself.
        2 => None,
        // Some make the driver look for a new primary, others do not. After 91, a shutdown, it would wait ten
        // seconds for this server, which goes on.
        _ => data.insert("errorCode", one_of(rng, &[6, 50, 189, 262, 11601, 11602])),
    };
    if kind == 2 || (kind != 0 && rng.random_bool(0.3)) {
        data.insert("blockConnection", true);
        data.insert("blockTimeMS", rng.random_range(1..=30));
    }
    let mode = match kind {
        2 => doc! { "activationProbability": rng.random_range(0.02..1.0) },
        _ if rng.random() => doc! { "times": rng.random_range(1..=5) },
        _ => doc! { "activationProbability": rng.random_range(0.02..0.5) },
    };
    Fault { mode: mode.into(), data, fails: kind != 2 }
}
