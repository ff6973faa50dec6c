//! The C library: its header, and programs that are compiled with it and run on a real MongoDB.

mod examples;
mod headers;
mod promises;
mod vectors;
mod watched;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use code_service::{CampaignId, CodeService, CodeType, Options, Rows};
use code_service_tests::c_library::{self, SYSTEM};
use code_service_tests::programs::succeeds;
use code_service_tests::repository::root;
use code_service_tests::{Mongod, binary, fresh_database};

const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// The static library.
fn library() -> &'static Path {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(c_library::archive);
    &LIBRARY
}

/// The library as it is installed.
fn installed() -> &'static Path {
    static INSTALLED: LazyLock<PathBuf> = LazyLock::new(|| {
        let prefix = folder().join("installed");
        install_to(&prefix, None);
        prefix
    });
    &INSTALLED
}

/// Installs it below a prefix, which may be staged in another folder.
fn install_to(prefix: &Path, stage: Option<&Path>) {
    let mut install = Command::new(root().join("bindings-c/install.sh"));
    install.arg(library().parent().expect("a folder")).arg(prefix);
    if let Some(stage) = stage {
        install.env("DESTDIR", stage);
    }
    succeeds(&mut install);
}

/// A folder for what is compiled here.
fn folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = binary::target_folder().expect("tests run in the target folder").join("tmp/c");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("can be made");
        folder
    });
    &FOLDER
}

/// A language with its standard.
#[derive(Debug, Clone, Copy)]
enum Language {
    C,
    Cpp,
}

/// Whose compiler.
#[derive(Debug, Clone, Copy)]
enum Maker {
    Gnu,
    Llvm,
}

const MAKERS: [Maker; 2] = [Maker::Gnu, Maker::Llvm];

impl Language {
    fn compiler(self, maker: Maker) -> Command {
        let (program, standard) = match (self, maker) {
            (Language::C, Maker::Gnu) => ("gcc", "-std=c11"),
            (Language::C, Maker::Llvm) => ("clang", "-std=c11"),
            (Language::Cpp, Maker::Gnu) => ("g++", "-std=c++17"),
            (Language::Cpp, Maker::Llvm) => ("clang++", "-std=c++17"),
        };
        let mut command = Command::new(program);
        command.arg(standard).args(STRICT).arg("-I").arg(c_library::headers());
        command
    }
}

/// How a program is linked with the library.
#[derive(Debug, Clone, Copy)]
enum Linked {
    Statically,
    Shared,
}

/// Compiles a program with the library, and these flags more, and returns where it is.
fn compiled(source: &Path, language: Language, maker: Maker, linked: Linked, flags: &[&str]) -> PathBuf {
    let name = source.file_name().expect("a file").to_string_lossy();
    let program = folder().join(format!("{name}-{maker:?}-{linked:?}{}", flags.concat()));
    let mut command = language.compiler(maker);
    command.args(flags).arg(source).arg("-o").arg(&program);
    match linked {
        Linked::Statically => command.arg(library()).args(SYSTEM),
        Linked::Shared => {
            let lib = installed().join("lib");
            command.arg("-L").arg(&lib).arg("-lcode_service").arg(format!("-Wl,-rpath,{}", lib.display()))
        }
    };
    // What a flag names that comes after the library.
    succeeds(command.args(flags.iter().filter(|flag| flag.starts_with("-l"))));
    program
}

/// A program of this folder in C, made with gcc.
fn ours(name: &str, linked: Linked, flags: &[&str]) -> PathBuf {
    compiled(&root().join("tests/c").join(name), Language::C, Maker::Gnu, linked, flags)
}

/// The connection string of a database with these codes of the campaign `summer` and the type `tm`.
async fn stocked(codes: &[&str]) -> String {
    let server = tokio::task::spawn_blocking(Mongod::shared).await.expect("starts");
    let uri = server.uri_for(&fresh_database());
    let service = CodeService::connect(Options::new(&uri)).await.expect("the server runs");
    service.ensure_indexes().await.expect("a fresh database takes them");
    let codes: Vec<String> = codes.iter().map(|&code| code.to_owned()).collect();
    let (campaign, tm) = pool();
    service.save(&campaign, &tm, Rows::codes(codes)).await.expect("saves");
    uri
}

fn pool() -> (CampaignId, CodeType) {
    (CampaignId::parse("summer").expect("valid"), CodeType::parse("tm").expect("valid"))
}
