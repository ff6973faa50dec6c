//! Names the shared library as programs ask for it: `libcode_service.so.0.1` stays what it is for as long as they can use
//! it. Before 1.0 each minor version is another interface.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        let number = |part: &str| std::env::var(format!("CARGO_PKG_VERSION_{part}")).expect("cargo says it");
        let (major, minor) = (number("MAJOR"), number("MINOR"));
        let interface = if major == "0" { format!("{major}.{minor}") } else { major };
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcode_service.so.{interface}");
    }
}
