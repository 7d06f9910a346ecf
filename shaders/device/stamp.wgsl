// status += 1, at the end of every submission. If the count is short, a submission did not run to its end.

fn work(group: u32, thread: u32) {
    status[0] += 1u;
}
