//! What an evaluation allocates, beside Flagsmith's and Unleash's engines on the same work.
//!
//! `cargo bench -p burgee-bench --bench engine_allocations`
//!
//! Apart from the measurement of time, since counting slows down those that allocate.

#![allow(clippy::print_stdout, reason = "a program for people")]

mod engines;

use std::alloc::System;
use std::hint::black_box;

use burgee_bench::profile::Profile;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use engines::IDENTITIES;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    println!("{:52} {:>12} {:>12}", "", "allocations", "bytes");
    for profile in Profile::all() {
        for (title, task) in engines::tasks(&profile) {
            println!("\n{title}");
            for mut engine in engines::all(&profile) {
                let region = Region::new(ALLOCATOR);
                for number in 0..IDENTITIES {
                    black_box(engine.evaluate(task, number));
                }
                let change = region.change();
                let per_evaluation = |sum: usize| sum as f64 / IDENTITIES as f64;
                let allocations = per_evaluation(change.allocations + change.reallocations);
                let bytes = per_evaluation(change.bytes_allocated);
                println!("    {:48} {allocations:12.1} {bytes:12.0}", engine.name());
            }
        }
    }
}
