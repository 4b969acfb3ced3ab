//! The `openledger` binary; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    openledger::main()
}
