//! The calls: their arguments, and which of the core's calls each is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use code_service::{
    CampaignId, Code, CodeService, CodeType, Export, Options, Reserve, ReserveId, Status, StoredCode,
};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::answers::{Counted, Held, Progress, Reserved, Saved, Settled, Stored, WrongIndex};
use crate::calls::Calls;
use crate::error::Failure;
use crate::runtime;

type Outcome<T> = Result<T, Failure>;

/// How many codes an export answers at once.
const PAGE: usize = 1_000;

/// Begins the calls of these lines, on a thread of the runtime: there are thousands in a second.
pub(crate) fn begin_all(calls: &Arc<Calls>, lines: String) {
    calls.announce(lines.lines().filter_map(|line| Some(words(line)?.0)));
    // A save at once: its rows follow.
    if lines.lines().all(|line| words(line).is_some_and(|(_, method, _)| method != "save")) {
        let calls = calls.clone();
        runtime::get().spawn(async move { begin_each(&calls, &lines) });
    } else {
        begin_each(calls, &lines);
    }
}

fn begin_each(calls: &Arc<Calls>, lines: &str) {
    for (call, method, arguments) in lines.lines().filter_map(words) {
        let begun = catch_unwind(AssertUnwindSafe(|| begin(calls, call, method, arguments)));
        // What is wrong with it is its answer.
        if let Err(failure) = begun.unwrap_or_else(|_| Err(Failure::panic())) {
            calls.end::<()>(call, Err(failure), |_| {});
        }
    }
}

fn words(line: &str) -> Option<(u32, &str, &str)> {
    let (call, rest) = line.split_once(' ')?;
    let (method, arguments) = rest.split_once(' ')?;
    Some((call.parse().ok()?, method, arguments))
}

fn begin(calls: &Arc<Calls>, call: u32, method: &str, arguments: &str) -> Outcome<()> {
    match method {
        "connect" => connect(calls, call, arguments),
        // For tests of what a panic comes to; what is released has no such methods.
        #[cfg(debug_assertions)]
        "panic" => {
            calls.run::<()>(call, async { panic!("asked for") });
            Ok(())
        }
        #[cfg(debug_assertions)]
        "panicAtOnce" => panic!("asked for"),
        _ => match calls.service.get() {
            Some(service) => begin_on(service, calls, call, method, arguments),
            None => Err(Failure::closed()),
        },
    }
}

