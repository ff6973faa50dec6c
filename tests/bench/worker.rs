//! Our side of every line: a process of its own that uses the core and measures itself.
//!
//! Several of them stand for several pods. Each connects, says `ready`, waits for the end of its input so that all
//! begin together, and answers with a [`Report`].

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use code_service::{
    CampaignId, CodeService, CodeType, Error, Export, Import, JobState, Options, Reserve, ReserveId, Rows,
    SourceFile,
};
use code_service_tests::c_library::{self, SYSTEM};
use code_service_tests::programs::succeeds;
use code_service_tests::{addon, binary};
use futures_util::{TryStreamExt, stream};
use serde::{Deserialize, Serialize};

pub(crate) const CAMPAIGN: &str = "bench";
pub(crate) const TYPE: &str = "tm";

/// What a worker does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Reserves `count` codes a call, all or nothing, with so many callers.
    Reserve { callers: usize, count: u32, until: Until },
    /// The same, every call under an id of the caller's own.
    ReserveUnderIds { callers: usize, count: u32, until: Until },
    /// Asks an empty pool for a code.
    Empty { campaign: String, callers: usize, calls: usize },
    /// Saves the codes of a file, a code per line.
    Import { file: String },
    /// The same as a job that outlives its process.
    ImportJob { file: String },
    /// Counts the pool.
    Count,
    /// Exports all codes.
    Export,
    /// Reserves, replays, shows, assigns and releases so many codes at once. Of the addon alone.
    Lists { count: u32 },
}

/// When a worker ends.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Until {
    Calls(usize),
    Seconds(f64),
}

/// What a worker measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Codes, rows or answers.
    pub(crate) done: u64,
    pub(crate) seconds: f64,
    /// Microseconds that a call took.
    pub(crate) p50: u32,
    pub(crate) p99: u32,
    /// The most memory that it took over what it had when it was connected and idle, in MiB.
    pub(crate) memory: f64,
    /// For how many milliseconds its event loop was held up at the most, if it has one.
    #[serde(default)]
    pub(crate) blocked: f64,
}

impl Report {
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }
}

/// Through which face a worker uses the core.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Face {
    Core,
    /// The addon, in the Node.js that is installed.
    Node,
    /// The C library, with a thread for every caller.
    C,
}

impl Face {
    fn command(self) -> Command {
        match self {
            Face::Core => {
                let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
                command.arg("worker");
                command
            }
            Face::Node => {
                static MODULES: LazyLock<PathBuf> = LazyLock::new(|| {
                    let target = binary::target_folder().expect("this program lies in it");
                    let modules = target.join("bench/node_modules");
                    addon::install(&modules);
                    modules
                });
                let mut command = Command::new("node");
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/node/worker.js"));
                command.env("NODE_PATH", &*MODULES);
                command
            }
            Face::C => {
                static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
                    let program =
                        binary::target_folder().expect("this program lies in it").join("bench/worker");
                    std::fs::create_dir_all(program.parent().expect("a folder")).expect("can be made");
                    let mut compile = Command::new("gcc");
                    compile.args(["-std=c11", "-O2", "-I"]).arg(c_library::headers());
                    compile.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/c/worker.c"));
                    compile.arg("-o").arg(&program).arg(c_library::archive()).args(SYSTEM);
                    succeeds(&mut compile);
                    program
                });
                Command::new(&*PROGRAM)
            }
        }
    }
}

/// A worker that is connected and waits for its start.
pub(crate) struct Worker {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Worker {
    pub(crate) fn prepare(face: Face, uri: &str, work: &Work) -> Worker {
        let work = serde_json::to_string(work).expect("plain data");
        let mut child = face
            .command()
            .args([uri, &work])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be run");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("readable");
        assert_eq!(line, "ready\n", "a worker did not get as far as its start");
        Worker { child, out }
    }

