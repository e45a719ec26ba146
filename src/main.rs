//! The `subcast` command. Everything is in the library.

/// Swaps build an index on one thread and drop the one before on others. The system's allocator then keeps what each
/// thread once needed: memory grew by a fifth over a hundred swaps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    subcast::cli::main()
}
