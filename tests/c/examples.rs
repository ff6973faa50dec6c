//! The examples, and projects of others that use what is installed.

use std::path::Path;
use std::process::Command;

use code_service::{CodeService, Options};
use code_service_tests::binary;
use code_service_tests::programs::succeeds;

use crate::{Language, Linked, MAKERS, Maker, compiled, folder, install_to, installed, pool, root, stocked};

/// A program that gets these codes, assigns them, and then finds no more.
async fn must_reserve_and_assign(program: &Path) {
    let uri = stocked(&["A1", "B2"]).await;
    let said = succeeds(Command::new(program).arg(&uri));
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["2 assigned", "A1", "B2"], "{}", program.display());
    let again = Command::new(program).arg(&uri).output().expect("runs");
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).starts_with("not_enough_codes: "), "{again:?}");
}

#[tokio::test]
async fn the_examples_reserve_and_assign() {
    for (source, language) in
        [("examples/c/reserve.c", Language::C), ("examples/cpp/reserve.cpp", Language::Cpp)]
    {
        for maker in MAKERS {
            for linked in [Linked::Statically, Linked::Shared] {
                must_reserve_and_assign(&compiled(&root().join(source), language, maker, linked, &[])).await;
            }
        }
    }
}

#[tokio::test]
#[ignore = "make c-static makes the program first"]
async fn the_example_runs_as_a_static_program() {
    let program = binary::target_folder().expect("tests run in the target folder").join("static/reserve");
    let said = succeeds(Command::new("readelf").args(["--program-headers", "--dynamic"]).arg(&program));
    assert!(!said.contains("INTERP") && !said.contains("NEEDED"), "{said}");
    must_reserve_and_assign(&program).await;
}

#[test]
fn what_is_staged_says_where_it_will_be() {
    let stage = folder().join("stage");
    install_to(Path::new("/opt/code-service"), Some(&stage));
    let lib = stage.join("opt/code-service/lib");
    let file = std::fs::read_to_string(lib.join("pkgconfig/code_service.pc")).expect("it is there");
    assert!(file.starts_with("prefix=/opt/code-service\n"), "{file}");
    assert!(lib.join("libcode_service.so.0.1.0").is_file() && lib.join("libcode_service.so").exists());
    let mut relative = Command::new(root().join("bindings-c/install.sh"));
    let refused = relative.arg(folder()).arg("out").current_dir(folder()).output().expect("it runs");
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("slash"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_example_of_the_readme_reserves_and_assigns() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("it is there");
    let example = readme.split("```cpp\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let (include, body) = example.split_once("\n\n").expect("an include, and what follows");
    let uri = stocked(&["A1", "B2"]).await;
    let body = body.replace("mongodb://localhost:27017/demo?replicaSet=rs0", &uri);
    let source = folder().join("readme.cpp");
    std::fs::write(&source, format!("{include}\nint main() {{\n{body}}}\n")).expect("can be written");
    succeeds(&mut Command::new(compiled(&source, Language::Cpp, Maker::Gnu, Linked::Shared, &[])));
    let service = CodeService::connect(Options::new(&uri)).await.expect("the server runs");
    let (campaign, tm) = pool();
    assert_eq!(service.count(&campaign, &tm).await.expect("counts").assigned, 2);
}

/// Somebody else's project, which knows nothing of this repository.
#[tokio::test]
async fn programs_find_the_installed_library_with_pkg_config_and_with_cmake() {
    let project = folder().join("project");
    std::fs::create_dir_all(&project).expect("can be made");
    std::fs::copy(root().join("examples/c/reserve.c"), project.join("reserve.c")).expect("is there");
    std::fs::copy(root().join("examples/cpp/reserve.cpp"), project.join("reserve.cpp")).expect("is there");
    let lib = installed().join("lib");

    // Where both libraries are, the linker takes the shared one.
    let alone = folder().join("alone");
    install_to(&alone, None);
    for library in std::fs::read_dir(alone.join("lib")).expect("installed") {
        let library = library.expect("installed").path();
        if library.to_string_lossy().contains(".so") {
            std::fs::remove_file(library).expect("ours");
        }
    }
    for (program, prefix, linked) in
        [("with-pkg-config", installed(), None), ("with-pkg-config-static", &*alone, Some("--static"))]
    {
        let mut ask = Command::new("pkg-config");
        ask.args(["--cflags", "--libs", "code_service = 0.1.0"]).args(linked);
        let flags = succeeds(ask.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")));
        let mut compile = Command::new("gcc");
        compile.args(["reserve.c", "-o", program]).args(flags.split_whitespace());
        succeeds(compile.arg(format!("-Wl,-rpath,{}", lib.display())).current_dir(&project));
        let needs = succeeds(Command::new("readelf").arg("-d").arg(project.join(program)));
        assert_eq!(needs.contains("[libcode_service.so.0.1]"), linked.is_none(), "{program}");
    }

    let lists = "cmake_minimum_required(VERSION 3.16)
        project(consumer C CXX)
        find_package(code_service REQUIRED)
        find_package(code_service 0.1 REQUIRED)
        add_executable(with-cmake reserve.c)
        target_link_libraries(with-cmake code_service::code_service)
        add_executable(with-cmake-static reserve.cpp)
        target_compile_features(with-cmake-static PRIVATE cxx_std_17)
        target_link_libraries(with-cmake-static code_service::static)";
    std::fs::write(project.join("CMakeLists.txt"), lists).expect("can be written");
    let prefix = format!("-DCMAKE_PREFIX_PATH={}", installed().display());
    succeeds(Command::new("cmake").args(["-S", ".", "-B", "build", &prefix]).current_dir(&project));
    succeeds(Command::new("cmake").args(["--build", "build"]).current_dir(&project));

    for program in
        ["with-pkg-config", "with-pkg-config-static", "build/with-cmake", "build/with-cmake-static"]
    {
        let said = succeeds(Command::new(project.join(program)).arg(stocked(&["A1", "B2"]).await));
        assert!(said.contains("2 assigned"), "{program}: {said}");
    }

    // Another version is not found.
    let newer = lists.replace("code_service 0.1", "code_service 0.2");
    std::fs::write(project.join("CMakeLists.txt"), newer).expect("can be written");
    let refused =
        Command::new("cmake").args(["-S", ".", "-B", "other", &prefix]).current_dir(&project).output();
    let refused = refused.expect("cmake runs");
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("0.2"),
        "{refused:?}"
    );
}
