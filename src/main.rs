//! The binary `subcast`; everything is in the library.

fn main() -> std::process::ExitCode {
    subcast::cli::main()
}