    /// Lets all of them begin, and waits for their reports.
    pub(crate) fn run(mut workers: Vec<Worker>) -> Vec<Report> {
        for worker in &mut workers {
            // Its end of input is the sign to begin.
            drop(worker.child.stdin.take());
        }
        let report = |mut worker: Worker| {
            let mut text = String::new();
            worker.out.read_to_string(&mut text).expect("readable");
            let status = worker.child.wait().expect("our own child");
            assert!(status.success(), "a worker failed");
            serde_json::from_str(&text).expect("a report")
        };
        workers.into_iter().map(report).collect()
    }
}

/// What `bench worker URI WORK` does.
pub(crate) async fn main(uri: &str, work: &str) -> ! {
    let work: Work = serde_json::from_str(work).expect("work");
    let service = CodeService::connect(Options::new(uri)).await.expect("a server");
    warm(&service).await;
    let idle = memory("VmRSS");
    // Makes VmHWM forget what was before.
    std::fs::write("/proc/self/clear_refs", "5").expect("our own process");
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("readable");
    let mut report = measure(service, work).await;
    report.memory = (memory("VmHWM") - idle).max(0.0);
    println!("{}", serde_json::to_string(&report).expect("plain data"));
    // Without what the driver does when its runtime ends under it: it panics in a task.
    std::process::exit(0)
}

/// Opens connections, as a service that runs has them open.
async fn warm(service: &CodeService) {
    let campaign = CampaignId::parse("warm").expect("valid");
    let code_type = kind_of_code();
    let counts = (0..16).map(|_| service.count(&campaign, &code_type));
    futures_util::future::try_join_all(counts).await.expect("a server");
}

async fn measure(service: CodeService, work: Work) -> Report {
    match work {
        Work::Reserve { callers, count, until } => {
            let wish = Reserve::new(CampaignId::parse(CAMPAIGN).expect("valid"), kind_of_code(), count);
            repeat(callers, until, move |_| {
                let (service, wish) = (service.clone(), wish.clone());
                // All or nothing: a call that gets fewer codes fails, and the benchmark with it.
                async move { service.reserve(wish).await.expect("enough are free").codes.len() as u64 }
            })
            .await
        }
        Work::ReserveUnderIds { callers, count, until } => {
            let wish = Reserve::new(CampaignId::parse(CAMPAIGN).expect("valid"), kind_of_code(), count);
            repeat(callers, until, move |_| {
                let (service, mut wish) = (service.clone(), wish.clone());
                wish.reserve_id = Some(ReserveId::random());
                async move { service.reserve(wish).await.expect("enough are free").codes.len() as u64 }
            })
            .await
        }
        Work::Empty { campaign, callers, calls } => {
            let wish = Reserve::new(CampaignId::parse(campaign).expect("valid"), kind_of_code(), 1);
            repeat(callers, Until::Calls(calls), move |_| {
                let (service, wish) = (service.clone(), wish.clone());
                async move {
                    let refused = service.reserve(wish).await.expect_err("an empty pool");
                    assert!(matches!(refused, Error::NotEnoughCodes { available: 0, .. }), "{refused}");
                    1
                }
            })
            .await
        }
        Work::Import { file } => {
            let start = Instant::now();
            let campaign = CampaignId::parse(CAMPAIGN).expect("valid");
            let report = service.save(&campaign, &kind_of_code(), rows(&file)).await.expect("saved");
            assert_eq!(report.rejected, 0);
            one(report.rows, start.elapsed())
        }
        Work::ImportJob { file } => {
            let start = Instant::now();
            let campaign = CampaignId::parse(CAMPAIGN).expect("valid");
            service.begin_import(Import::new(campaign, kind_of_code(), &file)).await.expect("queued");
            let import = service.next_import().await.expect("a server").expect("it was just queued");
            let open = async |_| {
                Ok(SourceFile { version: None, size: None, rows: rows(&file), read: Arc::default() })
            };
            let job = import.run(open, std::future::pending()).await.expect("a server").expect("it is there");
            assert_eq!((job.state, job.rejected), (JobState::Completed, 0));
            one(job.rows, start.elapsed())
        }
        Work::Count => {
            let campaign = CampaignId::parse(CAMPAIGN).expect("valid");
            let start = Instant::now();
            service.count(&campaign, &kind_of_code()).await.expect("counted");
            one(1, start.elapsed())
        }
        Work::Export => {
            let campaign = CampaignId::parse(CAMPAIGN).expect("valid");
            let start = Instant::now();
            let codes = service.export(&campaign, Export::default());
            let codes = codes.try_fold(0, async |sum, _| Ok(sum + 1)).await.expect("exported");
            one(codes, start.elapsed())
        }
        Work::Lists { .. } => panic!("that is the addon's"),
    }
}

/// Of a file that the parent has written.
fn rows(file: &str) -> Rows {
    let file = std::fs::File::open(file).expect("written by the parent");
    Rows::csv(stream::unfold(file, |mut file| async move {
        let mut piece = vec![0; 64 * 1024];
        let read = file.read(&mut piece).expect("readable");
        piece.truncate(read);
        (read > 0).then_some((Ok::<_, std::io::Error>(piece), file))
    }))
}

fn kind_of_code() -> CodeType {
    CodeType::parse(TYPE).expect("valid")
}

fn one(done: u64, took: Duration) -> Report {
    let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
    Report { done, seconds: took.as_secs_f64(), p50: micros, p99: micros, memory: 0.0, blocked: 0.0 }
}

/// Calls again and again with so many callers. A call is told its number, and says how many codes it got.
pub(crate) async fn repeat<F>(
    callers: usize,
    until: Until,
    call: impl Fn(usize) -> F + Clone + Send + Sync + 'static,
) -> Report
where
    F: Future<Output = u64> + Send,
{
    let begun = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (begun, call) = (begun.clone(), call.clone());
            tokio::spawn(async move {
                let mut got = 0;
                let mut took = Vec::new();
                loop {
                    let number = begun.fetch_add(1, Ordering::Relaxed);
                    let over = match until {
                        Until::Calls(calls) => number >= calls,
                        Until::Seconds(seconds) => start.elapsed().as_secs_f64() >= seconds,
                    };
                    if over {
                        return (got, took);
                    }
                    let before = Instant::now();
                    got += call(number).await;
                    took.push(u32::try_from(before.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
            })
        })
        .collect();
    let (mut done, mut took) = (0, Vec::new());
    for task in tasks {
        let (got, times) = task.await.expect("no call panics");
        done += got;
        took.extend(times);
    }
    let seconds = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let quantile = |part: f64| took.get((took.len() as f64 * part) as usize).copied().unwrap_or(0);
    Report { done, seconds, p50: quantile(0.5), p99: quantile(0.99), memory: 0.0, blocked: 0.0 }
}

/// A figure of this process's memory, in MiB.
fn memory(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux has it");
    let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kib.parse::<f64>().expect("a number") / 1024.0
}
