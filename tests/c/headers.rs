//! What is in the headers, and in the libraries.

use std::collections::BTreeSet;
use std::process::Command;

use code_service_tests::c_library::headers;
use code_service_tests::programs::succeeds;
use code_service_tests::vectors;

use crate::{Language, MAKERS, folder, library, root};

#[test]
fn the_header_is_what_the_crate_says() {
    let bindings = root().join("bindings-c");
    let config = cbindgen::Config::from_file(bindings.join("cbindgen.toml")).expect("a configuration");
    let made = cbindgen::Builder::new().with_crate(&bindings).with_config(config).generate();
    let mut text = Vec::new();
    made.expect("the crate can be read").write(&mut text);
    let header = headers().join("code_service.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&header, &text).expect("can be written");
    }
    let there = std::fs::read(&header).expect("it is there");
    assert!(there == text, "it is not: UPDATE_HEADER=1 cargo test --workspace --test c header");
}

#[test]
fn the_headers_compile_alone() {
    let both = [(Language::C, "c", "code_service.h"), (Language::Cpp, "c++", "code_service.h")];
    for (language, name, header) in both.into_iter().chain([(Language::Cpp, "c++", "code_service.hpp")]) {
        for maker in MAKERS {
            let source = folder().join(format!("alone-{header}-{language:?}-{maker:?}"));
            std::fs::write(&source, format!("#include <{header}>\n#include <{header}>\n"))
                .expect("can be written");
            succeeds(language.compiler(maker).args(["-fsyntax-only", "-x", name]).arg(&source));
        }
    }
}

#[test]
fn every_word_for_an_error_is_a_status() {
    let header = std::fs::read_to_string(headers().join("code_service.h")).expect("it is there");
    for word in vectors::words_of_all() {
        let status = format!("  CODE_SERVICE_STATUS_{} = ", word.to_uppercase());
        assert!(header.contains(&status) && header.contains(&format!("// `{word}`: ")), "{word}");
    }
}

/// The word that ends here.
fn last_word(text: &str) -> &str {
    text.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// What the header declares: its functions, its types, and its macros.
fn declared() -> (BTreeSet<String>, Vec<String>, Vec<String>) {
    let header = std::fs::read_to_string(headers().join("code_service.h")).expect("it is there");
    let (mut functions, mut types, mut macros) = (BTreeSet::new(), Vec::new(), Vec::new());
    // Its lines are cbindgen's: what begins at the margin declares something.
    for line in header.lines().filter(|line| !line.starts_with([' ', '/', '*']) && !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("#define ") {
            macros.push(rest.split_whitespace().next().expect("a name").to_owned());
        } else if let Some((_, rest)) = line.split_once("(*") {
            types.push(last_word(rest.split(')').next().expect("a name")).to_owned());
        } else if let Some(rest) = line.strip_prefix("} ").or(line.strip_prefix("typedef struct ")) {
            types.push(last_word(rest.trim_end_matches([';', '{', ' '])).to_owned());
        } else if let Some((before, _)) = line.split_once('(') {
            functions.insert(last_word(before).to_owned());
        }
    }
    // The end of `extern "C"` names nothing.
    types.retain(|name| !name.is_empty());
    (functions, types, macros)
}

#[test]
fn every_name_has_the_prefix() {
    let (functions, types, macros) = declared();
    assert!(
        functions.len() > 60 && types.len() > 20 && macros.len() > 3,
        "{functions:?} {types:?} {macros:?}"
    );
    assert!(functions.iter().all(|name| name.starts_with("code_service_")), "{functions:?}");
    assert!(types.iter().all(|name| name.starts_with("CodeService")), "{types:?}");
    assert!(macros.iter().all(|name| name.starts_with("CODE_SERVICE_")), "{macros:?}");
}

#[test]
fn the_shared_library_shows_the_functions_of_the_header_and_nothing_else() {
    let said =
        succeeds(Command::new("nm").args(["-D", "--defined-only"]).arg(library().with_extension("so")));
    let shown = said.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned);
    let (mut declared, ..) = declared();
    // It stands in the header itself.
    assert!(declared.remove("code_service_text"));
    assert_eq!(shown.collect::<BTreeSet<String>>(), declared);
}

#[test]
fn the_shared_library_has_a_name_with_its_version() {
    let said = succeeds(Command::new("readelf").arg("-d").arg(library().with_extension("so")));
    assert!(said.contains("Library soname: [libcode_service.so.0.1]"), "{said}");
}
