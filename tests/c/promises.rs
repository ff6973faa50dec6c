//! Whatever the headers promise is asked in C and C++; this runs it.

use std::process::Command;

use code_service_tests::programs::succeeds;

use crate::{Language, Linked, Maker, compiled, ours, root, stocked};

pub(crate) const KEPT: &str = "every promise is kept\n";
/// What asks for the promises.
pub(crate) const PROGRAMS: [(&str, Language); 3] =
    [("promises.c", Language::C), ("callbacks.c", Language::C), ("promises.cpp", Language::Cpp)];

#[tokio::test]
async fn programs_in_c_and_cpp_find_what_the_headers_promise() {
    let uri = stocked(&[]).await;
    for (source, language) in PROGRAMS {
        for (maker, linked) in [(Maker::Gnu, Linked::Statically), (Maker::Llvm, Linked::Shared)] {
            let program = compiled(&root().join("tests/c").join(source), language, maker, linked, &[]);
            assert_eq!(succeeds(Command::new(program).arg(&uri)), KEPT, "{source}");
        }
    }
}

/// The connection string of a database with as many codes as `threads.c` reserves.
pub(crate) async fn for_threads() -> String {
    let codes: Vec<String> = (0..640).map(|number| format!("CODE{number}")).collect();
    stocked(&codes.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[tokio::test]
async fn sixteen_threads_share_a_service() {
    let program = ours("threads.c", Linked::Shared, &[]);
    assert_eq!(succeeds(Command::new(program).arg(for_threads().await)), "640 codes assigned\n");
}