fn begin_on(
    service: &CodeService,
    calls: &Arc<Calls>,
    call: u32,
    method: &str,
    arguments: &str,
) -> Outcome<()> {
    let service = service.clone();
    match method {
        "reserve" => {
            let wish = parse::<ReserveArguments>(arguments)?.wish()?;
            // An id of the caller's own can be asked about; under any other nobody knows of the codes.
            let campaign = wish.reserve_id.is_none().then(|| wish.campaign.clone());
            let (reserving, after) = (service.clone(), calls.clone());
            calls.run_or(
                call,
                async move { Ok(Reserved::from(reserving.reserve(wish).await?)) },
                move |reserved| {
                    if let (Some(campaign), Ok(reserved)) = (campaign, reserved) {
                        after.afterwards(reserved.give_back(service, campaign));
                    }
                },
            );
        }
        "assign" | "release" => {
            let (arguments, assign) = (arguments.to_owned(), method == "assign");
            let stacked = calls.stacks.take(call);
            // Not on the thread of JavaScript: they can be many.
            calls.run(call, async move {
                let Settle { campaign_id, codes, reserve_id } = parse(&arguments)?;
                let codes = stacked.unwrap_or(codes);
                let campaign = CampaignId::parse(campaign_id)?;
                let id = reserve_id.map(ReserveId::parse).transpose()?;
                let codes = Code::parse_all(codes)?;
                let report = if assign {
                    service.assign(&campaign, codes, id.as_ref()).await?
                } else {
                    service.release(&campaign, codes, id.as_ref()).await?
                };
                Ok(Settled::from(report))
            });
        }
        "recover" | "reservation" => {
            let Id { reserve_id } = parse(arguments)?;
            let id = ReserveId::parse(reserve_id)?;
            let recover = method == "recover";
            calls.run(call, async move {
                let held =
                    if recover { service.recover(&id).await? } else { service.reservation(&id).await? };
                Ok(held.map(Held::from))
            });
        }
        "count" => {
            let Pool { campaign_id, r#type } = parse(arguments)?;
            let (campaign, code_type) = (CampaignId::parse(campaign_id)?, CodeType::parse(r#type)?);
            calls.run(call, async move { Ok(Counted::from(service.count(&campaign, &code_type).await?)) });
        }
        "find" => {
            let Find { campaign_id, code } = parse(arguments)?;
            let campaign = CampaignId::parse(campaign_id)?;
            let code = one_code("code", code)?;
            calls.run(call, async move { Ok(service.find(&campaign, &code).await?.map(Stored::from)) });
        }
        "save" => {
            let save = parse(arguments)?;
            begin_save(service, calls, call, save)?;
        }
        "export" => {
            let export = parse(arguments)?;
            begin_export(&service, calls, call, export)?;
        }
        "next" => {
            let Next { export } = parse(arguments)?;
            let pages = calls.exports.get(export).ok_or_else(Failure::closed)?;
            calls.run(call, async move { next_page(&pages).await });
        }
        "ensureIndexes" => calls.run(call, async move { Ok(service.ensure_indexes().await?) }),
        "verifyIndexes" => calls.run(call, async move {
            let problems = service.verify_indexes().await?;
            Ok(problems.into_iter().map(WrongIndex::from).collect::<Vec<_>>())
        }),
        "close" => calls.close(call),
        _ => return Err(Failure::unknown_method(method)),
    }
    Ok(())
}

fn one_code(argument: &str, text: String) -> Outcome<Code> {
    Code::parse(text).map_err(|reason| Failure::invalid(argument, &reason.to_string()))
}

fn parse<T: DeserializeOwned>(arguments: &str) -> Outcome<T> {
    serde_json::from_str(arguments).map_err(|e| Failure::not_understood(&e))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConnectArguments {
    uri: String,
    database: Option<String>,
    collection: Option<String>,
    #[serde(rename = "reservationTtlMS")]
    reservation_ttl: Option<u64>,
    #[serde(rename = "serverSelectionTimeoutMS")]
    server_selection_timeout: Option<u64>,
    #[serde(rename = "patienceMS")]
    patience: Option<u64>,
    #[serde(rename = "sweepIntervalMS")]
    sweep_interval: Option<u64>,
}

impl From<ConnectArguments> for Options {
    fn from(arguments: ConnectArguments) -> Self {
        let mut options = Options::new(arguments.uri);
        options.database = arguments.database;
        if let Some(collection) = arguments.collection {
            options.collection = collection;
        }
        let set = |option: &mut Duration, value: Option<u64>| {
            if let Some(value) = value {
                *option = Duration::from_millis(value);
            }
        };
        set(&mut options.reservation_ttl, arguments.reservation_ttl);
        set(&mut options.patience, arguments.patience);
        set(&mut options.sweep_interval, arguments.sweep_interval);
        options.server_selection_timeout = arguments.server_selection_timeout.map(Duration::from_millis);
        options
    }
}

fn connect(calls: &Arc<Calls>, call: u32, arguments: &str) -> Outcome<()> {
    let options = Options::from(parse::<ConnectArguments>(arguments)?);
    let connected = calls.clone();
    calls.run(call, async move {
        let service = CodeService::connect(options).await.map_err(Failure::of_options)?;
        // Only the first counts: `index.js` connects once.
        let _ = connected.service.set(service);
        Ok(())
    });
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReserveArguments {
    campaign_id: String,
    r#type: String,
    count: u32,
    #[serde(default)]
    partial: bool,
    reserve_id: Option<String>,
}

impl ReserveArguments {
    fn wish(self) -> Outcome<Reserve> {
        let mut wish =
            Reserve::new(CampaignId::parse(self.campaign_id)?, CodeType::parse(self.r#type)?, self.count);
        wish.partial = self.partial;
        wish.reserve_id = self.reserve_id.map(ReserveId::parse).transpose()?;
        Ok(wish)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Settle {
    campaign_id: String,
    /// Or they were stacked before.
    #[serde(default)]
    codes: Vec<String>,
    reserve_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Id {
    reserve_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pool {
    campaign_id: String,
    r#type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Find {
    campaign_id: String,
    code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Save {
    campaign_id: String,
    r#type: String,
    /// Whether bytes of a CSV file will be pushed, or codes.
    csv: bool,
    /// Whether somebody wants to know how far it is.
    progress: bool,
}

fn begin_save(service: CodeService, calls: &Arc<Calls>, call: u32, save: Save) -> Outcome<()> {
    let (campaign, code_type) = (CampaignId::parse(save.campaign_id)?, CodeType::parse(save.r#type)?);
    let teller = calls.clone();
    let taken = move || teller.tell(call, &Progress::Taken { taken: true });
    let rows = if save.csv { calls.uploads.csv(call, taken) } else { calls.uploads.codes(call, taken) };
    let teller = save.progress.then(|| calls.clone());
    calls.run(call, async move {
        let report = service.save_with_progress(&campaign, &code_type, rows, move |report| {
            if let Some(calls) = &teller {
                calls.tell(call, &Progress::from(report));
            }
        });
        Ok(Saved::from(&report.await?))
    });
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExportArguments {
    campaign_id: String,
    r#type: Option<String>,
    status: Option<String>,
    reserve_id: Option<String>,
    after: Option<String>,
}

#[derive(Deserialize)]
struct Next {
    /// The number of the call that began the export.
    export: u32,
}

/// Pages of an export that is under way.
pub(crate) type Pages = Mutex<BoxStream<'static, Result<Vec<StoredCode>, code_service::Error>>>;

fn begin_export(service: &CodeService, calls: &Arc<Calls>, call: u32, wish: ExportArguments) -> Outcome<()> {
    let campaign = CampaignId::parse(wish.campaign_id)?;
    let mut export = Export::default();
    export.code_type = wish.r#type.map(CodeType::parse).transpose()?;
    export.status = wish.status.as_deref().map(Status::parse).transpose()?;
    export.reserve_id = wish.reserve_id.map(ReserveId::parse).transpose()?;
    export.after = wish.after.map(|after| one_code("after", after)).transpose()?;
    let pages = service.export(&campaign, export).try_chunks(PAGE).map_err(|failed| failed.1).boxed();
    calls.exports.open(call, Arc::new(Mutex::new(pages)));
    calls.end(call, Ok(()), |_| calls.exports.close(call));
    Ok(())
}

/// The next codes of an export, none at its end.
async fn next_page(pages: &Pages) -> Outcome<Vec<Stored>> {
    let page = pages.lock().await.try_next().await?;
    Ok(page.unwrap_or_default().into_iter().map(Stored::from).collect())
}
