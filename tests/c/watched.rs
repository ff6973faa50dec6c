//! Programs in C under the tools that see what a program may not do, and those tools on a program that does it.

use std::path::Path;
use std::process::{Command, Output};

use code_service_tests::c_library::SYSTEM;
use code_service_tests::programs::succeeds;

use crate::promises::{KEPT, PROGRAMS, for_threads};
use crate::{Language, Linked, Maker, compiled, folder, library, ours, root, stocked};

const ADDRESSES: [&str; 3] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"];
const THREADS: [&str; 2] = ["-fsanitize=thread", "-g"];
/// What the library does inside was not compiled for it: only what the program itself does is looked at.
const OF_THE_PROGRAM: (&str, &str) = ("TSAN_OPTIONS", "ignore_noninstrumented_modules=1 halt_on_error=1");
/// For how long arguments are thrown at the library, in seconds.
const FUZZ: u32 = 60;

/// The program was compiled for the tool.
fn assert_has(program: &Path, symbol: &str) {
    let said = succeeds(Command::new("nm").arg(program));
    assert!(said.contains(symbol), "{} was not made for it", program.display());
}

/// A tool that was silent about another program finds this mistake.
fn assert_finds(tool: &mut Command, mistake: &str, words: &str) {
    let Output { status, stderr, .. } = tool.arg(mistake).output().expect("it is installed");
    let said = String::from_utf8_lossy(&stderr);
    assert!(!status.success() && said.contains(words), "{mistake}: {status}\n{said}");
}

fn valgrind(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--error-exitcode=9", "--leak-check=full", "--fair-sched=yes"]);
    command.args(["--errors-for-leak-kinds=definite,indirect", "--show-leak-kinds=definite,indirect"]);
    command.arg(format!("--suppressions={}", root().join("tests/c/valgrind.supp").display()));
    command.arg(program);
    command
}

#[tokio::test]
async fn valgrind_finds_nothing() {
    let uri = stocked(&[]).await;
    for program in ["promises.c", "callbacks.c"] {
        let program = ours(program, Linked::Shared, &["-g"]);
        assert_eq!(succeeds(valgrind(&program).arg(&uri)), KEPT);
    }
    let broken = ours("broken.c", Linked::Shared, &["-g"]);
    assert_finds(&mut valgrind(&broken), "leak", "definitely lost");
    assert_finds(&mut valgrind(&broken), "overflow", "Invalid read");
}

#[tokio::test]
async fn the_address_sanitizer_finds_nothing() {
    let uri = stocked(&[]).await;
    for (source, language) in PROGRAMS {
        let source = root().join("tests/c").join(source);
        let program = compiled(&source, language, Maker::Gnu, Linked::Statically, &ADDRESSES);
        assert_has(&program, "__asan_init");
        assert_has(&program, "__ubsan_handle");
        assert_eq!(succeeds(Command::new(program).arg(&uri)), KEPT, "{}", source.display());
    }
    let broken = ours("broken.c", Linked::Statically, &ADDRESSES);
    assert_finds(&mut Command::new(&broken), "leak", "LeakSanitizer: detected memory leaks");
    assert_finds(&mut Command::new(&broken), "overflow", "heap-buffer-overflow");
}

#[tokio::test]
async fn the_thread_sanitizer_finds_nothing() {
    let uri = for_threads().await;
    let program = ours("threads.c", Linked::Shared, &THREADS);
    assert_has(&program, "__tsan_init");
    let (name, options) = OF_THE_PROGRAM;
    assert_eq!(succeeds(Command::new(program).arg(&uri).env(name, options)), "640 codes assigned\n");
    let broken = ours("broken.c", Linked::Shared, &THREADS);
    assert_finds(Command::new(&broken).env(name, options), "race", "ThreadSanitizer: data race");
}

/// A minute of arguments that nobody would give. Guided by what the program does, and not by what the library does
/// inside.
#[tokio::test]
async fn no_arguments_do_harm() {
    let uri = stocked(&["A1", "B2", "C3"]).await;
    let program = folder().join("fuzz");
    let mut compile = Language::C.compiler(Maker::Llvm);
    compile.args(["-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]);
    compile.arg(root().join("tests/c/fuzz.c")).arg("-o").arg(&program).arg(library()).args(SYSTEM);
    succeeds(&mut compile);
    assert_has(&program, "__asan_init");
    let corpus = folder().join("corpus");
    std::fs::create_dir_all(&corpus).expect("can be made");
    let mut fuzz = Command::new(&program);
    fuzz.arg(format!("-max_total_time={FUZZ}")).args(["-max_len=256", "-timeout=60", "-print_final_stats=1"]);
    fuzz.arg(format!("-artifact_prefix={}/", folder().display()))
        .arg(&corpus)
        .env("CODE_SERVICE_TEST_URI", uri);
    let Output { status, stderr, .. } = fuzz.output().expect("it was compiled");
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{status}\n{said}");
    let runs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let runs: u64 = runs.and_then(|runs| runs.trim().parse().ok()).expect("libFuzzer says it");
    assert!(runs > 1_000, "only {runs} runs");
}
